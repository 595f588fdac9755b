import { isZero } from '../../native/index.ts';
import { invalidParameter, snapshotNotFound, validation } from '../errors.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { type ApiRequest, header, pendingSnapshot, type Service, wholeNumber } from '../service.ts';

/** PutSnapshotBlock: stores one block; a repeated put overwrites it. */
export async function putSnapshotBlock(service: Service, request: ApiRequest): Promise<Reply> {
  const snapshot = pendingSnapshot(service, request.snapshotId);
  const { blockIndex, body } = request;
  const { blockSize } = snapshot.metadata;
  if (blockIndex >= snapshot.volumeBlocks) {
    throw validation(
      'INVALID_BLOCK',
      `Block ${blockIndex} is outside the volume of ${snapshot.volumeBlocks} blocks.`,
    );
  }
  const checksum = checkHeaders(request, blockSize);
  if (body.length !== blockSize) throw invalidParameter('Failed to read block data');
  const zero = isZero(body);
  const digest = request.digest();
  if (digest.toString('base64') !== checksum) {
    throw invalidParameter('The checksum does not match the block data.');
  }
  if (snapshot.busyBlocks.has(blockIndex)) {
    throw validation('CONFLICTING_BLOCK_UPDATE', `Block ${blockIndex} is being written by another request.`);
  }
  snapshot.busyBlocks.add(blockIndex);
  try {
    snapshot.lastActivity = service.settings.now();
    await snapshot.writeBlock(blockIndex, body, digest, zero);
  } finally {
    snapshot.busyBlocks.delete(blockIndex);
  }
  if (snapshot.metadata.deleted === true) {
    service.store.delete(snapshot.id);
    throw snapshotNotFound(snapshot.id, service.settings.region);
  }
  return jsonReply(201, '{}', { 'x-amz-Checksum': checksum, 'x-amz-Checksum-Algorithm': 'SHA256' });
}

/** Validates the headers and returns the checksum. */
function checkHeaders(request: ApiRequest, blockSize: number): string {
  const length = header(request, 'x-amz-Data-Length');
  if (length === undefined) throw invalidParameter('x-amz-Data-Length is required.');
  wholeNumber('x-amz-Data-Length', length, blockSize, blockSize);
  const algorithm = header(request, 'x-amz-Checksum-Algorithm');
  if (algorithm !== 'SHA256') throw invalidParameter('x-amz-Checksum-Algorithm must be SHA256.');
  const checksum = header(request, 'x-amz-Checksum');
  if (checksum === undefined || !/^[A-Za-z0-9+/]{43}=$/.test(checksum)) {
    throw invalidParameter('x-amz-Checksum must be the base64 SHA-256 of the data.');
  }
  const progress = header(request, 'x-amz-Progress');
  if (progress !== undefined) wholeNumber('x-amz-Progress', progress, 0, 100);
  if (header(request, 'content-encoding') !== undefined) {
    throw validation('INVALID_CONTENT_ENCODING', 'Block data must be sent without a content encoding.');
  }
  if (header(request, 'content-length') === undefined) {
    throw invalidParameter('Content-Length is required.');
  }
  return checksum;
}
