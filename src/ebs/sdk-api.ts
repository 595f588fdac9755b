/**
 * The EBS direct APIs through @aws-sdk/client-ebs: the reference implementation. It checks what a reply says against
 * what was asked (sizes, algorithm, lengths), because the SDK resolves at the headers and believes them.
 */
import type { Readable } from 'node:stream';
import {
  CompleteSnapshotCommand,
  type EBSClient,
  GetSnapshotBlockCommand,
  ListChangedBlocksCommand,
  ListSnapshotBlocksCommand,
  PutSnapshotBlockCommand,
  StartSnapshotCommand,
} from '@aws-sdk/client-ebs';
import { abortedError } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import {
  type BlockPage,
  type CallOptions,
  type ChangedBlockPage,
  type CompleteRequest,
  type EbsDirectApi,
  type GetBlockRequest,
  type ListBlocksRequest,
  type ListChangedBlocksRequest,
  type ListPage,
  type ListPosition,
  type PutBlockRequest,
  type ReceivedBlock,
  SNAPSHOT_ID,
  type StartedSnapshot,
  type StartRequest,
} from './api.ts';
import { classify, type RequestContext, withoutToken } from './errors.ts';

/** The service's largest page; fewer requests than its default of 100. */
export const MAX_PAGE = 10_000;

const checksumAlgorithm = 'SHA256';

export class SdkEbsApi implements EbsDirectApi {
  readonly #client: EBSClient;
  readonly #borrowed: boolean;

  /** A `borrowed` client stays open when this is closed. */
  constructor(client: EBSClient, { borrowed = false } = {}) {
    this.#client = client;
    this.#borrowed = borrowed;
  }

  async listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    const context = { operation: 'ListSnapshotBlocks', snapshotId: request.snapshotId };
    const command = { SnapshotId: request.snapshotId, ...position(request) };
    const reply = await attempt(
      context,
      options,
      (http) => this.#client.send(new ListSnapshotBlocksCommand(command), http),
      request.pageToken,
    );
    const blocks = (reply.Blocks ?? []).map((block) => ({
      blockIndex: block.BlockIndex ?? Number.NaN,
      blockToken: block.BlockToken ?? '',
    }));
    return { blocks, ...listPage(reply) };
  }

  async listChangedBlocks(
    request: ListChangedBlocksRequest,
    options?: CallOptions,
  ): Promise<ChangedBlockPage> {
    const context = { operation: 'ListChangedBlocks', snapshotId: request.secondSnapshotId };
    const command = {
      FirstSnapshotId: request.firstSnapshotId,
      SecondSnapshotId: request.secondSnapshotId,
      ...position(request),
    };
    const reply = await attempt(
      context,
      options,
      (http) => this.#client.send(new ListChangedBlocksCommand(command), http),
      request.pageToken,
    );
    const changedBlocks = (reply.ChangedBlocks ?? []).map((block) => ({
      blockIndex: block.BlockIndex ?? Number.NaN,
      ...(block.FirstBlockToken === undefined ? {} : { firstBlockToken: block.FirstBlockToken }),
      ...(block.SecondBlockToken === undefined ? {} : { secondBlockToken: block.SecondBlockToken }),
    }));
    return { changedBlocks, ...listPage(reply) };
  }

  async getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    const context = {
      operation: 'GetSnapshotBlock',
      snapshotId: request.snapshotId,
      block: request.blockIndex,
    };
    const fetch = async (http: { abortSignal?: AbortSignal }) => {
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
        const length = await readBody(body, buffer);
        if (length !== received.dataLength) {
          throw badBlock(
            context,
            `has ${length} bytes where its header says ${received.dataLength}`,
            requestId,
          );
        }
        return received;
      } catch (error) {
        body?.destroy();
        throw error;
      }
    };
    return attempt(context, options, fetch, request.blockToken);
  }

  async putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    const context = {
      operation: 'PutSnapshotBlock',
      snapshotId: request.snapshotId,
      block: request.blockIndex,
    };
    const digest = Buffer.from(request.digest.buffer, request.digest.byteOffset, request.digest.length);
    const command = new PutSnapshotBlockCommand({
      SnapshotId: request.snapshotId,
      BlockIndex: request.blockIndex,
      BlockData: request.data,
      DataLength: request.data.length,
      Checksum: digest.toString('base64'),
      ChecksumAlgorithm: checksumAlgorithm,
    });
    // The signer hashes the payload unless this header is set: the block's checksum is the same hash.
    command.middlewareStack.add(
      (next) => async (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] =
          digest.toString('hex');
        return next(args);
      },
      { step: 'build', name: 'payloadHashedOnce' },
    );
    const reply = await attempt(context, options, (http) => this.#client.send(command, http));
    const { requestId } = reply.$metadata;
    if (reply.Checksum === undefined) {
      checkStatus(context, 201, reply.$metadata);
    } else if (reply.Checksum !== digest.toString('base64')) {
      throw badBlock(context, 'was stored with another checksum', requestId);
    }
  }

  async startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    const context = { operation: 'StartSnapshot' };
    const reply = await attempt(context, options, (http) =>
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
    // It goes into paths, the journal and the terminal.
    if (!SNAPSHOT_ID.test(reply.SnapshotId ?? ''))
      throw new ColdsnapError('transient', 'BAD_REPLY', 'StartSnapshot gave no snapshot ID', context);
    return {
      snapshotId: reply.SnapshotId as string,
      blockSize: checkedBlockSize(reply.BlockSize, context),
      volumeSizeGiB: reply.VolumeSize ?? request.volumeSizeGiB,
      status: reply.Status ?? 'pending',
      ...(reply.KmsKeyArn === undefined ? {} : { kmsKeyArn: reply.KmsKeyArn }),
      ...(reply.SseType === undefined ? {} : { sseType: reply.SseType }),
      ...(reply.ParentSnapshotId === undefined ? {} : { parentSnapshotId: reply.ParentSnapshotId }),
    };
  }

  async completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    const context = { operation: 'CompleteSnapshot', snapshotId: request.snapshotId };
    const reply = await attempt(context, options, (http) =>
      this.#client.send(
        new CompleteSnapshotCommand({
          SnapshotId: request.snapshotId,
          ChangedBlocksCount: request.changedBlocksCount,
          ...(request.linearDigest === undefined
            ? {}
            : {
                Checksum: Buffer.from(request.linearDigest).toString('base64'),
                ChecksumAlgorithm: checksumAlgorithm,
                ChecksumAggregationMethod: 'LINEAR' as const,
              }),
        }),
        http,
      ),
    );
    if (reply.Status === undefined) checkStatus(context, 202, reply.$metadata);
    return reply.Status ?? 'pending';
  }

  close(): void {
    if (!this.#borrowed) this.#client.destroy();
  }
}

