/** A target that holds one snapshot and is made into another. */
import type {
  BlockOutcome,
  Geometry,
  ImageTarget,
  InPlaceTarget,
  Notice,
  ResumableTarget,
  TargetBlock,
} from './target.ts';

export interface InPlaceOptions {
  signal?: AbortSignal;
  /** Only for checks: an interrupted change of the name is not completed. */
  peek?: boolean;
}

/** Forwards to a target for a full download. */
export abstract class InPlace implements InPlaceTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget;
  protected readonly inner: ImageTarget;

  constructor(inner: ImageTarget, resumable: ResumableTarget) {
    this.inner = inner;
    this.path = inner.path;
    this.label = inner.label;
    this.resumable = resumable;
  }

  abstract get contents(): string;
  abstract checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void>;
  abstract mayBeUnfinished(blockSize: number): Promise<boolean>;
  abstract checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void>;

  prepare(geometry: Geometry, options: Parameters<ImageTarget['prepare']>[1]): Promise<void> {
    return this.inner.prepare(geometry, options);
  }

  writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    return this.inner.writeBlocks(blocks);
  }

  zero(offset: number, length: number): Promise<void> {
    return this.inner.zero(offset, length);
  }

  sync(): Promise<void> {
    return this.inner.sync();
  }

  commit(): Promise<readonly Notice[]> {
    return this.inner.commit();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  abandon(): Promise<void> {
    return this.inner.abandon({ keepForResume: true });
  }
}
