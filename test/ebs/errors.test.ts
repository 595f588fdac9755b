/** The table of failures: what a request throws, and the class and code it gets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify } from '../../src/ebs/errors.ts';
import { iamAction } from '../../src/ebs/service-errors.ts';
import { isServiceReason } from '../../src/error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../../src/errors.ts';

const context = { operation: 'GetSnapshotBlock', snapshotId: 'snap-1', block: 7 };

/** An exception of the service as the SDK throws it. */
function exception(name: string, httpStatusCode: number, Reason?: string, message = 'The service says no.') {
  const $metadata = { httpStatusCode, requestId: 'a-request-id' };
  return Object.assign(new Error(message), { name, $metadata, ...(Reason === undefined ? {} : { Reason }) });
}

/** A failure without a reply, as Node throws it. */
function network(code: string, message = `connect ${code}`, name = 'Error') {
  return Object.assign(new Error(message), { code, name });
}

const rows: readonly [string, unknown, ErrorClass, string, RegExp?][] = [
  [
    'an internal failure is transient',
    exception('InternalServerException', 500),
    'transient',
    'SERVICE_ERROR',
    /HTTP 500/,
  ],
  ['a bad gateway is transient', exception('Unknown', 502), 'transient', 'SERVICE_ERROR'],
  ['an unavailable service is transient', exception('ServiceUnavailable', 503), 'transient', 'SERVICE_ERROR'],
  [
    'a throttled account is throttled',
    exception('ThrottlingException', 400, 'ACCOUNT_THROTTLED'),
    'throttle',
    'THROTTLED',
    /ACCOUNT_THROTTLED/,
  ],
  [
    'a throttled snapshot is throttled',
    exception('RequestThrottledException', 400, 'RESOURCE_LEVEL_THROTTLE'),
    'throttle',
    'THROTTLED',
  ],
  [
    'a throttled dependency is throttled',
    exception('RequestThrottledException', 400, 'DEPENDENCY_REQUEST_THROTTLED'),
    'throttle',
    'THROTTLED',
  ],
  [
    'too many pending snapshots are a throttle',
    exception('ConcurrentLimitExceededException', 400),
    'throttle',
    'THROTTLED',
  ],
  [
    'a reply that breaks off, of whatever status, is a lost connection',
    Object.assign(network('ECONNRESET', 'aborted'), { $metadata: { httpStatusCode: 202 } }),
    'transient',
    'CONNECTION_LOST',
  ],
  ...[408, 421, 425].map((status): [string, unknown, ErrorClass, string] => [
    `HTTP ${status}, which load balancers send about a connection, is transient`,
    exception('SyntaxError', status),
    'transient',
    'BAD_REPLY',
  ]),
  [
    'a reply that is not HTTP is a lost connection',
    network('HPE_INVALID_CONSTANT', 'Parse Error'),
    'transient',
    'CONNECTION_LOST',
    /lost its connection: the reply is not valid HTTP \(HPE_INVALID_CONSTANT\)/,
  ],
  [
    'an error reply that breaks off is a lost connection',
    Object.assign(network('ECONNRESET', 'aborted'), { $metadata: { httpStatusCode: 400 } }),
    'transient',
    'CONNECTION_LOST',
  ],
  [
    'a throttle whose body cannot be parsed is recognized by its header',
    Object.assign(exception('SyntaxError', 400), {
      $response: { headers: { 'x-amzn-errortype': 'com.amazonaws#ThrottlingException:http://a.example/' } },
    }),
    'throttle',
    'THROTTLED',
  ],
  [
    'a status 400 from a server that is not the service is permanent',
    Object.assign(exception('SyntaxError', 400), { $response: { headers: { 'content-type': 'text/html' } } }),
    'permanent',
    'SERVICE_REJECTED',
  ],
  ["EC2's limit is a throttle", exception('RequestLimitExceeded', 503), 'throttle', 'THROTTLED'],
  ['status 429 is a throttle', exception('Unknown', 429), 'throttle', 'THROTTLED'],
  [
    'an expired token is a matter of expired credentials',
    exception('ExpiredTokenException', 403),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    "EC2's expired token is a matter of expired credentials",
    exception('RequestExpired', 400),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    'a signature with a wrong time is a matter of expired credentials',
    exception('InvalidSignatureException', 403),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    'unknown credentials are a configuration error',
    exception('UnrecognizedClientException', 403),
    'config',
    'NO_CREDENTIALS',
  ],
  [
    'missing credentials are a configuration error',
    Object.assign(new Error('Could not load credentials from any providers'), {
      name: 'CredentialsProviderError',
    }),
    'config',
    'NO_CREDENTIALS',
    /Could not load/,
  ],
  [
    'a denied permission is a configuration error',
    exception('AccessDeniedException', 403, 'UNAUTHORIZED_ACCOUNT'),
    'config',
    'ACCESS_DENIED',
  ],
  [
    "EC2's denied permission is a configuration error",
    exception('UnauthorizedOperation', 403),
    'config',
    'ACCESS_DENIED',
  ],
  [
    'status 403 without an exception is a denied permission',
    exception('Unknown', 403),
    'config',
    'ACCESS_DENIED',
  ],
  [
    'an exceeded quota is permanent',
    exception('ServiceQuotaExceededException', 402),
    'permanent',
    'QUOTA_EXCEEDED',
  ],
  [
    'a client token of another request is permanent',
    exception('ConflictException', 409),
    'permanent',
    'CONFLICT',
  ],
  [
    'an absent snapshot is permanent',
    exception('ResourceNotFoundException', 404),
    'permanent',
    'SNAPSHOT_NOT_FOUND',
  ],
  [
    "EC2's absent snapshot is permanent",
    exception('InvalidSnapshot.NotFound', 400),
    'permanent',
    'SNAPSHOT_NOT_FOUND',
  ],
  [
    'an expired block token has its own class',
    exception('ValidationException', 400, 'INVALID_BLOCK_TOKEN'),
    'expired-block-token',
    'BLOCK_TOKEN_EXPIRED',
  ],
  [
    'an expired page token has its own class',
    exception('ValidationException', 400, 'INVALID_PAGE_TOKEN'),
    'expired-page-token',
    'PAGE_TOKEN_EXPIRED',
  ],
  [
    'block data that the service failed to read is transient',
    exception('ValidationException', 400, undefined, 'Failed to read block data'),
    'transient',
    'BLOCK_DATA_NOT_READ',
  ],
  [
    'a write that timed out in the service is transient',
    exception('ValidationException', 400, 'WRITE_REQUEST_TIMEOUT'),
    'transient',
    'WRITE_REQUEST_TIMEOUT',
  ],
  [
    'conflicting writes of one block are transient',
    exception('ValidationException', 400, 'CONFLICTING_BLOCK_UPDATE'),
    'transient',
    'CONFLICTING_BLOCK_UPDATE',
  ],
  [
    'an invalid block index is permanent',
    exception('ValidationException', 400, 'INVALID_BLOCK'),
    'permanent',
    'INVALID_BLOCK',
    /\(INVALID_BLOCK\)/,
  ],
  [
    'unrelated snapshots are permanent',
    exception('ValidationException', 400, 'UNRELATED_SNAPSHOTS'),
    'permanent',
    'UNRELATED_SNAPSHOTS',
  ],
  [
    'a 404 without an exception comes from a server that is not the service',
    exception('SyntaxError', 404, undefined, 'Unexpected token <'),
    'config',
    'WRONG_ENDPOINT',
    /not from the service \(HTTP 404\)/,
  ],
  [
    'any other status from 400 is permanent',
    exception('Teapot', 418),
    'permanent',
    'SERVICE_REJECTED',
    /HTTP 418/,
  ],
  [
    'a success that cannot be parsed is transient',
    exception('SyntaxError', 200, undefined, 'Unexpected token <'),
    'transient',
    'BAD_REPLY',
    /not in the format of the service/,
  ],
  ['a redirect is transient', exception('Unknown', 302), 'transient', 'BAD_REPLY'],
  [
    'a reset connection is lost',
    network('ECONNRESET', 'read ECONNRESET'),
    'transient',
    'CONNECTION_LOST',
    /closed by the other side/,
  ],
  [
    "a reset connection is lost even if the SDK's handler calls it a timeout",
    network('ECONNRESET', 'socket hang up', 'TimeoutError'),
    'transient',
    'CONNECTION_LOST',
  ],
  [
    'a broken pipe is a lost connection',
    network('EPIPE', 'write EPIPE', 'TimeoutError'),
    'transient',
    'CONNECTION_LOST',
  ],
  [
    'a silent connection has stalled',
    Object.assign(new Error('no byte moved'), { name: 'TimeoutError' }),
    'transient',
    'STALLED',
    /no byte moved/,
  ],
  [
    'an idle connection of the SDK has stalled',
    Object.assign(
      new Error(
        '@smithy/node-http-handler - the request socket timed out after 20000 ms of inactivity (configured by client requestHandler).',
      ),
      { name: 'TimeoutError' },
    ),
    'transient',
    'STALLED',
    /stalled: no data within 20 s$/,
  ],
  [
    "a caller's client that could not connect has stalled",
    Object.assign(
      new Error(
        '@smithy/node-http-handler - the request socket did not establish a connection with the server within the configured timeout of 3000 ms.',
      ),
      { name: 'TimeoutError' },
    ),
    'transient',
    'STALLED',
    /stalled: no connection within 3 s$/,
  ],
  ["the kernel's timeout is a stall", network('ETIMEDOUT'), 'transient', 'STALLED'],
  [
    'a refused connection is an unreachable endpoint',
    network('ECONNREFUSED'),
    'transient',
    'ENDPOINT_UNREACHABLE',
  ],
  [
    'an unknown host name is an unreachable endpoint',
    network('ENOTFOUND', 'getaddrinfo ENOTFOUND ebs.x'),
    'transient',
    'ENDPOINT_UNREACHABLE',
    /ebs\.x/,
  ],
  [
    'a host without a reachable address is an unreachable endpoint, with the first cause',
    Object.assign(new AggregateError([network('ECONNREFUSED', 'connect ECONNREFUSED ::1:443')], ''), {
      code: 'ECONNREFUSED',
    }),
    'transient',
    'ENDPOINT_UNREACHABLE',
    /::1:443: connection refused/,
  ],
  [
    'a certificate of an unknown CA is not trusted',
    network('UNABLE_TO_VERIFY_LEAF_SIGNATURE'),
    'config',
    'TLS_UNTRUSTED',
  ],
  [
    'a self-signed certificate is not trusted',
    network('DEPTH_ZERO_SELF_SIGNED_CERT'),
    'config',
    'TLS_UNTRUSTED',
  ],
  ['an expired certificate is not trusted', network('CERT_HAS_EXPIRED'), 'config', 'TLS_UNTRUSTED'],
  [
    'a certificate for another host is not trusted',
    network('ERR_TLS_CERT_ALTNAME_INVALID'),
    'config',
    'TLS_UNTRUSTED',
  ],
  ['a missing region is a configuration error', new Error('Region is missing'), 'config', 'NO_REGION'],
  [
    "the SDK's abort is an abort",
    Object.assign(new Error('Request aborted'), { name: 'AbortError' }),
    'aborted',
    'ABORTED',
  ],
  [
    'a programming error is permanent',
    new TypeError('x is not a function'),
    'permanent',
    'INTERNAL_ERROR',
    /x is not a function/,
  ],
  [
    'an unknown error without a reply is a lost connection',
    new Error('what?'),
    'transient',
    'CONNECTION_LOST',
    /what\?/,
  ],
  ['a thrown string is a lost connection', 'oops', 'transient', 'CONNECTION_LOST', /oops/],
  ['a thrown undefined is a lost connection', undefined, 'transient', 'CONNECTION_LOST'],
];