/** @param token what the request must not show, should it fail */
async function attempt<T>(
  context: RequestContext,
  options: CallOptions | undefined,
  call: (http: { abortSignal?: AbortSignal }) => Promise<T>,
  token?: string,
): Promise<T> {
  const signal = options?.signal;
  if (signal?.aborted) throw abortedError(signal);
  try {
    return await call(signal === undefined ? {} : { abortSignal: signal });
  } catch (error) {
    throw classify(withoutToken(error, token), context, signal);
  }
}

/**
 * A reply that says nothing of what was done must at least have the status of having done it: any page of a proxy or a
 * captive portal comes with 200.
 * @throws ColdsnapError class `transient`
 */
function checkStatus(
  context: RequestContext,
  expected: number,
  { httpStatusCode, requestId }: { httpStatusCode?: number | undefined; requestId?: string | undefined },
): void {
  if (httpStatusCode === expected) return;
  throw new ColdsnapError(
    'transient',
    'BAD_REPLY',
    `${context.operation} got a reply that is not the service's (HTTP ${httpStatusCode} and not ${expected})`,
    { ...context, requestId, httpStatus: httpStatusCode },
  );
}

function position(request: ListPosition) {
  return {
    MaxResults: request.maxResults ?? MAX_PAGE,
    ...(request.pageToken === undefined ? {} : { NextToken: request.pageToken }),
    ...(request.startingBlockIndex === undefined ? {} : { StartingBlockIndex: request.startingBlockIndex }),
  };
}

function listPage(reply: {
  VolumeSize?: number | undefined;
  BlockSize?: number | undefined;
  NextToken?: string | undefined;
}): ListPage {
  return {
    volumeSizeGiB: reply.VolumeSize ?? Number.NaN,
    blockSize: reply.BlockSize ?? Number.NaN,
    ...(reply.NextToken ? { nextToken: reply.NextToken } : {}),
  };
}

/** Headers of a block's reply, as strings or as the SDK's types. */
export interface BlockHeaders {
  dataLength: number | undefined;
  checksum: string | undefined;
  algorithm: string | undefined;
  requestId: string | undefined;
}

/**
 * What a reply says about its block must make sense before a byte of it is used.
 * @throws ColdsnapError class `integrity`
 */
export function checkBlockHeaders(
  context: RequestContext,
  blockSize: number,
  headers: BlockHeaders,
): ReceivedBlock {
  const { dataLength, checksum, algorithm, requestId } = headers;
  if (algorithm !== checksumAlgorithm) {
    throw badBlock(
      context,
      `is checked by ${algorithm ?? 'nothing'} and not by ${checksumAlgorithm}`,
      requestId,
    );
  }
  if (
    dataLength === undefined ||
    !Number.isInteger(dataLength) ||
    dataLength <= 0 ||
    dataLength > blockSize
  ) {
    throw badBlock(context, `says it is ${dataLength} bytes long, in blocks of ${blockSize}`, requestId);
  }
  const digest = Buffer.from(checksum ?? '', 'base64');
  if (digest.length !== 32) throw badBlock(context, 'has no valid checksum', requestId);
  return { dataLength, digest };
}

/** The data, or what the reply says about them, cannot be right. */
export function badBlock(context: RequestContext, what: string, requestId?: string): ColdsnapError {
  return new ColdsnapError(
    'integrity',
    'BLOCK_INVALID',
    `block ${context.block} of ${context.snapshotId} ${what}`,
    {
      ...context,
      requestId,
    },
  );
}

/** Block sizes are the service's word, within reason: what a hostile reply says must not become an allocation. */
export function checkedBlockSize(blockSize: number | undefined, context: RequestContext): number {
  const MAX_BLOCK_SIZE = 16 * 1024 * 1024;
  if (
    blockSize === undefined ||
    !Number.isInteger(blockSize) ||
    blockSize < 512 ||
    blockSize > MAX_BLOCK_SIZE ||
    blockSize % 512 !== 0
  ) {
    throw new ColdsnapError(
      'permanent',
      'BAD_REPLY',
      `${context.operation} says that a block has ${blockSize} bytes`,
      context,
    );
  }
  return blockSize;
}

/** Copies a body into `buffer` and returns its length; stops reading as soon as it is longer than the buffer. */
function readBody(body: Readable, buffer: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    let length = 0;
    body.on('data', (chunk: Buffer) => {
      if (length + chunk.length <= buffer.length) buffer.set(chunk, length);
      length += chunk.length;
      if (length > buffer.length) {
        body.destroy();
        resolve(length);
      }
    });
    body.once('end', () => resolve(length));
    body.once('error', reject);
    body.once('close', () => reject(new Error('the body ended early')));
  });
}
