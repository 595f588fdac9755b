/** The table of failures: what is thrown, and what it means for the run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify, iamAction } from '../../src/ebs/errors.ts';
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
    'an internal failure may pass',
    exception('InternalServerException', 500),
    'transient',
    'SERVICE_ERROR',
    /HTTP 500/,
  ],
  ['a bad gateway may pass', exception('Unknown', 502), 'transient', 'SERVICE_ERROR'],
  [
    'an unavailable service may come back',
    exception('ServiceUnavailable', 503),
    'transient',
    'SERVICE_ERROR',
  ],
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
    'too many pending snapshots are waited for',
    exception('ConcurrentLimitExceededException', 400),
    'throttle',
    'THROTTLED',
  ],
  [
    'a refusal that breaks off before it says why may be a throttle',
    Object.assign(network('ECONNRESET', 'aborted'), { $metadata: { httpStatusCode: 400 } }),
    'transient',
    'CONNECTION_LOST',
  ],
  [
    'a throttle whose text cannot be read has its name in the head',
    Object.assign(exception('SyntaxError', 400), {
      $response: { headers: { 'x-amzn-errortype': 'com.amazonaws#ThrottlingException:http://a.example/' } },
    }),
    'throttle',
    'THROTTLED',
  ],
  [
    'a refusal by a server that is not the service is none that passes',
    Object.assign(exception('SyntaxError', 400), { $response: { headers: { 'content-type': 'text/html' } } }),
    'permanent',
    'SERVICE_REJECTED',
  ],
  ["EC2's limit is a throttle", exception('RequestLimitExceeded', 503), 'throttle', 'THROTTLED'],
  ['a status of too many requests is a throttle', exception('Unknown', 429), 'throttle', 'THROTTLED'],
  [
    'an expired token is renewed',
    exception('ExpiredTokenException', 403),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    "EC2's expired token is renewed",
    exception('RequestExpired', 400),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    'a signature of a wrong clock is made again',
    exception('InvalidSignatureException', 403),
    'expired-credentials',
    'CREDENTIALS_EXPIRED',
  ],
  [
    'credentials that nobody knows are a matter of configuration',
    exception('UnrecognizedClientException', 403),
    'config',
    'NO_CREDENTIALS',
  ],
  [
    'no credentials at all are a matter of configuration',
    Object.assign(new Error('Could not load credentials from any providers'), {
      name: 'CredentialsProviderError',
    }),
    'config',
    'NO_CREDENTIALS',
    /Could not load/,
  ],
  [
    'a denied permission is a matter of configuration',
    exception('AccessDeniedException', 403, 'UNAUTHORIZED_ACCOUNT'),
    'config',
    'ACCESS_DENIED',
  ],
  [
    "EC2's denied permission is a matter of configuration",
    exception('UnauthorizedOperation', 403),
    'config',
    'ACCESS_DENIED',
  ],
  ['a refusal without a name is a denied permission', exception('Unknown', 403), 'config', 'ACCESS_DENIED'],
  [
    'an exceeded quota is permanent',
    exception('ServiceQuotaExceededException', 402),
    'permanent',
    'QUOTA_EXCEEDED',
  ],
  [
    'a client token used for something else is permanent',
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
    'an expired block token needs a new list',
    exception('ValidationException', 400, 'INVALID_BLOCK_TOKEN'),
    'expired-block-token',
    'BLOCK_TOKEN_EXPIRED',
  ],
  [
    'an expired page token needs a new list',
    exception('ValidationException', 400, 'INVALID_PAGE_TOKEN'),
    'expired-page-token',
    'PAGE_TOKEN_EXPIRED',
  ],
  [
    'data that could not be read may be read the next time',
    exception('ValidationException', 400, undefined, 'Failed to read block data'),
    'transient',
    'BLOCK_DATA_NOT_READ',
  ],
  [
    'a write that took too long may be quicker',
    exception('ValidationException', 400, 'WRITE_REQUEST_TIMEOUT'),
    'transient',
    'WRITE_REQUEST_TIMEOUT',
  ],
  [
    'conflicting writes of one block pass',
    exception('ValidationException', 400, 'CONFLICTING_BLOCK_UPDATE'),
    'transient',
    'CONFLICTING_BLOCK_UPDATE',
  ],
  [
    'an invalid block index stays invalid',
    exception('ValidationException', 400, 'INVALID_BLOCK'),
    'permanent',
    'INVALID_BLOCK',
    /\(INVALID_BLOCK\)/,
  ],
  [
    'snapshots of two lineages stay unrelated',
    exception('ValidationException', 400, 'UNRELATED_SNAPSHOTS'),
    'permanent',
    'UNRELATED_SNAPSHOTS',
  ],
  [
    "a 404 that is not the service's comes from another server",
    exception('SyntaxError', 404, undefined, 'Unexpected token <'),
    'config',
    'WRONG_ENDPOINT',
    /not the service's \(HTTP 404\)/,
  ],
  ['any other refusal is permanent', exception('Teapot', 418), 'permanent', 'SERVICE_REJECTED', /HTTP 418/],
  [
    'a reply that is no reply of the service may be a passing proxy',
    exception('SyntaxError', 200, undefined, 'Unexpected token <'),
    'transient',
    'BAD_REPLY',
    /Unexpected token/,
  ],
  ['a redirect is no reply of the service', exception('Unknown', 302), 'transient', 'BAD_REPLY'],
  [
    'a reset connection is lost',
    network('ECONNRESET', 'read ECONNRESET'),
    'transient',
    'CONNECTION_LOST',
    /read ECONNRESET/,
  ],
  [
    "a reset connection is lost, whatever the SDK's handler calls it",
    network('ECONNRESET', 'socket hang up', 'TimeoutError'),
    'transient',
    'CONNECTION_LOST',
  ],
  ['a broken pipe is lost', network('EPIPE', 'write EPIPE', 'TimeoutError'), 'transient', 'CONNECTION_LOST'],
  [
    'a silent connection has stalled',
    Object.assign(new Error('no byte moved'), { name: 'TimeoutError' }),
    'transient',
    'STALLED',
    /no byte moved/,
  ],
  ["the kernel's timeout is a stall", network('ETIMEDOUT'), 'transient', 'STALLED'],
  ['a refused connection reaches nobody', network('ECONNREFUSED'), 'transient', 'ENDPOINT_UNREACHABLE'],
  [
    'an unknown host name reaches nobody',
    network('ENOTFOUND', 'getaddrinfo ENOTFOUND ebs.x'),
    'transient',
    'ENDPOINT_UNREACHABLE',
    /ebs\.x/,
  ],
  [
    'a host of which no address answers reaches nobody, and says why',
    Object.assign(new AggregateError([network('ECONNREFUSED', 'connect ECONNREFUSED ::1:443')], ''), {
      code: 'ECONNREFUSED',
    }),
    'transient',
    'ENDPOINT_UNREACHABLE',
    /ECONNREFUSED ::1:443/,
  ],
  [
    'a certificate by nobody known is not trusted',
    network('UNABLE_TO_VERIFY_LEAF_SIGNATURE'),
    'config',
    'TLS_UNTRUSTED',
  ],
  [
    'a certificate by itself is not trusted',
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
  ['a missing region is a matter of configuration', new Error('Region is missing'), 'config', 'NO_REGION'],
  [
    'an abort of the SDK is an abort',
    Object.assign(new Error('Request aborted'), { name: 'AbortError' }),
    'aborted',
    'ABORTED',
  ],
  [
    'a mistake of this program is not repeated',
    new TypeError('x is not a function'),
    'permanent',
    'INTERNAL_ERROR',
    /x is not a function/,
  ],
  [
    'anything without a reply is a lost connection',
    new Error('what?'),
    'transient',
    'CONNECTION_LOST',
    /what\?/,
  ],
  ['a thrown string is a lost connection', 'oops', 'transient', 'CONNECTION_LOST', /oops/],
  ['a thrown nothing is a lost connection', undefined, 'transient', 'CONNECTION_LOST'],
];

for (const [sentence, thrown, errorClass, code, message = /./] of rows) {
  test(sentence, () => {
    const error = classify(thrown, context);
    assert.deepEqual([error.class, error.code], [errorClass, code], error.message);
    assert.match(error.message, message);
    assert.match(error.message, /^GetSnapshotBlock of block 7 \(snap-1\) /);
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

test('a failure that was judged stays as it was judged', () => {
  const judged = new ColdsnapError('local', 'ENOSPC', 'the disk is full');
  assert.equal(classify(judged, context), judged);
});

test('whatever fails after an abort is the abort, with its reason', () => {
  const reason = new ColdsnapError('aborted', 'SIGINT', 'enough');
  assert.equal(classify(network('ECONNRESET'), context, AbortSignal.abort(reason)), reason);
  assert.equal(classify(new Error('x'), context, AbortSignal.abort()).class, 'aborted');
});

test('a reason that the service model does not have is named in the message', () => {
  const error = classify(exception('ValidationException', 400, 'NEW_REASON'), context);
  assert.equal(error.code, 'SERVICE_REJECTED');
  assert.match(error.message, /\(NEW_REASON\)$/);
});

test('a denied permission names the action to allow, and a denied key those of KMS', () => {
  const hint = (reason: string) =>
    classify(exception('AccessDeniedException', 403, reason), context).hint ?? '';
  assert.match(hint('UNAUTHORIZED_ACCOUNT'), /ebs:GetSnapshotBlock/);
  assert.match(hint('DEPENDENCY_ACCESS_DENIED'), /kms:Decrypt/);
  assert.equal(iamAction('DescribeSnapshots'), 'ec2:DescribeSnapshots');
});

test('a page of HTML as message is cut to one sentence', () => {
  const html = exception('Unknown', 400, undefined, `<html>${'x'.repeat(1000)}\n<body>`);
  const { message } = classify(html, context);
  assert.ok(message.length < 400);
  assert.ok(!message.includes('\n'));
});

test('only what may pass is retryable', () => {
  const retryable = new Set(['transient', 'throttle', 'expired-credentials', 'not-yet-visible', 'integrity']);
  for (const [sentence, thrown, errorClass] of rows) {
    assert.equal(classify(thrown, context).retryable, retryable.has(errorClass), sentence);
  }
});

test('what a service says reaches no terminal as a command, and no reason is longer than reasons are', () => {
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
    ['SERVICE_REJECTED', 'GetSnapshotBlock was refused: no?[2J?2J'],
  );
  assert.equal(classify({ ...thrown, Reason: 'X'.repeat(101) }, { operation: 'x' }).code, 'SERVICE_REJECTED');
  const named = classify(
    { name: command, $metadata: { httpStatusCode: 400, requestId: command } },
    { operation: 'x' },
  );
  assert.doesNotMatch(named.message + named.requestId, /\p{Cc}/u);
});

test('an error reply that breaks off may have been any; one that came whole is what its status says', () => {
  const reply = { $metadata: { httpStatusCode: 400 } };
  const lost = Object.assign(new Error('aborted'), reply, { code: 'ECONNRESET' });
  assert.equal(classify(lost, { operation: 'x' }).code, 'CONNECTION_LOST');
  const stalled = Object.assign(new Error('no byte'), reply, { name: 'TimeoutError' });
  assert.equal(classify(stalled, { operation: 'x' }).code, 'STALLED');
  assert.equal(classify(Object.assign(new Error('no JSON'), reply), { operation: 'x' }).class, 'permanent');
});
