/** The outcome of each fault of each operation: what the tables of faults expect. */
import type { Fault } from './faults.ts';

export type Outcome = 'recovers' | 1 | 4 | 5 | 6;
/** The outcome of a fault that occurs twice, and of a permanent one. */
export type Expected = readonly [twice: Outcome, always: Outcome];

const harmless: Expected = ['recovers', 'recovers'];
const transient: Expected = ['recovers', 5];
const wrongData: Expected = ['recovers', 6];
const permanent = (exitCode: Outcome): Expected => [exitCode, exitCode];

/** The outcome for most operations. */
const usual: Record<Fault, Expected> = {
  'is HTTP 500': transient,
  'is HTTP 500 after the request was executed': transient,
  'is HTTP 503': transient,
  'is a throttle of the snapshot': transient,
  'is a throttle of the account': transient,
  'is an EC2 throttle': transient,
  // The first is a reason to fetch new credentials; the second is final.
  'reports expired credentials': permanent(4),
  'denies access': permanent(4),
  'reports that the snapshot does not exist': permanent(1),
  'rejects the block token': permanent(5),
  'rejects the page token': permanent(5),
  'is a validation error': permanent(1),
  'is a conflict': permanent(1),
  'reports an exceeded quota': permanent(1),
  'reports a conflicting write of the block': transient,
  'is lost': transient,
  'is lost after the request was executed': transient,
  'is a reset': transient,
  'is cut off in the body': transient,
  'is reset in the body': transient,
  'stalls before the request is read': transient,
  stalls: transient,
  'stalls after the request was executed': transient,
  'stalls in the body': transient,
  'stalls after the headers': transient,
  'is shorter than Content-Length': transient,
  'is shorter than x-amz-Data-Length': transient,
  'has a flipped bit': transient,
  'has the checksum of other data': harmless,
  'has no checksum': harmless,
  'has a CRC32 checksum': harmless,
  'has a data length longer than a block': harmless,
  'has a data length of 0': harmless,
  'has a data length of -1': harmless,
  'has a data length of 10^20': harmless,
  'has no data length': harmless,
  'is chunked': harmless,
  'is a page of HTML with status 500': transient,
  'is a page of HTML with status 200': transient,
  'is a page of HTML with status 302': transient,
  'is a page of HTML with status 404': permanent(4),
  'arrives slowly': harmless,
  'closes the connection': harmless,
  'closes the connection without announcing it': harmless,
  'has a header of 64 KiB': transient,
  'has 10,000 headers': transient,
  'is truncated JSON': transient,
  'lists a block outside the volume': harmless,
  'lists block -1': harmless,
  'lists blocks in reverse': harmless,
  'lists blocks twice': harmless,
  'reports a volume of 2^40 GiB': harmless,
  'is an empty page with a new page token': harmless,
  'is an empty page with the previous page token': harmless,
  'is delayed': harmless,
};

const lists: Partial<Record<Fault, Expected>> = {
  'lists a block outside the volume': permanent(1),
  'lists block -1': permanent(1),
  'lists blocks twice': permanent(1),
  'reports a volume of 2^40 GiB': permanent(1),
  'is an empty page with a new page token': ['recovers', 1],
  'is an empty page with the previous page token': permanent(1),
};

/** Where operations differ from that. */
const differing: Record<string, Partial<Record<Fault, Expected>>> = {
  ListSnapshotBlocks: lists,
  ListChangedBlocks: lists,
  GetSnapshotBlock: {
    // The fault rejects the token of the new listing too.
    'rejects the block token': permanent(1),
    'is shorter than x-amz-Data-Length': wrongData,
    'has a flipped bit': wrongData,
    'has the checksum of other data': wrongData,
    'has no checksum': wrongData,
    'has a CRC32 checksum': wrongData,
    'has a data length longer than a block': wrongData,
    'has a data length of 0': wrongData,
    'has a data length of -1': wrongData,
    'has a data length of 10^20': wrongData,
    'has no data length': wrongData,
    'is a page of HTML with status 200': wrongData,
    'is truncated JSON': wrongData,
  },
  StartSnapshot: {},
  PutSnapshotBlock: {
    // The snapshot is new: some servers of the service may not know it yet.
    'reports that the snapshot does not exist': ['recovers', 1],
    'is shorter than x-amz-Data-Length': harmless,
    'has a flipped bit': harmless,
    'is truncated JSON': harmless,
    'has the checksum of other data': wrongData,
  },
  CompleteSnapshot: {
    // The status of the reply is enough: a repeated completion finds the snapshot completed.
    'is shorter than x-amz-Data-Length': harmless,
    'has a flipped bit': harmless,
    'is truncated JSON': harmless,
  },
  DescribeSnapshots: {
    // EC2 is eventually consistent: polling continues until the timeout.
    'reports that the snapshot does not exist': ['recovers', 5],
    'rejects the block token': permanent(1),
    'rejects the page token': permanent(1),
    'reports a conflicting write of the block': permanent(1),
  },
  DeleteSnapshot: {
    // Another client has deleted it.
    'reports that the snapshot does not exist': harmless,
    // The first reply is retried, and the second is an error that cannot be parsed.
    'is shorter than x-amz-Data-Length': permanent(1),
    'has a flipped bit': permanent(1),
    'is truncated JSON': permanent(1),
    'rejects the block token': permanent(1),
    'rejects the page token': permanent(1),
    'reports a conflicting write of the block': permanent(1),
  },
};

/** The operations that a transfer or a call of the library uses. */
export const operations: readonly string[] = Object.keys(differing);

export function expectedOutcomes(operation: string, fault: Fault): Expected {
  return differing[operation]?.[fault] ?? usual[fault];
}

/** How messages begin that need not name the operation; a pattern. */
export const facts =
  'snap-|snapshot snap-\\S+ does not exist|access denied: |the service refused the request: |a quota of the service is exceeded: |the credentials cannot be used: ';
