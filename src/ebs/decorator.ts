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

/** Forwards every call to another implementation. Decorators extend it and override only the calls that they change. */
export class ApiDecorator implements EbsDirectApi {
  protected readonly inner: EbsDirectApi;

  /** @param inner closed together with the decorator */
  constructor(inner: EbsDirectApi) {
    this.inner = inner;
  }

  listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    return this.inner.listSnapshotBlocks(request, options);
  }

  listChangedBlocks(request: ListChangedBlocksRequest, options?: CallOptions): Promise<ChangedBlockPage> {
    return this.inner.listChangedBlocks(request, options);
  }

  getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    return this.inner.getSnapshotBlock(request, buffer, options);
  }

  putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    return this.inner.putSnapshotBlock(request, options);
  }

  startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    return this.inner.startSnapshot(request, options);
  }

  completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    return this.inner.completeSnapshot(request, options);
  }

  close(): void {
    this.inner.close();
  }
}
