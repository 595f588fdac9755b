/**
 * Turns whatever a request can fail with into a {@link ColdsnapError} whose class decides what happens next. This is the
 * only place that knows which failure is worth repeating. Source of the table: the service model's exceptions and
 * reasons (ebs, 2019-11-02) and the documented behaviour of the EBS direct APIs.
 */
import { type ErrorCode, isServiceReason } from '../error-codes.ts';
import { abortedError, ColdsnapError, type ErrorClass, type ErrorDetails, sanitize } from '../errors.ts';

/** What a request was about; goes into the error. */
export interface RequestContext {
  readonly operation: string;
  readonly snapshotId?: string;
  readonly block?: number;
}

/** The fields that the SDK's exceptions and Node's network errors have; all optional because anything can be thrown. */
interface ServiceFailure {
  name?: string;
  message?: string;
  code?: string;
  Code?: string;
  Reason?: string;
  $metadata?: { httpStatusCode?: number; requestId?: string };
  $response?: { statusCode?: number; headers?: Record<string, string> };
  cause?: unknown;
  /** Of an AggregateError, which Node throws without a message when no address of a host could be reached. */
  errors?: readonly { message?: string }[];
}

const throttleNames = new Set([
  'ThrottlingException',
  'Throttling',
  'RequestThrottledException',
  'RequestThrottled',
  'RequestLimitExceeded',
  'ConcurrentLimitExceededException',
  'TooManyRequestsException',
]);

/** Refused because of the time or the age of the credentials: a refresh or a corrected clock may help, once. */
const expiredNames = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'RequestExpired',
  'RequestTimeTooSkewed',
  'RequestInTheFuture',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
]);

const credentialNames = new Set([
  'CredentialsProviderError',
  'TokenProviderError',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'MissingAuthenticationTokenException',
  'MissingAuthenticationToken',
  'AuthFailure',
  'OptInRequired',
]);

const deniedNames = new Set(['AccessDeniedException', 'AccessDenied', 'UnauthorizedOperation']);

