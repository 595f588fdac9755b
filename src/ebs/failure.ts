/** Reads whatever a request can throw: the SDK's exceptions, Node's network errors, anything else. */
import { isError } from '../errors.ts';
import { sanitize } from '../text.ts';

/** A failure in one shape. All text is safe for a terminal. */
export interface Failure {
  readonly thrown: unknown;
  /** Name of the exception, for example `ValidationException`. */
  readonly name: string;
  /** First line of the message, without a period, because it stands within a sentence; may be empty. */
  readonly message: string;
  /** The service's reason, for example `INVALID_BLOCK_TOKEN`. */
  readonly reason: string | undefined;
  /** Node's error code, for example `ECONNRESET`; may be empty. */
  readonly code: string;
  readonly httpStatus: number | undefined;
  readonly requestId: string | undefined;
  /** Whether a proxy replied for itself. */
  readonly fromProxy: boolean;
}

/** Fields of the SDK's exceptions and Node's network errors; all optional because anything can be thrown. */
interface ThrownFields {
  name?: string;
  message?: string;
  code?: string;
  Code?: string;
  Reason?: string;
  $metadata?: { httpStatusCode?: number; requestId?: string };
  $response?: { statusCode?: number; headers?: Record<string, string> };
  /** The parts of an AggregateError, which Node throws without a message when it reaches no address of a host. */
  errors?: readonly { message?: string }[];
}

/** Exceptions that ask for a lower rate. */
export const throttleNames: ReadonlySet<string> = new Set([
  'ThrottlingException',
  'Throttling',
  'RequestThrottledException',
  'RequestThrottled',
  'RequestLimitExceeded',
  'ConcurrentLimitExceededException',
  'TooManyRequestsException',
]);

/** The form of reasons; other text in their place is ignored. */
const REASON = /^\w{1,100}$/;
/** Shorter tokens could occur in ordinary words; the service's are several times as long. */
const MIN_TOKEN_LENGTH = 16;

/** @param thrown a value that a request threw */
export function readFailure(thrown: unknown): Failure {
  const fields = (
    typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) }
  ) as ThrownFields;
  const { $metadata, $response } = fields;
  const requestId = $metadata?.requestId ?? $response?.headers?.['x-amzn-requestid'];
  return {
    thrown,
    name: sanitize(throttleInHeader(fields) ?? fields.name ?? fields.Code ?? 'Error'),
    message: firstLine(messageOf(fields)).replace(/(?<!\.)\.$/, ''),
    reason: REASON.test(fields.Reason ?? '') ? fields.Reason : undefined,
    code: fields.code ?? '',
    httpStatus: $metadata?.httpStatusCode ?? $response?.statusCode,
    requestId: requestId === undefined ? undefined : sanitize(requestId),
    fromProxy: requestId === undefined && isProxyReply($response?.headers ?? {}),
  };
}

/** The text of a JSON or XML parser says nothing about the request. */
function messageOf({ name, message, errors }: ThrownFields): string {
  if (name === 'SyntaxError') return 'it is not in the format of the service';
  return message || (errors?.[0]?.message ?? '');
}

/** Headers with which proxies mark their own error pages. */
function isProxyReply(headers: Readonly<Record<string, string>>): boolean {
  return ['proxy-authenticate', 'x-squid-error', 'proxy-status', 'proxy-connection'].some(
    (name) => name in headers,
  );
}

/**
 * Replaces a token in every text of a thrown value, in place, and returns the value: the service repeats values that it
 * refuses, and logs are read by others.
 */
export function withoutToken(thrown: unknown, token = ''): unknown {
  if (token.length < MIN_TOKEN_LENGTH || typeof thrown !== 'object' || thrown === null) return thrown;
  const fields = thrown as Record<string, unknown>;
  // An error's message and stack are not enumerable.
  for (const name of Object.getOwnPropertyNames(fields)) {
    const value = fields[name];
    if (typeof value !== 'string') continue;
    const clean = value.replaceAll(token, '[redacted]').replaceAll(encodeURIComponent(token), '[redacted]');
    if (clean !== value) fields[name] = clean;
  }
  return thrown;
}

/** The name of a throttle whose body could not be parsed; the header has it too. */
function throttleInHeader({ name, $response }: ThrownFields): string | undefined {
  const type = $response?.headers?.['x-amzn-errortype']?.split(':', 1)[0]?.split('#').at(-1);
  return name === 'SyntaxError' && type !== undefined && throttleNames.has(type) ? type : undefined;
}

/** Messages can be whole HTML pages. */
function firstLine(text: string): string {
  return sanitize(text.split('\n', 1)[0] ?? '');
}

/** An error of this realm: of another's, see `isError`, the SDK would keep nothing but the text. */
export function ownError(error: unknown): unknown {
  if (error instanceof Error || !isError(error)) return error;
  return Object.assign(new Error(error.message, { cause: error }), { ...error, name: error.name });
}

/** An error with the name of the SDK's timeouts, so that both get the same class. */
export function timeoutError(message: string): Error {
  const error = new Error(message);
  error.name = 'TimeoutError';
  return error;
}
