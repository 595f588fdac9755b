/**
 * Checks that a reply agrees with its request and with itself. The SDK and HTTP clients believe whatever a server, a
 * proxy or a captive portal sends.
 */
import { ColdsnapError } from '../errors.ts';
import { type ReceivedBlock, SNAPSHOT_ID } from './api.ts';
import type { RequestContext } from './request-context.ts';

/** The only checksum algorithm of the EBS direct APIs. */
export const CHECKSUM_ALGORITHM = 'SHA256';
const SHA256_BYTES = 32;
/** Limits of block sizes, so that a hostile reply cannot cause a huge allocation. AWS uses 512 KiB. */
const MIN_BLOCK_SIZE = 512;
const MAX_BLOCK_SIZE = 16 * 1024 * 1024;
const WRONG_REPLY = 'Check that no proxy changes replies; otherwise ask AWS Support, with the request ID.';

/** Headers of a block's reply. */
interface BlockHeaders {
  readonly dataLength: number | undefined;
  /** Base64. */
  readonly checksum: string | undefined;
  readonly algorithm: string | undefined;
  readonly requestId: string | undefined;
}

/**
 * Checks a block's headers before any of its data is used.
 * @throws ColdsnapError class `integrity`, code `BLOCK_INVALID`
 */
export function checkBlockHeaders(
  context: RequestContext,
  blockSize: number,
  headers: BlockHeaders,
): ReceivedBlock {
  const { dataLength, checksum, algorithm, requestId } = headers;
  if (algorithm !== CHECKSUM_ALGORITHM) {
    const found = algorithm === undefined ? 'no checksum algorithm' : `checksum algorithm ${algorithm}`;
    throw badBlock(context, `has ${found}, expected ${CHECKSUM_ALGORITHM}`, requestId);
  }
  if (!isIntegerFrom(1, blockSize, dataLength)) {
    const found = dataLength === undefined ? 'no data length' : `data length ${dataLength}`;
    throw badBlock(context, `has ${found}, expected 1 to ${blockSize}`, requestId);
  }
  const digest = Buffer.from(checksum ?? '', 'base64');
  // Node ignores what is no base64.
  const canonical = digest.length === SHA256_BYTES && digest.toString('base64') === checksum;
  if (!canonical) throw badBlock(context, 'has no valid checksum', requestId);
  return { dataLength, digest, requestId };
}

/**
 * Checks that a block's body is as long as its header says.
 * @throws ColdsnapError class `integrity`, code `BLOCK_INVALID`
 */
export function checkBodyLength(
  context: RequestContext,
  length: number,
  { dataLength }: ReceivedBlock,
  requestId: string | undefined,
): void {
  if (length === dataLength) return;
  throw badBlock(context, `has ${length} bytes, but its header says ${dataLength}`, requestId);
}

/**
 * Checks that the service stored a block under the checksum it was sent with.
 * @param stored checksum in the reply; not every reply has one
 * @throws ColdsnapError class `integrity`, code `BLOCK_INVALID`
 */
export function checkStoredChecksum(
  context: RequestContext,
  sent: string,
  stored: string | undefined,
  requestId: string | undefined,
): void {
  if (stored === undefined || stored === sent) return;
  throw badBlock(context, 'was stored with a different checksum', requestId);
}

/** The error for a block whose data, or whose description in a reply, cannot be right. */
export function badBlock(context: RequestContext, problem: string, requestId?: string): ColdsnapError {
  const message = `block ${context.block} of ${context.snapshotId} ${problem}`;
  return new ColdsnapError('integrity', 'BLOCK_INVALID', message, {
    ...context,
    requestId,
    hint: WRONG_REPLY,
  });
}

/** The error for a block whose data do not have the checksum that the service sent with them. */
export function wrongData(context: RequestContext): ColdsnapError {
  const { message, hint } = badBlock(context, 'arrived with data that do not match its checksum');
  return new ColdsnapError('integrity', 'CHECKSUM_MISMATCH', message, { ...context, hint });
}

