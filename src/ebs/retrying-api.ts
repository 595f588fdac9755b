/** Retries every call of an API by the one policy. */
import { ColdsnapError } from '../errors.ts';
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
import { ApiDecorator } from './decorator.ts';
import { blockContext, type RequestContext } from './request-context.ts';
import { NOT_VISIBLE_MS, type RetryPolicy } from './retry.ts';

/** Retries every call of an API by `policy`. */
export function withRetries(api: EbsDirectApi, policy: RetryPolicy): EbsDirectApi {
  return new RetryingApi(api, policy);
}

class RetryingApi extends ApiDecorator {
  readonly #policy: RetryPolicy;
  /** Start times of the snapshots that were started through this API: PutSnapshotBlock may not know them yet. */
  readonly #started = new Map<string, number>();

  constructor(inner: EbsDirectApi, policy: RetryPolicy) {
    super(inner);
    this.#policy = policy;
  }

  override listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    const context = { operation: 'ListSnapshotBlocks', snapshotId: request.snapshotId };
    return this.#retry(context, options, (call) => this.inner.listSnapshotBlocks(request, call));
  }

  override listChangedBlocks(
    request: ListChangedBlocksRequest,
    options?: CallOptions,
  ): Promise<ChangedBlockPage> {
    const context = { operation: 'ListChangedBlocks', snapshotId: request.secondSnapshotId };
    return this.#retry(context, options, (call) => this.inner.listChangedBlocks(request, call));
  }

  override getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    return this.#retry(blockContext('GetSnapshotBlock', request), options, (call) =>
      this.inner.getSnapshotBlock(request, buffer, call),
    );
  }

  override putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    return this.#retry(blockContext('PutSnapshotBlock', request), options, async (call) => {
      try {
        await this.inner.putSnapshotBlock(request, call);
      } catch (error) {
        const notFound = error instanceof ColdsnapError && error.code === 'SNAPSHOT_NOT_FOUND';
        if (notFound && this.#isNew(request.snapshotId)) throw error.reclassified('not-yet-visible');
        throw error;
      }
    });
  }

  override async startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    const snapshot = await this.#retry({ operation: 'StartSnapshot' }, options, (call) =>
      this.inner.startSnapshot(request, call),
    );
    this.#started.set(snapshot.snapshotId, performance.now());
    return snapshot;
  }

  override completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    const context = { operation: 'CompleteSnapshot', snapshotId: request.snapshotId };
    return this.#retry(context, options, (call) => this.inner.completeSnapshot(request, call));
  }

  #retry<T>(
    context: RequestContext,
    options: CallOptions | undefined,
    attempt: (call: CallOptions) => Promise<T>,
  ): Promise<T> {
    return this.#policy.run(context, options?.signal, (signal) => attempt(withSignal(signal)));
  }

  #isNew(snapshotId: string): boolean {
    const started = this.#started.get(snapshotId);
    return started !== undefined && performance.now() - started < NOT_VISIBLE_MS;
  }
}

function withSignal(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}
