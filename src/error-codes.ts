/**
 * Every code of an error, with its meaning. docs/errors.md is generated from this file (`npm run docs`).
 * Import only types from here at start-up: `--help` does not need the texts.
 */
import type { ErrorClass } from './errors.ts';

/** Reasons of the service's ValidationException that are passed on as codes. */
export const serviceReasons = {
  INVALID_BLOCK: 'the service rejected the data or the index of a block',
  INVALID_CONTENT_ENCODING: 'the service rejected the encoding of a request',
  INVALID_CUSTOMER_KEY: 'the KMS key does not exist, is disabled or cannot be used',
  INVALID_DEPENDENCY_REQUEST: 'a service behind EBS, such as KMS, rejected a request',
  INVALID_GRANT_TOKEN: 'the service rejected a KMS grant token',
  INVALID_IMAGE_ID: 'the service rejected an AMI ID',
  INVALID_PARAMETER_VALUE: 'the service rejected the value of a parameter',
  INVALID_SNAPSHOT_ID: 'the snapshot is not in a state that allows the request, or the ID is wrong',
  INVALID_TAG: 'the service rejected a tag',
  INVALID_VOLUME_SIZE: 'the service rejected the volume size',
  UNRELATED_SNAPSHOTS: 'the two snapshots are not of the same volume',
} as const;