for (const [sentence, thrown, errorClass, code, message = /./] of rows) {
  test(sentence, () => {
    const error = classify(thrown, context);
    assert.deepEqual([error.class, error.code], [errorClass, code], error.message);
    assert.match(error.message, message);
    // These state the fact alone: the command line prints the operation on the next line.
    const refusal = /^the service refused the request: /;
    const facts: Readonly<Record<string, RegExp>> = {
      ACCESS_DENIED: /^access denied: /,
      CONFLICT: refusal,
      CREDENTIALS_EXPIRED: refusal,
      NO_CREDENTIALS: /^the credentials cannot be used: /,
      QUOTA_EXCEEDED: /^a quota of the service is exceeded: /,
      SERVICE_REJECTED: refusal,
      SNAPSHOT_NOT_FOUND: /^snapshot snap-1 does not exist$/,
    };
    const byReason = isServiceReason(code) && !error.retryable ? refusal : undefined;
    const start = facts[code] ?? byReason ?? /^GetSnapshotBlock of block 7 \(snap-1\) /;
    assert.match(error.message, start);
    assert.deepEqual([error.operation, error.snapshotId, error.block], ['GetSnapshotBlock', 'snap-1', 7]);
    assert.equal(error.cause, thrown);
  });
}

test('a failure with a reply carries its status and request ID', () => {
  const { httpStatus, requestId } = classify(exception('AccessDeniedException', 403), context);
  assert.deepEqual([httpStatus, requestId], [403, 'a-request-id']);
  const parsed = { $response: { statusCode: 200, headers: { 'x-amzn-requestid': 'another' } } };
  const unreadable = classify(Object.assign(new Error('bad JSON'), parsed), context);
  assert.deepEqual([unreadable.httpStatus, unreadable.requestId], [200, 'another']);
});

