import { validation } from '../errors.ts';
import { lineage, providerOf } from '../lineage.ts';
import type { Reply } from '../reply.ts';
import { type ApiRequest, readableSnapshot, type Service } from '../service.ts';

/** GetSnapshotBlock: returns the data of one block, given its token from a listing. */
export async function getSnapshotBlock(service: Service, request: ApiRequest): Promise<Reply> {
  const snapshot = readableSnapshot(service, request.snapshotId);
  const { blockIndex } = request;
  if (blockIndex >= snapshot.volumeBlocks) {
    throw validation('INVALID_BLOCK', `Block ${blockIndex} is outside the volume.`);
  }
  const token = request.query.get('blockToken');
  if (token === null) throw validation('INVALID_BLOCK_TOKEN', 'blockToken is required.');
  const tokenStatus = service.tokens.checkBlockToken(token, snapshot.id, blockIndex, service.settings.now());
  if (tokenStatus === 'expired') throw validation('INVALID_BLOCK_TOKEN', 'The block token has expired.');
  const provider = providerOf(lineage(snapshot), blockIndex);
  if (tokenStatus === 'invalid' || provider === undefined) {
    throw validation('INVALID_BLOCK_TOKEN', `The block token is not valid for block ${blockIndex}.`);
  }
  const { data, digest } = await provider.readBlock(blockIndex);
  return {
    status: 200,
    headers: {
      'Content-Type': 'application/octet-stream',
      'x-amz-Data-Length': String(data.length),
      'x-amz-Checksum': digest.toString('base64'),
      'x-amz-Checksum-Algorithm': 'SHA256',
    },
    body: data,
  };
}