/**
 * Checks the status of a reply that has no content to check: any page of a proxy or captive portal comes with 200.
 * @throws ColdsnapError class `transient`, code `BAD_REPLY`
 */
export function checkStatus(
  context: RequestContext,
  expected: number,
  { httpStatusCode, requestId }: { httpStatusCode?: number | undefined; requestId?: string | undefined },
): void {
  if (httpStatusCode === expected) return;
  const status = `HTTP ${httpStatusCode}, expected ${expected}`;
  throw new ColdsnapError(
    'transient',
    'BAD_REPLY',
    `${context.operation} got a reply that is not from the service (${status})`,
    { ...context, requestId, httpStatus: httpStatusCode, hint: WRONG_REPLY },
  );
}

/**
 * Checks a block size that the service reported: a multiple of 512 from 512 to 16 MiB.
 * @throws ColdsnapError class `permanent`, code `BAD_REPLY`
 */
export function checkBlockSize(context: RequestContext, blockSize: number | undefined): number {
  if (isIntegerFrom(MIN_BLOCK_SIZE, MAX_BLOCK_SIZE, blockSize) && blockSize % 512 === 0) return blockSize;
  const message = `${context.operation} reported a block size of ${blockSize} bytes`;
  throw new ColdsnapError('permanent', 'BAD_REPLY', message, { ...context, hint: WRONG_REPLY });
}

/**
 * Checks the ID of a new snapshot, which becomes part of paths, journals and terminal output.
 * @throws ColdsnapError class `transient`, code `BAD_REPLY`
 */
export function checkSnapshotId(context: RequestContext, snapshotId: string | undefined): string {
  if (typeof snapshotId === 'string' && SNAPSHOT_ID.test(snapshotId)) return snapshotId;
  const message = `${context.operation} returned no valid snapshot ID`;
  throw new ColdsnapError('transient', 'BAD_REPLY', message, { ...context, hint: WRONG_REPLY });
}

const statuses: readonly unknown[] = ['pending', 'completed', 'error'];

/**
 * Checks the state of a snapshot in a reply to its start or completion; `pending` where there is none.
 * @throws ColdsnapError class `transient`, code `BAD_REPLY`
 */
export function checkSnapshotStatus(context: RequestContext, status: string | undefined = 'pending'): string {
  if (statuses.includes(status)) return status;
  const message = `${context.operation} returned a state that does not exist`;
  throw new ColdsnapError('transient', 'BAD_REPLY', message, { ...context, hint: WRONG_REPLY });
}

/**
 * Checks that a new snapshot has the size that was requested, where the reply has a size.
 * @throws ColdsnapError class `permanent`, code `BAD_REPLY`
 */
export function checkVolumeSize(context: RequestContext, requested: number, size = requested): number {
  if (size === requested) return size;
  const message = `${context.operation} made a snapshot of another size than ${requested} GiB`;
  throw new ColdsnapError('permanent', 'BAD_REPLY', message, { ...context, hint: WRONG_REPLY });
}

/**
 * Checks that a list has its array of blocks, and that each is an object; its fields are for the reader of the list to
 * check. A list without blocks has an empty array: an absent one would make a volume of zeros.
 * @throws ColdsnapError class `permanent`, code `BAD_LIST`
 */
export function checkEntries<Entry>(
  context: RequestContext,
  entries: readonly unknown[] | undefined,
): readonly Entry[] {
  const isObject = (entry: unknown) => typeof entry === 'object' && entry !== null && !Array.isArray(entry);
  if (Array.isArray(entries) && entries.every(isObject)) return entries as Entry[];
  const message = `${context.operation} of ${context.snapshotId} returned no list of blocks`;
  throw new ColdsnapError('permanent', 'BAD_LIST', message, { ...context, hint: WRONG_REPLY });
}

function isIntegerFrom(least: number, most: number, value: number | undefined): value is number {
  return value !== undefined && Number.isInteger(value) && value >= least && value <= most;
}
