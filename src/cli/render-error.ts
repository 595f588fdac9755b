/** Renders errors: a line for the failure, and one for the remedy if there is one. */

import { describeErrno } from '../errno.ts';
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { sanitize } from '../text.ts';
import { exitCodeOf } from './exit-codes.ts';
import { hintFor } from './hints.ts';
import { internalError, reportBug } from './messages.ts';

interface RenderedError {
  /** The failure and where it happened. */
  readonly message: string;
  /** Where it happened: operation, snapshot, block, path and request ID, unless the message has them. */
  readonly where?: string | undefined;
  /** The remedy, if there is one. */
  readonly hint?: string | undefined;
}

/** A failed system call of Node. */
interface SystemError extends Error {
  code: SystemErrorCode;
  syscall: string;
  path?: string;
}

function isSystemError(error: unknown): error is SystemError {
  const candidate = error as Partial<SystemError> | null;
  return (
    error instanceof Error && typeof candidate?.code === 'string' && typeof candidate.syscall === 'string'
  );
}

const verbs: Readonly<Record<string, string>> = {
  open: 'open',
  read: 'read',
  pread: 'read',
  write: 'write',
  pwrite: 'write',
  fsync: 'sync',
  fdatasync: 'sync',
  stat: 'inspect',
  lstat: 'inspect',
  scandir: 'read',
  unlink: 'remove',
  mkdir: 'create',
  mkdtemp: 'create',
  connect: 'connect to',
  listen: 'listen on',
};

function describeSystemError(error: SystemError): RenderedError {
  const reason = describeErrno(error.code);
  const { address, port } = error as { address?: string; port?: number };
  const where =
    error.path ?? (address === undefined ? '' : port === undefined ? address : `${address}:${port}`);
  const verb = verbs[error.syscall] ?? error.syscall;
  return { message: `cannot ${verb}${where === '' ? '' : ` ${where}`}: ${reason}`, hint: hintFor(error) };
}

/** Says where it happened, unless the message does. */
function describeOwnError(error: ColdsnapError): RenderedError {
  const parts: string[] = [];
  const add = (known: string | number | undefined, text: string) => {
    if (known !== undefined && !error.message.includes(String(known))) parts.push(text);
  };
  add(error.operation, `${error.operation}`);
  add(error.snapshotId, `${error.snapshotId}`);
  if (error.block !== undefined && !new RegExp(`\\bblock ${error.block}\\b`).test(error.message)) {
    parts.push(`block ${error.block}`);
  }
  // Messages call `-` stdin or stdout.
  if (error.path !== '-') add(error.path, `${error.path}`);
  add(error.requestId, `request ID ${error.requestId}`);
  return {
    message: error.message.replace(/\.$/, ''),
    where: parts.length === 0 ? undefined : parts.join(', '),
    hint: hintFor(error),
  };
}

/** Renders anything that was thrown. */
export function renderError(error: unknown): RenderedError {
  if (error instanceof ColdsnapError) return describeOwnError(error);
  if (isSystemError(error)) return describeSystemError(error);
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { message: internalError(text), hint: reportBug };
}

/** Messages from the service can be whole pages of HTML. */
const MAX_LINE = 2_000;

/** The stacks of the error and its causes, for `--verbose`. */
export function stackLines(error: unknown): string[] {
  const lines: string[] = [];
  const seen = new Set<unknown>();
  for (let cause: unknown = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    const stack = (cause.stack ?? `${cause.name}: ${cause.message}`).split('\n');
    const clean = stack.map((line) => sanitize(line, MAX_LINE));
    lines.push(...clean.map((line, index) => (index === 0 && seen.size > 0 ? `caused by ${line}` : line)));
    seen.add(cause);
  }
  return lines;
}

/** The error as `--json` prints it on the last line of stderr. */
export function errorObject(error: unknown, runAgain: string | undefined): object {
  const { message, hint } = renderError(error);
  const own = error instanceof ColdsnapError ? error : undefined;
  const code = (error as { code?: unknown } | null)?.code;
  return {
    type: 'error',
    code: typeof code === 'string' ? code : 'INTERNAL_ERROR',
    class: own?.class,
    exitCode: exitCodeOf(error),
    message,
    hint,
    operation: own?.operation,
    snapshotId: own?.snapshotId,
    block: own?.block,
    path: own?.path,
    requestId: own?.requestId,
    targets: own?.targets?.map(({ path, error: { code, class: kind, message } }) => ({
      path,
      ok: false,
      error: { code, class: kind, message },
    })),
    runAgain,
  };
}
