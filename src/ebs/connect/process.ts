/**
 * `credential_process`: a program that prints credentials. Not by the SDK's provider, which reads the profile by its own
 * parser and gives the program no terminal.
 */
import { spawn } from 'node:child_process';
import { isatty } from 'node:tty';
import type { ErrorDetails } from '../../errors.ts';
import { readFailure } from '../failure.ts';
import type { Credentials } from './cached.ts';
import { checkExpiry } from './keys.ts';
import { providerFailed } from './messages.ts';

/** No program prints more on purpose. */
const MAX_OUTPUT = 64 * 1024 ** 2;

/**
 * Runs the command with the shell, as the SDKs do.
 * @throws ColdsnapError code `CREDENTIALS_FAILED`, with the last line that the program wrote to stderr
 */
export async function fromProcess(profile: string, command: string): Promise<Credentials> {
  const provider = `credential_process of profile "${profile}"`;
  const failed = (reason: string, details: ErrorDetails = {}) =>
    providerFailed(provider, reason, { profile, ...details });
  // A value may continue on further lines, which are not further commands.
  const { stdout, stderr, status } = await run(command.replaceAll('\n', ' ')).catch((error: unknown) => {
    // It was not started: no memory, too large an environment, Node's permission model.
    throw failed(readFailure(error).message, { cause: error });
  });
  if (status !== 'status 0') {
    const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== '');
    throw failed(lines.at(-1)?.trim() ?? `it ended with ${status}`);
  }
  if (stdout.length > MAX_OUTPUT) throw failed('it wrote more than 64 MiB');
  const reply = parseReply(stdout);
  if (typeof reply === 'string') throw failed(reply);
  return checkExpiry(provider, reply);
}

/** @returns what is wrong with the output, instead of credentials */
function parseReply(output: string): Credentials | string {
  let reply: unknown;
  try {
    reply = JSON.parse(output);
  } catch {
    return output.trim() === '' ? 'it wrote nothing' : 'it returned invalid JSON';
  }
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply))
    return 'it returned no JSON object';
  const { Version, AccessKeyId, SecretAccessKey, SessionToken, Expiration } = reply as Record<
    string,
    unknown
  >;
  if (Version !== 1) {
    const found = Version === undefined ? 'no Version' : `Version ${JSON.stringify(Version)}`;
    return `it returned ${found} instead of Version 1`;
  }
  if (!isText(AccessKeyId) || !isText(SecretAccessKey))
    return 'it returned no AccessKeyId or no SecretAccessKey';
  const expiration = typeof Expiration === 'string' ? new Date(Expiration) : undefined;
  if (Expiration != null && Number.isNaN(expiration?.getTime() ?? Number.NaN)) {
    return 'it returned an Expiration that is not a time';
  }
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(isText(SessionToken) ? { sessionToken: SessionToken } : {}),
    ...(expiration === undefined ? {} : { expiration }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** A program may ask on a terminal; a stdin that is not one may be the image to upload. */
function run(command: string): Promise<{ stdout: string; stderr: string; status: string }> {
  return new Promise((resolve) => {
    const stdin = isatty(0) ? 'inherit' : 'ignore';
    const child = spawn('/bin/sh', ['-c', command], { stdio: [stdin, 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length <= MAX_OUTPUT) stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // The last line is enough.
      stderr = (stderr + text).slice(-4096);
    });
    child.on('error', ({ message }) => resolve({ stdout, stderr: message, status: 'an error' }));
    child.on('close', (code, signal) => {
      resolve({ stdout, stderr, status: signal === null ? `status ${code}` : signal });
    });
  });
}