test('a ColdsnapError is returned unchanged', () => {
  const classified = new ColdsnapError('local', 'ENOSPC', 'the disk is full');
  assert.equal(classify(classified, context), classified);
});

test('any failure after an abort is the abort, with its reason', () => {
  const reason = new ColdsnapError('aborted', 'SIGINT', 'enough');
  assert.equal(classify(network('ECONNRESET'), context, AbortSignal.abort(reason)), reason);
  assert.equal(classify(new Error('x'), context, AbortSignal.abort()).class, 'aborted');
});

test('a reason that is not in the service model is named in the message', () => {
  const error = classify(exception('ValidationException', 400, 'NEW_REASON'), context);
  assert.equal(error.code, 'SERVICE_REJECTED');
  assert.match(error.message, /\(NEW_REASON\)$/);
});

test('a denied permission names the IAM action, and a denied key those of KMS', () => {
  const hint = (reason: string) =>
    classify(exception('AccessDeniedException', 403, reason), context).hint ?? '';
  assert.match(hint('UNAUTHORIZED_ACCOUNT'), /ebs:GetSnapshotBlock/);
  assert.match(hint('DEPENDENCY_ACCESS_DENIED'), /kms:Decrypt/);
  assert.equal(iamAction('DescribeSnapshots'), 'ec2:DescribeSnapshots');
});

