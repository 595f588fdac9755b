/** Error replies of the EBS direct APIs and EC2, by the name of the exception or else by HTTP status. */
import { isServiceReason } from '../error-codes.ts';
import type { ColdsnapError } from '../errors.ts';
import type { MakeError } from './errors.ts';
import { type Failure, throttleNames } from './failure.ts';
import type { RequestContext } from './request-context.ts';

/** Refused for its time or the age of the credentials: new credentials or a corrected clock may help, once. */
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

/** Reasons of validation errors that may not occur the next time. */
const transientReasons = ['WRITE_REQUEST_TIMEOUT', 'CONFLICTING_BLOCK_UPDATE'] as const;

/**
 * Replies of load balancers and proxies about the connection: a request that came too late on a free one (408), the wrong one
 * (421), or too early (425).
 */
const timingStatuses: ReadonlySet<number> = new Set([408, 421, 425]);

/** Hints for reasons that the service's own message does not explain. */
const hintsByReason: Readonly<Record<string, string>> = {
  INVALID_CUSTOMER_KEY:
    'Check that the key exists in this region, is enabled and symmetric, and that this identity may use it.',
  INVALID_SNAPSHOT_ID:
    'Check the snapshot ID; only a completed snapshot can be read or used as parent ("coldsnap wait" waits for it).',
  UNRELATED_SNAPSHOTS:
    'Only snapshots of one volume, or of a chain of parents, can be compared; a full download works with any.',
};

/** The service's own words about a request that it does not carry out. */
const refusal = (words: string) => ({ fact: `the service refused the request: ${words}` });

/** The class of an exception that is known by name; undefined for any other. */
export function classifyException(
  failure: Failure,
  { operation, snapshotId }: RequestContext,
  make: MakeError,
): ColdsnapError | undefined {
  const { name, message, reason } = failure;
  if (throttleNames.has(name)) {
    return make('throttle', 'THROTTLED', `was throttled (${name}${reason ? `, ${reason}` : ''})`);
  }
  if (expiredNames.has(name)) {
    return make(
      'expired-credentials',
      'CREDENTIALS_EXPIRED',
      refusal(message || name),
      'Renew the credentials (for example with "aws sso login") and check the clock of this machine.',
    );
  }
  if (credentialNames.has(name)) {
    return make(
      'config',
      'NO_CREDENTIALS',
      { fact: `the credentials cannot be used: ${message || name}` },
      'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or attach an instance role.',
    );
  }
  if (deniedNames.has(name)) {
    const hint =
      reason === 'DEPENDENCY_ACCESS_DENIED'
        ? 'Allow this identity to use the KMS key that encrypts the snapshot (kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext, kms:DescribeKey).'
        : deniedHint(operation);
    return make('config', 'ACCESS_DENIED', { fact: `access denied: ${message || name}` }, hint);
  }
  if (name === 'ServiceQuotaExceededException') {
    return make(
      'permanent',
      'QUOTA_EXCEEDED',
      { fact: `a quota of the service is exceeded: ${message}` },
      'Raise the quota in Service Quotas (Amazon EBS).',
    );
  }
  if (name === 'ConflictException') return make('permanent', 'CONFLICT', refusal(message));
  if (name === 'ResourceNotFoundException' || name === 'InvalidSnapshot.NotFound') {
    return make(
      'permanent',
      'SNAPSHOT_NOT_FOUND',
      snapshotId === undefined
        ? refusal(message || 'the snapshot does not exist')
        : { fact: `snapshot ${snapshotId} does not exist` },
      'Check the snapshot ID, the region and the account.',
    );
  }
  if (name === 'ValidationException') return classifyValidation(message, reason, make);
  return undefined;
}

function classifyValidation(message: string, reason: string | undefined, make: MakeError): ColdsnapError {
  if (reason === 'INVALID_BLOCK_TOKEN') {
    return make('expired-block-token', 'BLOCK_TOKEN_EXPIRED', 'needs a new block token');
  }
  if (reason === 'INVALID_PAGE_TOKEN') {
    return make('expired-page-token', 'PAGE_TOKEN_EXPIRED', 'needs a new page token');
  }
  const transient = transientReasons.find((listed) => listed === reason);
  if (transient !== undefined) return make('transient', transient, `failed: ${message}`);
  if (/failed to read block data/i.test(message))
    return make('transient', 'BLOCK_DATA_NOT_READ', `failed: ${message}`);
  return make(
    'permanent',
    reason !== undefined && isServiceReason(reason) ? reason : 'SERVICE_REJECTED',
    refusal(`${message}${reason ? ` (${reason})` : ''}`),
    hintsByReason[reason ?? ''],
  );
}

/** The class of a reply without a known exception. */
export function classifyStatus(
  { name, message, fromProxy }: Failure,
  httpStatus: number,
  make: MakeError,
): ColdsnapError {
  if (httpStatus === 407 || (fromProxy && httpStatus >= 400 && httpStatus < 500)) {
    return make(
      'config',
      'PROXY_REFUSED',
      httpStatus === 407
        ? 'was refused by the proxy, which asks for a user and password (HTTP 407)'
        : `was refused by the proxy (HTTP ${httpStatus})`,
      'Check the proxy variables, or list the host in NO_PROXY.',
    );
  }
  if (httpStatus >= 500) {
    return make('transient', 'SERVICE_ERROR', `failed in the service (HTTP ${httpStatus})`);
  }
  if (timingStatuses.has(httpStatus))
    return make('transient', 'BAD_REPLY', `got a reply that is not from the service (HTTP ${httpStatus})`);
  if (httpStatus === 429) return make('throttle', 'THROTTLED', 'was throttled (HTTP 429)');
  if (httpStatus === 403 || httpStatus === 401) {
    return make('config', 'ACCESS_DENIED', {
      fact: `access denied: ${name === 'SyntaxError' ? 'the reply is not from the service' : message || name}`,
    });
  }
  // A success or redirect that could not be parsed: a proxy answered, or the reply was damaged.
  if (httpStatus < 400) {
    return make(
      'transient',
      'BAD_REPLY',
      `got a reply that is not from the service (HTTP ${httpStatus}: ${message})`,
    );
  }
  // The service names everything that it does not find.
  if (httpStatus === 404) {
    return make(
      'config',
      'WRONG_ENDPOINT',
      'got a reply that is not from the service (HTTP 404)',
      'Check that the endpoint URL belongs to the EBS direct APIs, or to EC2 for EC2 operations.',
    );
  }
  return make('permanent', 'SERVICE_REJECTED', refusal(`${message || name} (HTTP ${httpStatus})`));
}

const ec2Operations = ['DescribeSnapshots', 'DeleteSnapshot', 'CreateTags'];
const ebsOperations = [
  'CompleteSnapshot',
  'GetSnapshotBlock',
  'ListChangedBlocks',
  'ListSnapshotBlocks',
  'PutSnapshotBlock',
  'StartSnapshot',
];

/** The IAM action that allows an operation; undefined for anything that IAM has no action for. */
export function iamAction(operation: string): string | undefined {
  if (ec2Operations.includes(operation)) return `ec2:${operation}`;
  return ebsOperations.includes(operation) ? `ebs:${operation}` : undefined;
}

function deniedHint(operation: string): string | undefined {
  const action = iamAction(operation);
  if (action === undefined) return undefined;
  // These have no snapshot that a policy could name.
  const everywhere = operation === 'DescribeSnapshots' || operation === 'StartSnapshot';
  return `Allow the IAM action ${action} on ${everywhere ? 'all snapshots' : 'this snapshot'}.`;
}
