/** Errors as sentences: one that says what failed and where, one that says what to do. */
import { ColdsnapError, sanitize } from '../errors.ts';
import { describeErrno } from '../native/errno.ts';
import { exitCodeOf } from './exit-codes.ts';
import { hintFor } from './hints.ts';

export interface RenderedError {
  /** What failed and where. */
  readonly message: string;
  /** What to do, if anything is known to help. */
  readonly hint?: string | undefined;
}

/** A failed system call as Node reports it. */
interface SystemError extends Error {
  code: string;
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
  fsync: 'store',
  fdatasync: 'store',
  stat: 'look at',
  lstat: 'look at',
  scandir: 'read',
  unlink: 'remove',
  mkdir: 'create',
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

/** Adds where it happened, as far as the sentence itself does not say so. */
function describeOwnError(error: ColdsnapError): RenderedError {
  const facts: string[] = [];
  const add = (known: string | number | undefined, text: string) => {
    if (known !== undefined && !error.message.includes(String(known))) facts.push(text);
  };
  add(error.operation, `${error.operation}`);
  add(error.snapshotId, `${error.snapshotId}`);
  if (error.block !== undefined && !new RegExp(`\\bblock ${error.block}\\b`).test(error.message)) {
    facts.push(`block ${error.block}`);
  }
  // A sentence about stdin or stdout calls it so.
  if (error.path !== '-') add(error.path, `${error.path}`);
  add(error.requestId, `request ID ${error.requestId}`);
  const where = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
  return {
    message: `${error.message.replace(/\.$/, '')}${where}`,
    hint: hintFor(error),
  };
}

/** The sentences for anything that was thrown. */
export function renderError(error: unknown): RenderedError {
  if (error instanceof ColdsnapError) return describeOwnError(error);
  if (isSystemError(error)) return describeSystemError(error);
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    message: `internal error: ${what}`,
    hint: 'This is a bug in coldsnap: please report it, with the output of the same command and --verbose.',
  };
}

/** Messages in stacks can be the service's, whole pages of HTML. */
const MAX_LINE = 2_000;

/** The stack of the error and of everything that caused it, for `--verbose`. */
export function stackLines(error: unknown): string[] {
  const lines: string[] = [];
  const seen = new Set<unknown>();
  for (let cause: unknown = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    const stack = (cause.stack ?? `${cause.name}: ${cause.message}`).split('\n');
    const said = stack.map((line) => sanitize(line, MAX_LINE));
    lines.push(...said.map((line, index) => (index === 0 && seen.size > 0 ? `caused by ${line}` : line)));
    seen.add(cause);
  }
  return lines;
}

/** An error as `--json` prints it, on the last line of stderr. */
export function errorObject(error: unknown, runAgain: string | undefined): object {
  const { message, hint } = renderError(error);
  const own = error instanceof ColdsnapError ? error : undefined;
  const code = (error as { code?: unknown } | null)?.code;
  return {
    type: 'error',
    code: typeof code === 'string' ? code : 'INTERNAL',
    class: own?.class,
    exitCode: exitCodeOf(error),
    message,
    hint,
    operation: own?.operation,
    snapshotId: own?.snapshotId,
    block: own?.block,
    requestId: own?.requestId,
    runAgain,
  };
}