test('a certificate that is refused has a hint for its reason', () => {
  const hint = (code: string) => classify(network(code), context).hint ?? '';
  assert.match(hint('SELF_SIGNED_CERT_IN_CHAIN'), /AWS_CA_BUNDLE/);
  for (const code of ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']) assert.match(hint(code), /clock/);
  assert.match(hint('ERR_TLS_CERT_ALTNAME_INVALID'), /host name/);
});

test("the service's own sentence loses its period, because a message stands within a sentence", () => {
  const denied = exception('UnauthorizedOperation', 403, undefined, 'You are not authorized.');
  assert.equal(classify(denied, context).message, 'access denied: You are not authorized');
  const refused = exception('ValidationException', 400, 'INVALID_TAG', 'The tag is wrong.');
  assert.equal(
    classify(refused, context).message,
    'the service refused the request: The tag is wrong (INVALID_TAG)',
  );
});

test('an HTML page as message is cut to one line', () => {
  const html = exception('Unknown', 400, undefined, `<html>${'x'.repeat(1000)}\n<body>`);
  const { message } = classify(html, context);
  assert.ok(message.length < 400);
  assert.ok(!message.includes('\n'));
});

test('only transient classes are retryable', () => {
  const retryable = new Set(['transient', 'throttle', 'expired-credentials', 'not-yet-visible', 'integrity']);
  for (const [sentence, thrown, errorClass] of rows) {
    assert.equal(classify(thrown, context).retryable, retryable.has(errorClass), sentence);
  }
});

test('text from the service has no control characters, and overlong reasons are ignored', () => {
  const command = '\u001b[2J\u009b2J';
  const thrown = {
    name: 'ValidationException',
    message: `no${command}`,
    Reason: `X${command}`,
    $metadata: {},
  };
  const error = classify(thrown, { operation: 'GetSnapshotBlock' });
  assert.deepEqual(
    [error.code, error.message],
    ['SERVICE_REJECTED', 'the service refused the request: no?[2J?2J'],
  );
  assert.equal(classify({ ...thrown, Reason: 'X'.repeat(101) }, { operation: 'x' }).code, 'SERVICE_REJECTED');
  const named = classify(
    { name: command, $metadata: { httpStatusCode: 400, requestId: command } },
    { operation: 'x' },
  );
  assert.doesNotMatch(named.message + named.requestId, /\p{Cc}/u);
});

test('an error reply that breaks off is a network failure, and a complete one has the class of its status', () => {
  const reply = { $metadata: { httpStatusCode: 400 } };
  const lost = Object.assign(new Error('aborted'), reply, { code: 'ECONNRESET' });
  assert.equal(classify(lost, { operation: 'x' }).code, 'CONNECTION_LOST');
  const stalled = Object.assign(new Error('no byte'), reply, { name: 'TimeoutError' });
  assert.equal(classify(stalled, { operation: 'x' }).code, 'STALLED');
  assert.equal(classify(Object.assign(new Error('no JSON'), reply), { operation: 'x' }).class, 'permanent');
});
