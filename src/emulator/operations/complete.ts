import { invalidParameter, validation } from '../errors.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { type ApiRequest, header, pendingSnapshot, type Service, wholeNumber } from '../service.ts';

/**
 * CompleteSnapshot. Count and checksum are checked afterwards; if one is wrong, the snapshot goes from `pending` to
 * `error`. A second call is rejected; AWS does not document this case.
 */
export function completeSnapshot(service: Service, request: ApiRequest): Reply {
  const snapshot = pendingSnapshot(service, request.snapshotId);
  const countText = header(request, 'x-amz-ChangedBlocksCount');
  if (countText === undefined) throw invalidParameter('x-amz-ChangedBlocksCount is required.');
  const count = wholeNumber('x-amz-ChangedBlocksCount', countText, 0, 2 ** 31 - 1);
  const checksum = header(request, 'x-amz-Checksum');
  const algorithm = header(request, 'x-amz-Checksum-Algorithm');
  const aggregation = header(request, 'x-amz-Checksum-Aggregation-Method');
  const given = [checksum, algorithm, aggregation].filter((value) => value !== undefined).length;
  if (given !== 0 && given !== 3) {
    throw invalidParameter(
      'Checksum, ChecksumAlgorithm and ChecksumAggregationMethod must be given together.',
    );
  }
  if (given === 3) {
    if (algorithm !== 'SHA256') throw invalidParameter('x-amz-Checksum-Algorithm must be SHA256.');
    if (aggregation !== 'LINEAR') throw invalidParameter('x-amz-Checksum-Aggregation-Method must be LINEAR.');
    if (!/^[A-Za-z0-9+/]{43}=$/.test(checksum!)) {
      throw invalidParameter('x-amz-Checksum must be a base64 SHA-256.');
    }
  }
  if (snapshot.busyBlocks.size > 0) {
    throw validation('CONFLICTING_BLOCK_UPDATE', 'Blocks of the snapshot are still being written.');
  }
  service.store.beginCompletion(snapshot, count, checksum);
  return jsonReply(202, { Status: 'pending' });
}
