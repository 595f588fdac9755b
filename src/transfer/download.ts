/** Downloads a snapshot into an image: list → plan → fetch, check and write → sync → commit. */
import { createHash } from 'node:crypto';
import type { BlockReference, EbsDirectApi } from '../ebs/api.ts';
import { type CheckedPage, listBlocks } from '../ebs/list.ts';
import { openEbs } from '../ebs/open.ts';
import type { RetryPolicy } from '../ebs/retry.ts';
import { badBlock } from '../ebs/sdk-api.ts';
import { abortedError, ColdsnapError } from '../errors.ts';
import { openTarget } from '../image/open-target.ts';
import type { ArrivedBlock, BlockVerdict, Geometry, ImageTarget } from '../image/target.ts';
import { allocateSlab } from '../native/index.ts';
import { Batcher } from './batch.ts';
import { BlockTokens } from './block-tokens.ts';
import { checkWorkers, readableSnapshotId } from './checks.ts';
import { DownloadCheckpoint, type FoundJournal, findDownloadJournal } from './download-checkpoint.ts';
import { Meter } from './meter.ts';
import type { DownloadOptions, DownloadResult } from './options.ts';
import { type PlanStep, planDownload } from './plan.ts';
import { RangeSet } from './range-set.ts';
import { runWorkers } from './workers.ts';

/** As many blocks as the SHA-256 kernels hash at once for the price of little more than one. */
const BATCH_BLOCKS = 4;
/** How much work a crash can cost: what arrived since the journal was last saved. */
const CHECKPOINT_INTERVAL_MS = 5_000;

type Pages = AsyncGenerator<CheckedPage<BlockReference>, void, undefined>;

/**
 * Downloads a snapshot. When this resolves, every byte of the target is right and on stable storage: each block was
 * checked against its SHA-256, what the snapshot does not list reads as zeros, and the target was synced.
 *
 * An interrupted download goes on where it was when it is called again with the same snapshot and target.
 *
 * @throws ColdsnapError whose `class` says what kind of failure it is; nothing was touched for `usage`, `config` and
 *   `refused`
 */
export async function downloadSnapshot(options: DownloadOptions): Promise<DownloadResult> {
  const snapshotId = readableSnapshotId(options.snapshotId);
  const workers = checkWorkers(options.workers);
  if (options.signal?.aborted) throw abortedError(options.signal);
  const meter = new Meter(options.onEvent);
  const target = await openTarget(
    options.target,
    options.signal === undefined ? {} : { signal: options.signal },
  );
  const run = new Download(options, snapshotId, workers, meter, target);
  try {
    await run.execute();
  } catch (error) {
    await run.abandon();
    throw error;
  }
  meter.emit({ type: 'done', snapshotId, ...meter.progress() });
  return { snapshotId, ...run.geometry, ...meter.progress() };
}

class Download {
  geometry: Geometry = { volumeSize: 0, blockSize: 0 };
  readonly #options: DownloadOptions;
  readonly #snapshotId: string;
  readonly #workers: number;
  readonly #meter: Meter;
  readonly #target: ImageTarget;
  /** Fires with the caller's signal or with the first failure; no write begins after it. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #checkpoint: DownloadCheckpoint | undefined;
  #saving: Promise<void> | undefined;

  constructor(
    options: DownloadOptions,
    snapshotId: string,
    workers: number,
    meter: Meter,
    target: ImageTarget,
  ) {
    this.#options = options;
    this.#snapshotId = snapshotId;
    this.#workers = workers;
    this.#meter = meter;
    this.#target = target;
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
  }

  async execute(): Promise<void> {
    const found = await this.#findJournal();
    const force = this.#options.force ?? false;
    const resuming = found.kind === 'fits' || found.kind === 'foreign';
    await this.#target.checkOverwrite({ force, resuming });
    const { api, policy, close } = await openEbs({
      ...this.#options,
      workers: this.#workers,
      onRetry: this.#meter.retry,
    });
    try {
      const pages = listBlocks(api, this.#snapshotId, { signal: this.#signal });
      const first = await pages.next();
      if (first.done) throw new ColdsnapError('permanent', 'BAD_LIST', `${this.#snapshotId} has no list`);
      this.geometry = { volumeSize: first.value.volumeSize, blockSize: first.value.blockSize };
      const done = await this.#prepare(found);
      this.#start(done);
      await this.#move(api, policy, planDownload(startingWith(first.value, pages), done));
    } finally {
      close();
    }
    await this.#finish();
  }

  /** Leaves the target so that the next run can go on, if it can; must not hide the error that led here. */
  async abandon(): Promise<void> {
    this.#stop.abort();
    await this.#saving;
    if (this.#checkpoint !== undefined) {
      await this.#checkpoint.save(this.#target).catch(() => {});
    }
    await this.#target.abandon({ keepForResume: this.#checkpoint !== undefined });
  }