/** The endpoint cannot be right (or is down); retried briefly until the service has answered once. */
const unreachableCodes = new Set([
  'ENOTFOUND',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

const lostCodes = new Set(['ECONNRESET', 'EPIPE']);

/** What reasons look like; anything else is none. */
const REASON = /^\w{1,100}$/;

/** What to do about refusals that the service's words leave open. */
const hintsByReason: Readonly<Record<string, string>> = {
  INVALID_CUSTOMER_KEY:
    'Check that the key exists in this region, is enabled and symmetric, and that this identity may use it.',
  INVALID_SNAPSHOT_ID:
    'Check the ID; only a completed snapshot can be read or be a parent ("coldsnap wait" waits for it).',
};

function isTransientReason(
  reason: string | undefined,
): reason is 'WRITE_REQUEST_TIMEOUT' | 'CONFLICTING_BLOCK_UPDATE' {
  return reason === 'WRITE_REQUEST_TIMEOUT' || reason === 'CONFLICTING_BLOCK_UPDATE';
}

/** The IAM action an operation needs. EC2's clean-up and state calls belong to another service prefix. */
export function iamAction(operation: string): string {
  const ec2 = ['DescribeSnapshots', 'DeleteSnapshot', 'CreateTags'];
  return `${ec2.includes(operation) ? 'ec2' : 'ebs'}:${operation}`;
}

function headline(context: RequestContext): string {
  const block = context.block === undefined ? '' : ` of block ${context.block}`;
  const snapshot = context.snapshotId === undefined ? '' : ` (${context.snapshotId})`;
  return `${context.operation}${block}${snapshot}`;
}

/** Shorter ones would stand in ordinary words, and in names that say what a failure is; the service's are several times as long. */
const MIN_TOKEN_LENGTH = 16;

/**
 * Takes a token out of all that a failure says, and returns the failure: the service repeats values that it refuses, and
 * what is logged is read by others.
 */
export function withoutToken(failure: unknown, token = ''): unknown {
  if (token.length < MIN_TOKEN_LENGTH || typeof failure !== 'object' || failure === null) return failure;
  const fields = failure as Record<string, unknown>;
  // Not only the enumerable ones: an error's message and stack are none of them.
  for (const name of Object.getOwnPropertyNames(fields)) {
    const value = fields[name];
    if (typeof value !== 'string') continue;
    const clean = value.replaceAll(token, '[redacted]').replaceAll(encodeURIComponent(token), '[redacted]');
    if (clean !== value) fields[name] = clean;
  }
  return failure;
}

/**
 * Gives any failure of a request its class.
 *
 * Errors that are already {@link ColdsnapError} pass through, so that it can be called at every level.
 */
export function classify(failure: unknown, context: RequestContext, signal?: AbortSignal): ColdsnapError {
  if (failure instanceof ColdsnapError) return failure;
  const error = (
    typeof failure === 'object' && failure !== null ? failure : { message: String(failure) }
  ) as ServiceFailure;
  const serviceReason = REASON.test(error.Reason ?? '') ? error.Reason : undefined;
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode;
  const requestId = error.$metadata?.requestId ?? error.$response?.headers?.['x-amzn-requestid'];
  const details: ErrorDetails = { operation: context.operation, cause: failure };
  if (context.snapshotId !== undefined) details.snapshotId = context.snapshotId;
  if (context.block !== undefined) details.block = context.block;
  if (requestId !== undefined) details.requestId = sanitize(requestId);
  if (status !== undefined) details.httpStatus = status;
  const make = (errorClass: ErrorClass, code: ErrorCode, what: string, hint?: string) =>
    new ColdsnapError(
      errorClass,
      code,
      `${headline(context)} ${what}`,
      hint === undefined ? details : { ...details, hint },
    );

  if (signal?.aborted) return abortedError(signal);
  if (error.name === 'AbortError') return make('aborted', 'ABORTED', 'was interrupted');
  const name = sanitize(throttleByHeader(error) ?? error.name ?? error.Code ?? 'Error');
  const message = firstLine(error.message || messageOfFirst(error));

  if (throttleNames.has(name)) {
    const reason = serviceReason ? `, ${serviceReason}` : '';
    return make('throttle', 'THROTTLED', `was throttled (${name}${reason})`);
  }
  if (expiredNames.has(name)) {
    return make(
      'expired-credentials',
      'CREDENTIALS_EXPIRED',
      `was refused: ${message || name}`,
      'Renew the credentials (for example with "aws sso login") and check the clock of this machine.',
    );
  }
  if (credentialNames.has(name)) {
    return make(
      'config',
      'NO_CREDENTIALS',
      `found no usable credentials: ${message || name}`,
      'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or attach an instance role.',
    );
  }
  if (deniedNames.has(name)) {
    const kms = serviceReason === 'DEPENDENCY_ACCESS_DENIED';
    return make(
      'config',
      'ACCESS_DENIED',
      `was denied: ${message || name}`,
      kms
        ? 'Allow this identity to use the KMS key that encrypts the snapshot (kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext, kms:DescribeKey).'
        : `Allow the IAM action ${iamAction(context.operation)} on this snapshot.`,
    );
  }
  if (name === 'ServiceQuotaExceededException') {
    return make(
      'permanent',
      'QUOTA_EXCEEDED',
      `hit a service quota: ${message}`,
      'Raise the quota in Service Quotas (Amazon EBS).',
    );
  }
  if (name === 'ConflictException') return make('permanent', 'CONFLICT', `was refused: ${message}`);
  if (name === 'ResourceNotFoundException' || name === 'InvalidSnapshot.NotFound') {
    return make(
      'permanent',
      'SNAPSHOT_NOT_FOUND',
      `was refused: ${message || 'the snapshot does not exist'}`,
      'Check the snapshot ID, the region and the account.',
    );
  }
  if (name === 'ValidationException') {
    if (serviceReason === 'INVALID_BLOCK_TOKEN')
      return make('expired-block-token', 'BLOCK_TOKEN_EXPIRED', 'needs a new block token');
    if (serviceReason === 'INVALID_PAGE_TOKEN')
      return make('expired-page-token', 'PAGE_TOKEN_EXPIRED', 'needs a new page token');
    if (isTransientReason(serviceReason)) return make('transient', serviceReason, `failed: ${message}`);
    if (/failed to read block data/i.test(message))
      return make('transient', 'BLOCK_DATA_NOT_READ', `failed: ${message}`);
    const reason = serviceReason ? ` (${serviceReason})` : '';
    const hint = hintsByReason[serviceReason ?? ''];
    const code =
      serviceReason !== undefined && isServiceReason(serviceReason) ? serviceReason : 'SERVICE_REJECTED';
    return make('permanent', code, `was refused: ${message}${reason}`, hint);
  }
  // Of an error reply that never came to its end nobody knows what it was to say; it may have been a throttle.
  const cut = name === 'TimeoutError' || lostCodes.has(error.code ?? '');
  if (status !== undefined && !(status >= 400 && cut)) return classifyStatus(status, name, message, make);
  return classifyNetwork(error, message, make);
}

/** A throttle whose text cannot be read still has its name in the head. */
function throttleByHeader({ name, $response }: ServiceFailure): string | undefined {
  const type = $response?.headers?.['x-amzn-errortype']?.split(':', 1)[0]?.split('#').at(-1);
  return name === 'SyntaxError' && type !== undefined && throttleNames.has(type) ? type : undefined;
}

type Make = (errorClass: ErrorClass, code: ErrorCode, what: string, hint?: string) => ColdsnapError;

function classifyStatus(status: number, name: string, message: string, make: Make): ColdsnapError {
  if (status >= 500) return make('transient', 'SERVICE_ERROR', `failed in the service (HTTP ${status})`);
  if (status === 429) return make('throttle', 'THROTTLED', 'was throttled (HTTP 429)');
  if (status === 403 || status === 401)
    return make('config', 'ACCESS_DENIED', `was denied: ${message || name}`);
  // A success or redirect status that could not be understood: a proxy or a broken reply stands between.
  if (status < 400)
    return make(
      'transient',
      'BAD_REPLY',
      `got a reply that is not the service's (HTTP ${status}: ${message})`,
    );
  // The service's own words for what does not exist have a name, and were understood above.
  if (status === 404)
    return make(
      'config',
      'WRONG_ENDPOINT',
      "got a reply that is not the service's (HTTP 404)",
      'Check that the endpoint is one of the EBS direct APIs, or of EC2 for what only EC2 can do.',
    );
  return make('permanent', 'SERVICE_REJECTED', `was refused (HTTP ${status}): ${message || name}`);
}

function classifyNetwork(error: ServiceFailure, message: string, make: Make): ColdsnapError {
  const code = error.code ?? '';
  if (/region is missing/i.test(message)) {
    return make('config', 'NO_REGION', 'needs a region', 'Set it in AWS_REGION or in the profile.');
  }
  if (unreachableCodes.has(code)) {
    return make(
      'transient',
      'ENDPOINT_UNREACHABLE',
      `could not reach the endpoint: ${message}`,
      'Check the region, the endpoint and the network.',
    );
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|ERR_TLS/.test(code)) {
    return make(
      'config',
      'TLS_UNTRUSTED',
      `does not trust the endpoint's certificate: ${message}`,
      'Give the private CA in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS.',
    );
  }
  // The SDK's handler names lost connections TimeoutError too.
  const stalled = error.name === 'TimeoutError' && !lostCodes.has(code);
  if (stalled || code === 'ETIMEDOUT') {
    return make('transient', 'STALLED', `stalled: ${message}`);
  }
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
    return make(
      'permanent',
      'INTERNAL_ERROR',
      `failed in this program: ${message}`,
      'This is a bug; please report it.',
    );
  }
  const reason = message || code || 'connection lost';
  return make('transient', 'CONNECTION_LOST', `lost its connection: ${reason}`);
}

function messageOfFirst(error: ServiceFailure): string {
  return error.errors?.[0]?.message ?? '';
}

/** Service messages can be whole HTML pages; an error is one sentence. */
function firstLine(text: string): string {
  return sanitize(text.split('\n', 1)[0] ?? '');
}