/** Codes by error class. A code whose cause decides the class is listed in several. */
export const errorCodes = {
  usage: {
    ARGUMENTS_SWAPPED: 'the snapshot ID and the target are in the wrong order',
    BAD_CHECKPOINT_INTERVAL: 'the checkpoint interval is out of range',
    BAD_CREDENTIALS: 'the credentials of the emulator are malformed',
    BAD_CREDENTIALS_FILE: "the emulator's credentials file is missing or is not JSON",
    BAD_DEADLINE: 'a connection deadline is out of range',
    BAD_DESCRIPTION: 'the description is too long',
    BAD_ENDPOINT: 'an endpoint is not a URL',
    BAD_FAULTS: 'a fault rule of the emulator is malformed',
    BAD_FAULTS_FILE: "the emulator's fault file is missing or is not a JSON array of rules",
    BAD_HOLE_MAP: 'the hole map is unreadable, malformed or does not cover the image',
    BAD_MAP_CELLS: 'the number of cells of a map is out of range',
    BAD_OPTION: 'an option of the library has the wrong type or a NUL, or is missing',
    BAD_RATE: 'the rate limit is not above 0',
    BAD_REGION: 'the region is malformed',
    BAD_RETRY_FOR: 'the retry time is negative or not a number',
    BAD_SAMPLE: 'the sample is not above 0 and at most 100 percent',
    BAD_SNAPSHOT_ID: 'the snapshot ID is malformed',
    BAD_TAG: 'a tag is too long, duplicated or reserved, or there are too many',
    BAD_TLS_FILES: "the emulator's TLS key or certificate is missing or cannot be used",
    BAD_VOLUME_SIZE: 'the volume size is out of range',
    BAD_WAIT_OPTION: 'an option of waiting is out of range, or the status does not exist',
    BAD_WORKERS: 'the number of workers is out of range',
    BASE_NEEDS_JOURNAL: 'an incremental download without a journal was requested',
    CHECKPOINT_NOT_OURS:
      'the file for the journal is another file of the transfer, or exists and is no journal of such a transfer',
    CONFLICTING_OPTIONS: 'two options exclude each other, or one requires another',
    COPY_ONTO_ITSELF: 'a copy was requested that would not differ from its source',
    EXCESS_ARGUMENTS: 'the command line has too many arguments',
    HOLES_NEED_FILE: 'holes were requested from a stream, which has none',
    INVALID_ARGUMENT: 'the value of an option or argument is not accepted',
    MISSING_ARGUMENT: 'a required argument is missing',
    MISSING_COMMAND: 'the command line has no command',
    NAME_NOT_UTF8: 'a name is not UTF-8 and cannot be passed on exactly',
    OPTION_MISSING_ARGUMENT: 'an option is missing its value',
    PARENT_WITH_ENCRYPTION: 'a parent and encryption were requested together',
    SAME_TARGET: 'two targets of one download are the same file or device, or share storage',
    SEVERAL_TARGETS: 'a stream, or a file for the journal, was named with several targets',
    SOURCE_EMPTY: 'the source has no bytes',
    SOURCE_IS_DIRECTORY: 'the source is a directory',
    SOURCE_IS_TERMINAL: 'the source is a terminal',
    SOURCE_MISSING: 'the source, or the image to compare, does not exist',
    SOURCE_NAME_EMPTY: 'the name of the source is empty',
    SOURCE_NOT_BYTES: 'the source stream yields strings or objects',
    SOURCE_NOT_HASHED: 'the SHA-256 of a stream was requested, which can be read only once',
    SOURCE_NOT_SUPPORTED: 'the source is not a file, block device, pipe or stream',
    SOURCE_SIZE_UNKNOWN: 'the source is a stream and no volume size is given',
    SOURCE_TOO_LARGE: 'the source is larger than the largest volume',
    SOURCE_TOO_LONG: 'the source stream is longer than the volume',
    TARGET_DEVICE_MISSING: 'the target is a path in /dev where no device is',
    TARGET_IS_DIRECTORY: 'the target is a directory',
    TARGET_IS_TERMINAL: 'the target is a terminal',
    TARGET_NAME_EMPTY: 'the name of the target is empty',
    TARGET_NOT_READ_BACK: 'the target is a stream, which cannot be read back',
    TARGET_NOT_SUPPORTED:
      'the target is not a file, block device, pipe or stream, is a closed stdout, or a FIFO that another user made',
    TARGET_PARENT_MISSING: 'the directory of the target does not exist',
    UNKNOWN_COMMAND: 'the command does not exist',
    UNKNOWN_OPTION: 'the option does not exist',
    VOLUME_TOO_SMALL: 'the volume is smaller than the source',
  },
  refused: {
    BASE_MISMATCH: 'the file given as the base is not of the parent',
    CHILD_TOO_SMALL: 'the volume would be smaller than that of its parent',
    DATA_DIRECTORY_IN_USE: 'another emulator uses the data directory',
    DEVICE_CHANGED: 'the path referred to another device by the time it was opened',
    DEVICE_IN_USE: 'the device is mounted, used as swap or held by another program',
    DIGESTS_EXIST: 'the file to save digests in exists and is not a digest file',
    HOLE_MAP_WRONG: 'the hole map calls data of the image a hole',
    NOT_A_PENDING_UPLOAD: 'the snapshot to delete is not an incomplete upload of coldsnap',
    OMIT_WITH_ENCRYPTION: 'omitting zeros would corrupt an encrypted snapshot',
    OMIT_WITH_PARENT: 'omitting zeros would corrupt a snapshot with a parent',
    PARENT_MISMATCH: 'the parent of an incremental copy is not a copy of the base',
    PARTIAL_FOREIGN: 'the name of the partial file is taken by something else',
    RESUME_MISMATCH: 'the target was changed since the interrupted download',
    SEVERAL_TARGETS: 'an incremental download was requested for several targets',
    SOURCE_BUSY: 'another run is uploading the source, or makes the same copy',
    SOURCE_IN_USE: 'the source device is mounted read-write or open for writing',
    SOURCE_IS_CONTAINER: 'the source is compressed, an archive, or a disk image in another format than raw',
    SOURCE_NO_MEDIUM: 'the source device has no medium',
    TARGET_BETWEEN: 'the target holds an interrupted download, which must be finished or overwritten',
    TARGET_BUSY: 'another run is writing the target, or uses the same journal',
    TARGET_DANGLING_SYMLINK: 'the target is a symbolic link to nothing',
    TARGET_EXISTS: 'the target file exists',
    TARGET_HOLDS_NO_BASE:
      'the target of an incremental download is missing, a stream, or has another size than its base',
    TARGET_IN_USE:
      'the target file is a loop device, swap or a mount point, or another program writes or locks it; or the device to compare may be written',
    TARGET_NOT_BLANK: 'the target device holds data',
    TARGET_NO_MEDIUM: 'the target device has no medium',
    TARGET_READ_ONLY: 'the target device is read-only',
    TARGET_TOO_SMALL: "the target device is smaller than the snapshot's volume",
    UPLOAD_RUNNING: 'the snapshot to delete is being uploaded by a run on this machine',
  },
  config: {
    ACCESS_DENIED: 'the service denied the request; the hint names the IAM action',
    ADDON_NOT_LOADED: 'the native addon is missing or does not load',
    BAD_ENDPOINT: 'an endpoint in the environment or the profile is not a URL',
    BAD_PROXY: 'a proxy variable is malformed',
    BAD_SETTING: 'a variable or profile key has a value that is not accepted',
    CA_BUNDLE_UNREADABLE: 'the file of certificate authorities cannot be read or has none',
    CONFIG_FILE_INVALID: 'an AWS configuration file has a line that cannot be parsed',
    CREDENTIALS_EXPIRED: 'the credentials had expired before the first request',
    CREDENTIALS_FAILED: 'a credential provider is configured but failed; the message names it',
    MFA_NEEDED: 'the role needs an MFA code and nobody can be asked',
    NO_CREDENTIALS: 'there are no usable credentials',
    NO_REGION: 'no region is configured',
    PROFILE_INVALID: 'the profile is incomplete or contradicts itself',
    PROFILE_NOT_FOUND: 'the chosen profile does not exist',
    PROXY_REFUSED: 'the proxy refused the connection or asks for a password',
    ROLE_REFUSED: 'AWS STS refused to assume the role',
    SSO_LOGIN_NEEDED: 'the SSO session has expired or does not exist',
    TLS_MISMATCH: 'the endpoint does not speak TLS, or no common version of it',
    TLS_UNTRUSTED: 'the certificate of the endpoint or of the proxy is not trusted',
    WRONG_ENDPOINT: 'the endpoint is not that of the service',
  },
  'expired-credentials': {
    CREDENTIALS_EXPIRED: 'the credentials expired, or the clock is wrong',
  },
  transient: {
    BAD_REPLY: 'a reply did not come from the service, or is incomplete',
    BLOCK_DATA_NOT_READ: 'the service could not read the data of a block',
    CONFLICTING_BLOCK_UPDATE: 'another request was writing the same block',
    CONNECTION_LOST: 'the connection broke',
    ENDPOINT_UNREACHABLE: 'the endpoint does not resolve or does not accept connections',
    PROXY_UNREACHABLE: 'the proxy cannot be reached, or cannot reach the endpoint',
    SERVICE_ERROR: 'the service failed (HTTP 5xx)',
    STALLED: 'a connection moved no data until its deadline',
    WRITE_REQUEST_TIMEOUT: 'the service timed out while writing a block',
  },
  throttle: {
    THROTTLED: 'the service asked for a lower rate',
  },
  'expired-block-token': {
    BLOCK_TOKEN_EXPIRED: 'a block token expired',
  },
  'expired-page-token': {
    PAGE_TOKEN_EXPIRED: 'a page token expired',
  },
  'gave-up': {
    COMPLETION_UNKNOWN: 'the reply to the completion was lost, and EC2 could not be asked whether it counted',
    SNAPSHOT_NOT_READABLE: 'the snapshot is completed but cannot be listed',
    STALLED: 'nothing made progress for the retry time',
    WAIT_TIMED_OUT: 'the snapshot did not reach the desired status in time',
  },
  integrity: {
    BASE_DIFFERS: 'the target does not hold the base of the incremental download',
    BASE_MISMATCH: 'the image given as the base is not of the parent',
    BLOCK_INVALID: 'a block has the wrong length or no valid checksum',
    CHECKSUM_MISMATCH: 'a block does not match its checksum',
    DIGESTS_DAMAGED: 'the digest file is damaged',
    IMAGE_DIFFERS: 'the image differs from the snapshot',
    IMAGE_TOO_SHORT: "the image is smaller than the snapshot's volume",
    TARGET_DAMAGED: 'what was written does not read back, even when it is written again',
  },
  permanent: {
    BAD_GEOMETRY: 'the volume size and block size do not fit together',
    BAD_LIST: 'a list of blocks or snapshots is inconsistent',
    BAD_REPLY: 'a reply is too long or has an impossible block size',
    CONFLICT: 'the request conflicts with an earlier one',
    INCOMPLETE: 'a stream target was committed before all of it was written',
    INTERNAL_ERROR: 'a bug in coldsnap',
    OUTSIDE_VOLUME: 'a range lies outside the volume',
    OUT_OF_ORDER: 'a range of a stream was read or written twice',
    QUOTA_EXCEEDED: 'a service quota is exhausted',
    SERVICE_REJECTED: 'the service rejected the request; the message has its reason',
    SNAPSHOT_FAILED: 'the snapshot is in a state from which it cannot complete',
    SNAPSHOT_NOT_FOUND: 'the snapshot does not exist in this region and account',
    ...serviceReasons,
  },
  local: {
    DATA_DIRECTORY_DAMAGED: 'a file in the data directory of the emulator is damaged, or of another program',
    DEVICE_REPLACED: 'the path no longer refers to the device that was written',
    JOURNAL_REQUIRED: 'the journal of an incremental download could not be written',
    PARTIAL_REPLACED: 'the partial file was moved, removed, replaced or resized while it was written',
    SOURCE_CHANGED: 'the source changed while it was read',
    STREAM_FAILED: "the caller's stream failed",
  },
  aborted: {
    ABORTED: "the caller's AbortSignal fired",
    CLOSED: 'a target or source was used after it was closed',
    EPIPE: 'the reader of stdout or of the target closed it',
    SIGHUP: 'stopped by SIGHUP',
    SIGINT: 'stopped by SIGINT',
    SIGTERM: 'stopped by SIGTERM',
  },
} as const satisfies Partial<Record<ErrorClass, Readonly<Record<string, string>>>>;

type KeyOfEach<T> = T extends unknown ? keyof T : never;

/** A code from the list of error codes in docs/errors.md. */
export type ErrorCode = KeyOfEach<(typeof errorCodes)[keyof typeof errorCodes]>;

/** The errno name of a failed system call, such as `ENOSPC`. */
export type SystemErrorCode = `E${string}`;

type ServiceReason = keyof typeof serviceReasons;

export function isServiceReason(reason: string): reason is ServiceReason {
  return Object.hasOwn(serviceReasons, reason);
}