  get #place() {
    if (this.#options.checkpoint === false) return undefined;
    const journal = this.#target.journal;
    if (journal === undefined) return undefined;
    return { ...journal, path: this.#options.checkpointFile ?? journal.path };
  }

  async #findJournal(): Promise<FoundJournal> {
    if (this.#place === undefined || this.#options.fresh === true) return { kind: 'none' };
    const found = await findDownloadJournal(this.#place, this.#snapshotId);
    if (found.kind === 'unfit') this.#startsAnew(found.reason);
    return found;
  }

  #startsAnew(reason: string): void {
    const message = `The journal of an earlier download is not used: ${reason}. Starting anew.`;
    this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_USED', message });
  }

  /** Makes the target ready, with what an earlier run has done if that proves to be there still. */
  async #prepare(found: FoundJournal): Promise<RangeSet> {
    const earlier = await this.#resume(found);
    if (earlier !== undefined) return earlier;
    await this.#target.checkOverwrite({ force: this.#options.force ?? false, resuming: false });
    await this.#target.prepare(this.geometry, { resume: false });
    if (this.#place === undefined) return new RangeSet();
    this.#checkpoint = new DownloadCheckpoint(this.#place, this.#snapshotId, this.geometry);
    return this.#checkpoint.done;
  }

  async #resume(found: FoundJournal): Promise<RangeSet | undefined> {
    const place = this.#place;
    if (place === undefined || (found.kind !== 'fits' && found.kind !== 'foreign')) return undefined;
    const { volumeSize, blockSize } = this.geometry;
    if (
      found.kind === 'fits' &&
      (found.journal.volumeSize !== volumeSize || found.journal.blockSize !== blockSize)
    ) {
      this.#startsAnew('it is of a volume with other sizes');
      return undefined;
    }
    try {
      await this.#target.prepare(this.geometry, { resume: true });
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.code !== 'RESUME_MISMATCH') throw error;
      this.#startsAnew(error.message);
      return undefined;
    }
    if (found.kind === 'foreign') {
      const blocks = await this.#foreignBlocks(found.blocks);
      this.#checkpoint = new DownloadCheckpoint(place, this.#snapshotId, this.geometry, {
        done: blocks.ranges(),
        samples: [],
      });
      return this.#checkpoint.done;
    }
    const checkpoint = new DownloadCheckpoint(place, this.#snapshotId, this.geometry, found.journal);
    if (!(await checkpoint.matches(this.#target, blockSize))) {
      this.#startsAnew('the target has been written to since');
      return undefined;
    }
    this.#checkpoint = checkpoint;
    return checkpoint.done;
  }

  /**
   * Blocks of the Rust tool's checkpoint that can be kept. It never synced what it wrote, so a block that now reads as
   * zeros may have been lost in a crash, and is fetched again.
   */
  async #foreignBlocks(blocks: readonly number[]): Promise<RangeSet> {
    const { volumeSize, blockSize } = this.geometry;
    const kept = new RangeSet();
    const data = new Uint8Array(blockSize);
    for (const block of blocks) {
      if (block >= volumeSize / blockSize) continue;
      const reads = [{ data, offset: block * blockSize }];
      const [read] = (await this.#target.readBlocks?.(reads, { pastCache: false })) ?? [];
      if (read !== undefined && !read.zero) kept.add(block);
    }
    return kept;
  }

  #start(done: RangeSet): void {
    const bytesResumed = done.size * this.geometry.blockSize;
    const meter = this.#meter;
    meter.bytesTotal = this.geometry.volumeSize;
    meter.bytesDone = bytesResumed;
    meter.bytesResumed = bytesResumed;
    const { path } = this.#target;
    meter.emit({
      type: 'start',
      operation: 'download',
      snapshotId: this.#snapshotId,
      path,
      ...this.geometry,
      bytesResumed,
    });
  }

  async #move(api: EbsDirectApi, policy: RetryPolicy, plan: AsyncGenerator<PlanStep>): Promise<void> {
    const { blockSize } = this.geometry;
    const signal = this.#signal;
    const batcher = new Batcher<ArrivedBlock, BlockVerdict>(BATCH_BLOCKS, async (blocks) => {
      if (signal.aborted) throw abortedError(signal);
      return this.#target.writeBlocks(blocks);
    });
    const tokens = new BlockTokens(api, this.#snapshotId, signal);
    const slab = allocateSlab(this.#workers * blockSize);
    const fetch = (reference: BlockReference, data: Uint8Array) =>
      policy.run(
        { operation: 'GetSnapshotBlock', snapshotId: this.#snapshotId, block: reference.blockIndex },
        signal,
        async () => {
          const received = await tokens.fetch(reference, data);
          const digest = padded(data, received.dataLength, received.digest);
          const verdict = await batcher.submit({ data, offset: reference.blockIndex * blockSize, digest });
          if (verdict === 'mismatch') throw wrongChecksum(this.#snapshotId, reference.blockIndex);
          this.#settled(reference.blockIndex, verdict, digest);
        },
      );
    const checkpoints = setInterval(() => this.#saveSoon(), CHECKPOINT_INTERVAL_MS);
    try {
      await runWorkers(
        this.#workers,
        plan,
        async (step, worker) => {
          if (signal.aborted) throw abortedError(signal);
          if (step.kind === 'zero') return this.#zero(step.start, step.end);
          return fetch(step.reference, new Uint8Array(slab, worker * blockSize, blockSize));
        },
        (failure) => this.#stop.abort(failure),
      );
    } finally {
      clearInterval(checkpoints);
    }
  }

  async #zero(start: number, end: number): Promise<void> {
    const { blockSize } = this.geometry;
    await this.#target.zero(start * blockSize, (end - start) * blockSize);
    this.#checkpoint?.markZeros(start, end);
    this.#meter.bytesZero += (end - start) * blockSize;
    this.#meter.bytesDone += (end - start) * blockSize;
    this.#meter.tick();
  }

  #settled(block: number, verdict: BlockVerdict, digest: Uint8Array): void {
    const { blockSize } = this.geometry;
    // A held block is not on the target yet, so a later run has to fetch it again.
    if (verdict !== 'held') this.#checkpoint?.markBlock(block, digest);
    const meter = this.#meter;
    meter.blocksTransferred++;
    meter.bytesTransferred += blockSize;
    meter.bytesDone += blockSize;
    if (verdict === 'zero') meter.bytesZero += blockSize;
    meter.tick();
  }

  #saveSoon(): void {
    if (this.#saving !== undefined || this.#checkpoint === undefined || this.#signal.aborted) return;
    this.#saving = this.#checkpoint
      .save(this.#target)
      .then(
        (failure) => {
          if (failure === undefined) return;
          const message = `The journal could not be written (${(failure as Error).message}); the download goes on without it.`;
          this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_WRITTEN', message });
        },
        (failure: unknown) => this.#stop.abort(failure),
      )
      .finally(() => {
        this.#saving = undefined;
      });
  }

  async #finish(): Promise<void> {
    await this.#saving;
    if (this.#signal.aborted)
      throw this.#signal.reason instanceof Error ? this.#signal.reason : abortedError(this.#signal);
    this.#meter.emit({ type: 'phase', phase: 'committing' });
    await this.#target.commit();
    if (this.#options.keepCheckpoint !== true) await this.#checkpoint?.remove().catch(() => {});
    this.#checkpoint = undefined;
  }
}

/** A service may send less than a block; the rest is zeros, and the whole gets a digest of its own. */
function padded(data: Uint8Array, dataLength: number, digest: Uint8Array): Uint8Array {
  if (dataLength === data.length) return digest;
  const sent = createHash('sha256').update(data.subarray(0, dataLength)).digest();
  // Left unpadded, it fails the check that follows, as it should.
  if (!sent.equals(digest)) return digest;
  data.fill(0, dataLength);
  return createHash('sha256').update(data).digest();
}

function wrongChecksum(snapshotId: string, block: number): ColdsnapError {
  const error = badBlock(
    { operation: 'GetSnapshotBlock', snapshotId, block },
    'arrived with data that do not match its checksum',
  );
  return new ColdsnapError('integrity', 'CHECKSUM_MISMATCH', error.message, { ...error });
}

async function* startingWith(first: CheckedPage<BlockReference>, rest: Pages): Pages {
  yield first;
  yield* rest;
}
