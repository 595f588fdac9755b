/** The EBS direct APIs through @aws-sdk/client-ebs: the reference implementation. */
import type { Readable } from 'node:stream';
import {
  type Block,
  type ChangedBlock,
  CompleteSnapshotCommand,
  type EBSClient,
  GetSnapshotBlockCommand,
  ListChangedBlocksCommand,
  ListSnapshotBlocksCommand,
  PutSnapshotBlockCommand,
  StartSnapshotCommand,
} from '@aws-sdk/client-ebs';
import type {
  BlockPage,
  CallOptions,
  ChangedBlockPage,
  CompleteRequest,
  EbsDirectApi,
  GetBlockRequest,
  ListBlocksRequest,
  ListChangedBlocksRequest,
  PutBlockRequest,
  ReceivedBlock,
  StartedSnapshot,
  StartRequest,
} from './api.ts';
import { listPage, position, rawEntries } from './list/sdk-pages.ts';
import { readBody } from './read-body.ts';
import {
  badBlock,
  CHECKSUM_ALGORITHM,
  checkBlockHeaders,
  checkBlockSize,
  checkBodyLength,
  checkEntries,
  checkSnapshotId,
  checkSnapshotStatus,
  checkStatus,
  checkStoredChecksum,
  checkVolumeSize,
} from './reply-checks.ts';
import { blockContext, type RequestContext } from './request-context.ts';
import { callSdk, type SendOptions } from './sdk-call.ts';

export class SdkEbsApi implements EbsDirectApi {
  readonly #client: EBSClient;
  readonly #borrowed: boolean;

  /** @param options `borrowed`: the client belongs to the caller and stays open when this is closed */
  constructor(client: EBSClient, { borrowed = false } = {}) {
    this.#client = client;
    this.#borrowed = borrowed;
  }

  async listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    const context = { operation: 'ListSnapshotBlocks', snapshotId: request.snapshotId };
    const command = new ListSnapshotBlocksCommand({ SnapshotId: request.snapshotId, ...position(request) });
    const entries = rawEntries(command, this.#client, 'Blocks');
    const reply = await callSdk(
      context,
      options?.signal,
      this.#client,
      (http) => this.#client.send(command, http),
      request.pageToken,
    );
    const listed = checkEntries<Block>(replied(context, reply), entries() ?? reply.Blocks);
    const blocks = listed.map(({ BlockIndex, BlockToken }) => ({
      blockIndex: BlockIndex ?? Number.NaN,
      blockToken: BlockToken ?? '',
    }));
    return { blocks, ...listPage(reply) };
  }

  async listChangedBlocks(
    request: ListChangedBlocksRequest,
    options?: CallOptions,
  ): Promise<ChangedBlockPage> {
    const context = { operation: 'ListChangedBlocks', snapshotId: request.secondSnapshotId };
    const command = new ListChangedBlocksCommand({
      FirstSnapshotId: request.firstSnapshotId,
      SecondSnapshotId: request.secondSnapshotId,
      ...position(request),
    });
    const entries = rawEntries(command, this.#client, 'ChangedBlocks');
    const reply = await callSdk(
      context,
      options?.signal,
      this.#client,
      (http) => this.#client.send(command, http),
      request.pageToken,
    );
    const listed = checkEntries<ChangedBlock>(replied(context, reply), entries() ?? reply.ChangedBlocks);
    // An absent token may be null.
    const changedBlocks = listed.map(({ BlockIndex, FirstBlockToken: first, SecondBlockToken: second }) => ({
      blockIndex: BlockIndex ?? Number.NaN,
      ...(first === undefined || first === null ? {} : { firstBlockToken: first }),
      ...(second === undefined || second === null ? {} : { secondBlockToken: second }),
    }));
    return { changedBlocks, ...listPage(reply) };
  }

  async getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    const context = blockContext('GetSnapshotBlock', request);
    const signal = options?.signal;
    const fetch = async (http: SendOptions) => {
      const reply = await this.#client.send(
        new GetSnapshotBlockCommand({
          SnapshotId: request.snapshotId,
          BlockIndex: request.blockIndex,
          BlockToken: request.blockToken,
        }),
        http,
      );
      const requestId = reply.$metadata.requestId;
      const body = reply.BlockData as Readable | undefined;
      try {
        if (body === undefined) throw badBlock(context, 'has no body', requestId);
        const received = checkBlockHeaders(context, buffer.length, {
          dataLength: reply.DataLength,
          checksum: reply.Checksum,
          algorithm: reply.ChecksumAlgorithm,
          requestId,
        });
        const length = await readBody(body, buffer, signal);
        checkBodyLength(context, length, received, requestId);
        return received;
      } catch (error) {
        body?.destroy();
        throw error;
      }
    };
    return callSdk(context, signal, this.#client, fetch, request.blockToken);
  }

