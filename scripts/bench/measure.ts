/** Runs a command under the meter (measure.cc), which reports the kernel's resource counters of the whole process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { programPath } from './programs.ts';

export interface Measurement {
  /** -1 if a signal ended it. */
  exitCode: number;
  /** 0 for none. */
  signal: number;
  /** Seconds since the epoch. */
  startedAt: number;
  wallS: number;
  userS: number;
  sysS: number;
  /** Peak resident memory. */
  peakKiB: number;
  /** Context switches. */
  switches: number;
  stdout: string;
  stderr: string;
}

export interface MeasureOptions {
  env: NodeJS.ProcessEnv;
  /** Stop it with SIGTERM after this many seconds. */
  stopAfterS?: number;
  signal?: AbortSignal | undefined;
}

async function textOf(stream: Readable | null | undefined): Promise<string> {
  let text = '';
  if (!stream) return text;
  for await (const chunk of stream.setEncoding('utf8')) text += chunk;
  return text;
}

/** Resolves for any exit status of the command; rejects if it could not be measured. */
export async function measure(command: string[], options: MeasureOptions): Promise<Measurement> {
  const child = spawn(programPath('measure'), [String(options.stopAfterS ?? 0), ...command], {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const [stdout, stderr, report] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    textOf(child.stdio[3] as Readable | null),
    once(child, 'close'),
  ]);
  if (report === '') throw new Error(`could not measure ${command[0]}: ${stderr}`);
  return { ...(JSON.parse(report) as Omit<Measurement, 'stdout' | 'stderr'>), stdout, stderr };
}
