/** Reads the files that options of `coldsnap emulator` name. */

import { readFile } from 'node:fs/promises';
import type { EmulatorSecret, FaultRule } from '../../emulator/index.ts';
import type { ErrorCode } from '../../error-codes.ts';
import { ColdsnapError } from '../../errors.ts';

/** Checks only that the file has an array of rules; the emulator validates the rules. */
export async function readFaultRules(file: string): Promise<FaultRule[]> {
  const text = await readText(file, 'BAD_FAULTS_FILE');
  let rules: unknown;
  try {
    rules = JSON.parse(text);
  } catch (cause) {
    const message = `${file} is not JSON: ${(cause as Error).message}`;
    throw new ColdsnapError('usage', 'BAD_FAULTS_FILE', message, { cause });
  }
  const isRule = (rule: Partial<FaultRule> | null) => typeof rule?.action?.type === 'string';
  if (!Array.isArray(rules) || !rules.every(isRule)) {
    throw new ColdsnapError('usage', 'BAD_FAULTS_FILE', `${file} is not an array of fault rules`, {
      hint: 'A rule looks like {"operation": "GetSnapshotBlock", "nth": 3, "action": {"type": "drop"}}.',
    });
  }
  return rules as FaultRule[];
}

/** Parses the file; the emulator validates the credentials. */
export async function readCredentials(file: string): Promise<Record<string, EmulatorSecret>> {
  const text = await readText(file, 'BAD_CREDENTIALS_FILE');
  try {
    return JSON.parse(text) as Record<string, EmulatorSecret>;
  } catch {
    // The parser's message quotes the text, which has secrets.
    throw new ColdsnapError('usage', 'BAD_CREDENTIALS_FILE', `${file} is not JSON`);
  }
}

/** Key and certificate in PEM. */
export async function readTls(certFile: string, keyFile: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = await Promise.all([
    readText(certFile, 'BAD_TLS_FILES'),
    readText(keyFile, 'BAD_TLS_FILES'),
  ]);
  return { cert, key };
}

async function readText(file: string, code: ErrorCode): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new ColdsnapError('usage', code, `${file} does not exist`, { cause });
  });
}