  async putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    const context = blockContext('PutSnapshotBlock', request);
    const digest = Buffer.from(request.digest.buffer, request.digest.byteOffset, request.digest.length);
    const checksum = digest.toString('base64');
    const command = new PutSnapshotBlockCommand({
      SnapshotId: request.snapshotId,
      BlockIndex: request.blockIndex,
      BlockData: request.data,
      DataLength: request.data.length,
      Checksum: checksum,
      ChecksumAlgorithm: CHECKSUM_ALGORITHM,
    });
    // The signer hashes the payload unless this header is set, and the block's checksum is the same hash.
    command.middlewareStack.add(
      (next) => async (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] =
          digest.toString('hex');
        return next(args);
      },
      { step: 'build', name: 'payloadHashedOnce' },
    );
    const reply = await callSdk(context, options?.signal, this.#client, (http) =>
      this.#client.send(command, http),
    );
    if (reply.Checksum === undefined) checkStatus(context, 201, reply.$metadata);
    checkStoredChecksum(context, checksum, reply.Checksum, reply.$metadata.requestId);
  }

  async startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    const context = { operation: 'StartSnapshot' };
    const reply = await callSdk(context, options?.signal, this.#client, (http) =>
      this.#client.send(
        new StartSnapshotCommand({
          VolumeSize: request.volumeSizeGiB,
          ClientToken: request.clientToken,
          Description: request.description,
          Tags: request.tags?.map((tag) => ({ Key: tag.key, Value: tag.value })),
          ParentSnapshotId: request.parentSnapshotId,
          Encrypted: request.encrypted,
          KmsKeyArn: request.kmsKeyArn,
          Timeout: request.timeoutMinutes,
        }),
        http,
      ),
    );
    const answer = replied(context, reply);
    return {
      snapshotId: checkSnapshotId(answer, reply.SnapshotId),
      blockSize: checkBlockSize(answer, reply.BlockSize),
      volumeSizeGiB: checkVolumeSize(answer, request.volumeSizeGiB, reply.VolumeSize),
      status: checkSnapshotStatus(answer, reply.Status),
      ...(reply.KmsKeyArn === undefined ? {} : { kmsKeyArn: reply.KmsKeyArn }),
      ...(reply.SseType === undefined ? {} : { sseType: reply.SseType }),
      ...(reply.ParentSnapshotId === undefined ? {} : { parentSnapshotId: reply.ParentSnapshotId }),
    };
  }

  async completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    const context = { operation: 'CompleteSnapshot', snapshotId: request.snapshotId };
    const reply = await callSdk(context, options?.signal, this.#client, (http) =>
      this.#client.send(
        new CompleteSnapshotCommand({
          SnapshotId: request.snapshotId,
          ChangedBlocksCount: request.changedBlocksCount,
          ...(request.linearDigest === undefined
            ? {}
            : {
                Checksum: Buffer.from(request.linearDigest).toString('base64'),
                ChecksumAlgorithm: CHECKSUM_ALGORITHM,
                ChecksumAggregationMethod: 'LINEAR' as const,
              }),
        }),
        http,
      ),
    );
    if (reply.Status === undefined) checkStatus(context, 202, reply.$metadata);
    return checkSnapshotStatus(replied(context, reply), reply.Status);
  }

  close(): void {
    if (!this.#borrowed) this.#client.destroy();
  }
}

function replied(
  context: RequestContext,
  { $metadata: { requestId } }: { readonly $metadata: { readonly requestId?: string | undefined } },
): RequestContext {
  return { ...context, requestId };
}
