/**
 * A digest file: the SHA-256 of each block of a snapshot, at its position. A header of 4 KiB names the snapshot, its
 * service and the sizes; then follow 32 bytes a block, zeros where the block is unlisted or all zeros, so that the file is sparse. The
 * header has a SHA-256 over itself and over every 64 KiB of digests that are not all zeros.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { ServiceIdentity } from '../../ebs/service.ts';
import type { Geometry } from '../../geometry.ts';
import { isZero, nextExtent } from '../../native/index.ts';

export const HEADER_BYTES = 4_096;
export const DIGEST_BYTES = 32;
export const PAGE_BYTES = 65_536;
export const DIGESTS_PER_PAGE = PAGE_BYTES / DIGEST_BYTES;

/** Names the snapshot of a digest file, and its sizes. */
export interface DigestHeader extends Geometry {
  readonly snapshotId: string;
  /** Another service may have another snapshot with this ID. */
  readonly service: Pick<ServiceIdentity, 'endpoint' | 'region'>;
}

export function digestHeader(
  snapshotId: string,
  { endpoint, region }: ServiceIdentity,
  { volumeSize, blockSize }: Geometry,
): DigestHeader {
  return { snapshotId, service: { endpoint, region }, volumeSize, blockSize };
}

const MAGIC = '{"format":"coldsnap-digests","version":1,';
const SEAL = /,"seal":"([0-9a-f]{64})"}\n\0*$/;

/** Whether a file that begins with these bytes is a digest file, whole or not. */
export function isDigestFile(start: Uint8Array): boolean {
  return Buffer.from(start).subarray(0, MAGIC.length).equals(Buffer.from(MAGIC));
}

export function sizeOfFile({ volumeSize, blockSize }: Geometry): number {
  return HEADER_BYTES + (volumeSize / blockSize) * DIGEST_BYTES;
}

/** @param seal undefined while the file is being written */
export function encodeHeader(header: DigestHeader | undefined, seal: string | undefined): Buffer {
  const text = header === undefined ? `${MAGIC}"unfinished":true` : bodyOf(header);
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(`${text}${seal === undefined ? '' : `,"seal":"${seal}"`}}\n`);
  return bytes;
}

/** @returns undefined unless it is the header of a complete file; the caller compares the seal */
export function decodeHeader(bytes: Buffer): { header: DigestHeader; seal: string } | undefined {
  const text = bytes.toString('utf8');
  const seal = SEAL.exec(text)?.[1];
  if (seal === undefined || !isDigestFile(bytes)) return undefined;
  try {
    const { snapshotId, service, ...sizes } = JSON.parse(text.replace(/\0+$/, '')) as DigestHeader;
    const header = digestHeader(snapshotId, service, sizes);
    return encodeHeader(header, seal).equals(bytes) ? { header, seal } : undefined;
  } catch {
    return undefined;
  }
}

function bodyOf(header: DigestHeader): string {
  return MAGIC + JSON.stringify(header).slice(1, -1);
}

/** The SHA-256 that seals a file with this header and these digests. Holes are not read. */
export async function computeSeal(file: FileHandle, header: DigestHeader): Promise<string> {
  const hash = createHash('sha256').update(bodyOf(header));
  const end = sizeOfFile(header);
  const page = Buffer.alloc(PAGE_BYTES);
  const position = Buffer.alloc(8);
  let next = HEADER_BYTES;
  for (let data = await nextExtent(file.fd, next); data !== null; data = await nextExtent(file.fd, next)) {
    const skipped = Math.floor((Math.max(data.start, next) - HEADER_BYTES) / PAGE_BYTES);
    next = HEADER_BYTES + skipped * PAGE_BYTES;
    for (; next < Math.min(data.end, end); next += PAGE_BYTES) {
      const length = Math.min(PAGE_BYTES, end - next);
      const part = page.subarray(0, length);
      if ((await file.read(part, 0, length, next)).bytesRead !== length) throw new Error('it is too short');
      if (isZero(part)) continue;
      position.writeDoubleLE(next);
      hash.update(position).update(part);
    }
    if (next >= end) break;
  }
  return hash.digest('hex');
}
