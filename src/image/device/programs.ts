/** Runs util-linux's programs that print JSON, where they are installed. */
import { execFile } from 'node:child_process';

/** A device that hangs must not delay its refusal. */
const timeoutMs = 5_000;

/** Runs a program and parses what it prints; undefined where that fails. */
export function runForJson(program: string, args: string[]): Promise<unknown> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, env: { ...process.env, LC_ALL: 'C' } };
    try {
      execFile(program, args, options, (error, stdout) => {
        try {
          resolve(error === null ? JSON.parse(stdout) : undefined);
        } catch {
          resolve(undefined);
        }
      });
    } catch {
      // It cannot be started: no memory, too large an environment, Node's permission model.
      resolve(undefined);
    }
  });
}

export type Fields = Readonly<Record<string, unknown>>;

export function listIn(value: unknown, key: string): Fields[] {
  const list = typeof value === 'object' && value !== null ? (value as Fields)[key] : undefined;
  if (!Array.isArray(list)) return [];
  return list.filter((item): item is Fields => typeof item === 'object' && item !== null);
}

export function textIn(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
