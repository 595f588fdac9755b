/**
 * The identity of every failure. A failure carries its facts as data (operation, block, request ID), so that the
 * command line, `--json` and library callers can each say it in their own way.
 */

/**
 * What a failure means for the run; decides whether it is retried, and which exit code it gets.
 *
 * - `transient`: may go away by itself (5xx, broken connection, short body)
 * - `throttle`: the service asks for a lower rate
 * - `expired-credentials`: worth one refresh
 * - `expired-block-token`, `expired-page-token`: list again from there
 * - `not-yet-visible`: eventual consistency; retried for a bounded time
 * - `integrity`: the data received are not what their checksum says
 * - `permanent`: the service has refused; asking again gets the same answer
 * - `config`: region, credentials, permissions or endpoint are wrong
 * - `usage`: the arguments are wrong
 * - `refused`: going on would destroy something; nothing was touched
 * - `local`: a system call on this machine failed (disk full, I/O error)
 * - `gave-up`: a retryable failure outlasted the retry time
 * - `aborted`: the caller's AbortSignal fired
 */
export type ErrorClass =
  | 'transient'
  | 'throttle'
  | 'expired-credentials'
  | 'expired-block-token'
  | 'expired-page-token'
  | 'not-yet-visible'
  | 'integrity'
  | 'permanent'
  | 'config'
  | 'usage'
  | 'refused'
  | 'local'
  | 'gave-up'
  | 'aborted';

/** Facts about a failure, all optional: where it happened and what to do next. */
export interface ErrorDetails {
  /** One sentence that says what to do next. */
  hint?: string | undefined;
  /** EBS or EC2 operation, for example `GetSnapshotBlock`. */
  operation?: string | undefined;
  snapshotId?: string | undefined;
  /** Block index within the snapshot, from 0. */
  block?: number | undefined;
  /** The service's `x-amzn-RequestId`, for a support case. */
  requestId?: string | undefined;
  /** HTTP status of the reply, when there was one. */
  httpStatus?: number | undefined;
  /** File or device the failure is about. */
  path?: string | undefined;
  /** The source itself is at fault (it changed, or has too many bytes): resuming the upload cannot succeed. */
  sourceFault?: boolean | undefined;
  cause?: unknown;
}

/** Every error that the library throws on purpose. */
export class ColdsnapError extends Error {
  /** Stable identifier, for example `TARGET_TOO_SMALL`; errno names (`ENOSPC`) for failed system calls. */
  readonly code: string;
  readonly class: ErrorClass;
  readonly hint: string | undefined;
  readonly operation: string | undefined;
  readonly snapshotId: string | undefined;
  readonly block: number | undefined;
  readonly requestId: string | undefined;
  readonly httpStatus: number | undefined;
  readonly path: string | undefined;
  /** The source itself is at fault: resuming the upload cannot succeed. */
  readonly sourceFault: boolean;

  constructor(errorClass: ErrorClass, code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'ColdsnapError';
    this.class = errorClass;
    this.code = code;
    this.hint = details.hint;
    this.operation = details.operation;
    this.snapshotId = details.snapshotId;
    this.block = details.block;
    this.requestId = details.requestId;
    this.httpStatus = details.httpStatus;
    this.path = details.path;
    this.sourceFault = details.sourceFault ?? false;
  }

  /** The same failure, judged anew: other class, and another sentence where the old one no longer fits. */
  reclassified(
    errorClass: ErrorClass,
    message: string = this.message,
    cause: unknown = this.cause,
  ): ColdsnapError {
    return new ColdsnapError(errorClass, this.code, message, { ...this, cause });
  }

  /** Whether the same request may succeed when it is made again. */
  get retryable(): boolean {
    return retryableClasses.has(this.class);
  }
}

const retryableClasses: ReadonlySet<ErrorClass> = new Set([
  'transient',
  'throttle',
  'expired-credentials',
  'not-yet-visible',
  'integrity',
]);

/** Text that others wrote, for a terminal: without control characters, which it would obey, and not for ever. */
export function sanitize(text: string, length = 300): string {
  const plain = text.slice(0, length + 1).replace(/\p{Cc}/gu, '?');
  return plain.length > length ? `${plain.slice(0, length)}…` : plain;
}

/** The reason an AbortSignal gives, as an error of class `aborted`. */
export function abortedError(signal: AbortSignal): ColdsnapError {
  if (signal.reason instanceof ColdsnapError) return signal.reason;
  return new ColdsnapError('aborted', 'ABORTED', 'the operation was interrupted', { cause: signal.reason });
}
