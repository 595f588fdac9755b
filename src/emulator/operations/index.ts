/** The EBS operations by name. */

import { ServiceError, validation } from '../errors.ts';
import type { Reply } from '../reply.ts';
import type { ApiRequest, Service } from '../service.ts';
import { completeSnapshot } from './complete.ts';
import { getSnapshotBlock } from './get.ts';
import { listChangedBlocks, listSnapshotBlocks } from './list.ts';
import { putSnapshotBlock } from './put.ts';
import { startSnapshot } from './start.ts';

const operations = new Map<string, (service: Service, request: ApiRequest) => Reply | Promise<Reply>>([
  ['StartSnapshot', startSnapshot],
  ['PutSnapshotBlock', putSnapshotBlock],
  ['CompleteSnapshot', completeSnapshot],
  ['ListSnapshotBlocks', listSnapshotBlocks],
  ['ListChangedBlocks', listChangedBlocks],
  ['GetSnapshotBlock', getSnapshotBlock],
]);

/** Executes an EBS operation. @throws ServiceError if the request is rejected */
export async function ebsOperation(service: Service, request: ApiRequest): Promise<Reply> {
  const operation = operations.get(request.operation);
  if (operation === undefined) {
    throw new ServiceError(404, 'UnknownOperationException', 'No operation matches this method and path.');
  }
  service.quotas.check(request.operation, request.snapshotId);
  if (request.operation.endsWith('SnapshotBlock') && request.blockIndex < 0) {
    throw validation('INVALID_BLOCK', 'The block index must be a whole number from 0.');
  }
  return operation(service, request);
}
