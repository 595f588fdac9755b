import { invalidParameter, ServiceError, snapshotNotFound, validation } from '../errors.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { type ApiRequest, checkSnapshotId, type Service } from '../service.ts';
import type { Snapshot, SnapshotMetadata } from '../snapshot.ts';
import { checkEncryption } from './encryption.ts';
import { readStartInput, type StartInput } from './start-input.ts';

/** StartSnapshot: creates a pending snapshot, or returns the one with the same client token and parameters. */
export function startSnapshot(service: Service, request: ApiRequest): Reply {
  const input = readStartInput(request.body);
  const fingerprint = JSON.stringify(input);
  const earlier =
    input.ClientToken === undefined ? undefined : service.store.byClientToken(input.ClientToken);
  if (earlier !== undefined) {
    if (earlier.metadata.fingerprint === fingerprint) return startReply(earlier);
    const message = 'The client token was already used with other parameters.';
    throw new ServiceError(409, 'ConflictException', message);
  }
  const parent = readParent(service, input);
  const encryption = checkEncryption(service.settings, input, parent);
  const pending = service.store.all().filter((snapshot) => snapshot.metadata.status === 'pending');
  service.quotas.checkPending(pending.length);
  return startReply(service.store.create(newMetadata(service, input, fingerprint, encryption)));
}

function readParent(service: Service, input: StartInput): Snapshot | undefined {
  const id = input.ParentSnapshotId;
  if (id === undefined) return undefined;
  checkSnapshotId(id);
  const parent = service.store.get(id);
  if (parent === undefined) throw snapshotNotFound(id, service.settings.region);
  if (parent.metadata.status !== 'completed') {
    throw validation(
      'INVALID_SNAPSHOT_ID',
      `The parent snapshot '${id}' is ${parent.metadata.status}, not completed.`,
    );
  }
  if (input.VolumeSize < parent.metadata.volumeSizeGiB) {
    const size = parent.metadata.volumeSizeGiB;
    throw validation(
      'INVALID_VOLUME_SIZE',
      `VolumeSize must be at least ${size}, the size of the parent in GiB.`,
    );
  }
  if (parent.metadata.blockSize !== service.settings.blockSize) {
    throw invalidParameter('The parent snapshot has a different block size.');
  }
  return parent;
}

function newMetadata(
  service: Service,
  input: StartInput,
  fingerprint: string,
  encryption: { encrypted: boolean; kmsKeyArn?: string },
): SnapshotMetadata {
  const { settings, store } = service;
  return {
    version: 1,
    id: store.newId(),
    ownerId: settings.accountId,
    volumeSizeGiB: input.VolumeSize,
    blockSize: settings.blockSize,
    startTime: settings.now(),
    ...(input.Description === undefined ? {} : { description: input.Description }),
    ...(input.ParentSnapshotId === undefined ? {} : { parentSnapshotId: input.ParentSnapshotId }),
    ...encryption,
    timeoutMs: settings.pendingTimeoutMs ?? (input.Timeout ?? 60) * 60_000,
    ...(input.ClientToken === undefined ? {} : { clientToken: input.ClientToken, fingerprint }),
    tags: (input.Tags ?? []).map(({ Key, Value }) => ({ key: Key, value: Value })),
    status: 'pending',
  };
}

function startReply({ metadata }: Snapshot): Reply {
  return jsonReply(201, {
    SnapshotId: metadata.id,
    OwnerId: metadata.ownerId,
    Status: metadata.status,
    StartTime: metadata.startTime / 1000,
    VolumeSize: metadata.volumeSizeGiB,
    BlockSize: metadata.blockSize,
    Description: metadata.description,
    Tags:
      metadata.tags.length === 0
        ? undefined
        : metadata.tags.map(({ key, value }) => ({ Key: key, Value: value })),
    ParentSnapshotId: metadata.parentSnapshotId,
    KmsKeyArn: metadata.kmsKeyArn,
    SseType: metadata.encrypted ? 'sse-kms' : 'none',
  });
}
