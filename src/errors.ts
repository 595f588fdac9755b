/**
 * The one error class of the library. Its fields (operation, block, request ID) let the command line, `--json` and
 * library callers each present a failure in their own way.
 */
import { types } from 'node:util';
import type { ErrorCode, SystemErrorCode } from './error-codes.ts';

/**
 * The kind of a failure. It decides whether the request is retried and which exit code the command returns.
 *
 * - `transient`: may succeed when retried (5xx, broken connection, short body)
 * - `throttle`: the service asks for a lower rate
 * - `expired-credentials`: credentials are refreshed once
 * - `expired-block-token`, `expired-page-token`: the list is requested again from there
 * - `not-yet-visible`: eventual consistency; retried for a limited time
 * - `integrity`: data do not match their checksum
 * - `permanent`: the service rejected the request; retrying does not help
 * - `config`: region, credentials, permissions or endpoint are wrong
 * - `usage`: an argument is invalid
 * - `refused`: continuing would destroy data; nothing was changed
 * - `local`: a system call on this machine failed (disk full, I/O error)
 * - `gave-up`: a retryable failure lasted longer than the retry time
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

/**
 * Whether a value is an error. Those of Node.js are of another realm where a test runner loads this library into one of
 * its own, as Jest does.
 */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}

/** Why one of several targets is not whole. */
export interface TargetFailure {
  /** As it was given. */
  readonly path: string;
  readonly error: ColdsnapError;
}

/** Where a failure happened and how to resolve it; all optional. */
export interface ErrorDetails {
  /** One sentence that says what to do. */
  hint?: string | undefined;
  /** EBS or EC2 operation, for example `GetSnapshotBlock`. */
  operation?: string | undefined;
  snapshotId?: string | undefined;
  /** Block index within the snapshot, from 0. */
  block?: number | undefined;
  /** The service's `x-amzn-RequestId`, for a support case. */
  requestId?: string | undefined;
  /** HTTP status of the reply, if there was one. */
  httpStatus?: number | undefined;
  /** File or device the failure is about. */
  path?: string | undefined;
  /** Profile of the AWS configuration files. */
  profile?: string | undefined;
  /** The source itself is at fault (it changed, or has too many bytes): resuming the upload cannot succeed. */
  sourceFault?: boolean | undefined;
  /** The failures of all of several targets, in the order given, where each has a reason of its own. */
  targets?: readonly TargetFailure[] | undefined;
  cause?: unknown;
}

/** Every error that the library throws intentionally. */
export class ColdsnapError extends Error {
  /** Stable identifier, for example `TARGET_TOO_SMALL`; docs/errors.md lists them. An errno name for a failed system call. */
  readonly code: ErrorCode | SystemErrorCode;
  readonly class: ErrorClass;
  readonly hint: string | undefined;
  readonly operation: string | undefined;
  readonly snapshotId: string | undefined;
  readonly block: number | undefined;
  readonly requestId: string | undefined;
  readonly httpStatus: number | undefined;
  readonly path: string | undefined;
  readonly profile: string | undefined;
  /** The source itself is at fault: resuming the upload cannot succeed. */
  readonly sourceFault: boolean;
  /** The failures of all of several targets, in the order given, where each has a reason of its own. */
  readonly targets: readonly TargetFailure[] | undefined;

  constructor(
    errorClass: ErrorClass,
    code: ErrorCode | SystemErrorCode,
    message: string,
    details: ErrorDetails = {},
  ) {
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
    this.profile = details.profile;
    this.sourceFault = details.sourceFault ?? false;
    this.targets = details.targets;
  }

  /** A copy with another class and, optionally, another message. */
  reclassified(
    errorClass: ErrorClass,
    message: string = this.message,
    cause: unknown = this.cause,
  ): ColdsnapError {
    return new ColdsnapError(errorClass, this.code, message, { ...this, cause });
  }

  /** Whether the same request may succeed when retried. */
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
