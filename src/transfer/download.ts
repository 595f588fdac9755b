/** Downloads a snapshot into an image: list → plan → fetch, check and write → sync → commit. */
import { setMaxListeners } from 'node:events';
import { abortable, abortedError } from '../cancel.ts';
import type { BlockReference } from '../ebs/api.ts';
import { listBlocks } from '../ebs/list/block-list.ts';
import type { CheckedPage } from '../ebs/list/pages.ts';
import { openEbs } from '../ebs/open.ts';
import { ColdsnapError } from '../errors.ts';
import { isErrno } from '../image/errno.ts';
import { openTarget } from '../image/open-target.ts';
import type { BlockOutcome, Geometry, ImageTarget } from '../image/target.ts';
import {
  checkCheckpointInterval,
  checkRate,
  checkRetryFor,
  checkWorkers,
  readableSnapshotId,
} from './checks.ts';
import { fetchBlocks } from './download-blocks.ts';
import { type DownloadCheckpoint, findDownloadJournal, type JournalLookup } from './download-checkpoint.ts';
import { prepareTarget } from './download-resume.ts';
import { removeJournal } from './journal.ts';
import { Meter } from './meter.ts';
import type { DownloadOptions, DownloadResult } from './options.ts';
import { planDownload } from './plan.ts';
import { RangeSet } from './range-set.ts';
import { CREDENTIALS, Watchdog } from './watchdog.ts';

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
  const retryForMs = checkRetryFor(options.retryForMs);
  checkRate(options.bytesPerSecond);
  const checkpointIntervalMs = checkCheckpointInterval(options.checkpointIntervalMs);
  const { signal } = options;
  if (signal?.aborted) throw abortedError(signal);
  const target = await openTarget(options.target, signal === undefined ? {} : { signal });
  const run = new Download({ ...options, snapshotId, workers, retryForMs, checkpointIntervalMs }, target);
  try {
    return await run.execute();
  } catch (error) {
    await run.abandon(error);
    throw error;
  } finally {
    run.close();
  }
}

type CheckedOptions = DownloadOptions & { workers: number; retryForMs: number; checkpointIntervalMs: number };

class Download {
  readonly #options: CheckedOptions;
  readonly #target: ImageTarget;
  readonly #meter: Meter;
  /** Fires with the caller's signal or with the first failure; no write begins after it. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #watchdog: Watchdog;
  #geometry: Geometry = { volumeSize: 0, blockSize: 0 };
  #checkpoint: DownloadCheckpoint | undefined;
  #saving: Promise<void> | undefined;
  /** Whether the latest save of the journal failed: said once, not every time. */
  #unsaved = false;

  constructor(options: CheckedOptions, target: ImageTarget) {
    this.#options = options;
    this.#target = target;
    this.#meter = new Meter(options.onEvent);
    const stop = this.#stop;
    this.#signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    // Every request in flight listens to it; their number is bounded by the workers.
    setMaxListeners(0, this.#signal);
    this.#watchdog = new Watchdog(this.#meter, options.retryForMs, (failure) => stop.abort(failure));
  }

  async execute(): Promise<DownloadResult> {
    const { snapshotId, force = false } = this.#options;
    const found = await this.#findJournal();
    if (await this.#finishedEarlier(found)) return this.#done();
    await this.#target.checkOverwrite({ force, resuming: found.kind === 'fits' || found.kind === 'foreign' });
    this.#watchdog.doing('connect', CREDENTIALS, 'service');
    const ebs = await abortable(openEbs({ ...this.#options, onRetry: this.#meter.retry }), this.#signal);
    this.#watchdog.done('connect');
    this.#meter.pacer = ebs.pacer;
    try {
      const pages = listBlocks(ebs.api, snapshotId, { signal: this.#signal });
      const first = await this.#firstPage(pages);
      this.#geometry = { volumeSize: first.volumeSize, blockSize: first.blockSize };
      this.#watchdog.doing('target', `${this.#target.path} to be made ready`, 'disk');
      this.#checkpoint = await prepareTarget(this.#target, {
        snapshotId,
        geometry: this.#geometry,
        place: this.#place,
        found,
        force,
        onDiscarded: this.#onDiscarded,
      });
      this.#watchdog.done('target');
      await this.#fetch(ebs, this.#startingWith(first, pages));
    } finally {
      ebs.close();
    }
    await this.#commit();
    return this.#done();
  }

  #done(): DownloadResult {
    const { snapshotId } = this.#options;
    const progress = this.#meter.progress();
    this.#meter.emit({ type: 'done', snapshotId, ...progress });
    return { snapshotId, ...this.#geometry, ...progress };
  }

  /** An earlier run was killed when the image was whole and had its name, but the journal was still there. */
  async #finishedEarlier(found: JournalLookup): Promise<boolean> {
    if (found.kind !== 'fits' || found.journal.committing === undefined) return false;
    if (!(await this.#target.finishCommit?.(found.journal.committing))) return false;
    const { volumeSize, blockSize } = found.journal;
    this.#geometry = { volumeSize, blockSize };
    this.#begin(volumeSize);
    if (this.#place !== undefined && this.#options.keepCheckpoint !== true)
      await removeJournal(this.#place.path);
    await this.#target.abandon({ keepForResume: true });
    return true;
  }

  #begin(bytesResumed: number): void {
    const { snapshotId } = this.#options;
    const { volumeSize, blockSize } = this.#geometry;
    const meter = this.#meter;
    meter.bytesTotal = volumeSize;
    meter.bytesDone = bytesResumed;
    meter.bytesResumed = bytesResumed;
    const { path } = this.#target;
    meter.emit({
      type: 'start',
      operation: 'download',
      snapshotId,
      path,
      volumeSize,
      blockSize,
      bytesResumed,
    });
  }

  /** Leaves the target so that the next run can go on, if it can; must not hide the error that led here. */
  async abandon(error: unknown): Promise<void> {
    this.#stop.abort();
    await this.#saving;
    const failedDevice = this.#target.kind === 'device' && isErrno(error, 'EIO', 'ENOSPC');
    const saved = failedDevice
      ? this.#checkpoint?.saveWithoutLast(4 * this.#options.workers)
      : this.#checkpoint?.save(this.#target);
    await saved?.catch(() => {});
    await this.#target.abandon({ keepForResume: this.#checkpoint !== undefined });
  }

  close(): void {
    this.#watchdog.close();
  }

  get #place() {
    if (this.#options.checkpoint === false || this.#target.journal === undefined) return undefined;
    return { ...this.#target.journal, path: this.#options.checkpointFile ?? this.#target.journal.path };
  }

  async #findJournal(): Promise<JournalLookup> {
    if (this.#place === undefined || this.#options.fresh === true) return { kind: 'none' };
    const found = await findDownloadJournal(this.#place, this.#options.snapshotId);
    if (found.kind === 'unfit') this.#onDiscarded(found.reason);
    return found;
  }

  readonly #onDiscarded = (reason: string): void => {
    const message = `The journal of an earlier download is not used: ${reason}. Starting anew.`;
    this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_USED', message });
  };

  async #firstPage(pages: Pages): Promise<CheckedPage<BlockReference>> {
    const { snapshotId } = this.#options;
    const first = await this.#nextPage(pages);
    if (first.done)
      throw new ColdsnapError('permanent', 'BAD_LIST', `${snapshotId} has no list`, { snapshotId });
    return first.value;
  }

  async #nextPage(pages: Pages): Promise<IteratorResult<CheckedPage<BlockReference>, void>> {
    this.#watchdog.doing('list', `the list of ${this.#options.snapshotId}`, 'service');
    const page = await pages.next();
    this.#watchdog.done('list');
    return page;
  }

  async *#startingWith(first: CheckedPage<BlockReference>, rest: Pages): Pages {
    yield first;
    for (let page = await this.#nextPage(rest); !page.done; page = await this.#nextPage(rest)) {
      yield page.value;
    }
  }

  async #fetch(ebs: Awaited<ReturnType<typeof openEbs>>, pages: Pages): Promise<void> {
    const { snapshotId, workers } = this.#options;
    const { blockSize } = this.#geometry;
    const done = this.#checkpoint?.done ?? new RangeSet();
    this.#begin(done.size * blockSize);
    // From the first block on a device is not blank any more, and only the journal says that this is why.
    if (this.#checkpoint !== undefined) await this.#save(this.#checkpoint);
    const checkpoints = setInterval(this.#saveSoon, this.#options.checkpointIntervalMs);
    try {
      await fetchBlocks(ebs, this.#target, planDownload(pages, done), {
        snapshotId,
        blockSize,
        workers,
        signal: this.#signal,
        watchdog: this.#watchdog,
        stop: (failure) => this.#stop.abort(failure),
        settled: this.#settled,
        zeroed: this.#zeroed,
      });
    } finally {
      clearInterval(checkpoints);
    }
  }

  readonly #settled = (block: number, verdict: BlockOutcome, digest: Uint8Array): void => {
    const { blockSize } = this.#geometry;
    // A held block is not on the target yet, so a later run has to fetch it again.
    if (verdict !== 'held') this.#checkpoint?.markBlock(block, digest);
    const meter = this.#meter;
    meter.blocksTransferred++;
    meter.bytesTransferred += blockSize;
    meter.bytesDone += blockSize;
    if (verdict === 'zero') meter.bytesZero += blockSize;
    meter.tick();
  };

  readonly #zeroed = (start: number, end: number): void => {
    const bytes = (end - start) * this.#geometry.blockSize;
    this.#checkpoint?.markZeros(start, end);
    this.#meter.bytesZero += bytes;
    this.#meter.bytesDone += bytes;
    this.#meter.tick();
  };

  readonly #saveSoon = (): void => {
    if (this.#saving !== undefined || this.#checkpoint === undefined || this.#signal.aborted) return;
    this.#saving = this.#save(this.#checkpoint).finally(() => {
      this.#saving = undefined;
    });
  };

  async #save(checkpoint: DownloadCheckpoint): Promise<void> {
    try {
      const failure = await checkpoint.save(this.#target);
      const said = this.#unsaved;
      this.#unsaved = failure !== undefined;
      if (failure === undefined || said) return;
      const journal = `The journal ${this.#place?.path} could not be written (${(failure as Error).message})`;
      const message = `${journal}; the download goes on without it.`;
      this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_WRITTEN', message });
    } catch (failure) {
      this.#stop.abort(failure);
    }
  }

  async #commit(): Promise<void> {
    await this.#saving;
    if (this.#signal.aborted) throw abortedError(this.#signal);
    this.#meter.emit({ type: 'phase', phase: 'committing' });
    this.#watchdog.doing('commit', `${this.#target.path} to be synced`, 'disk');
    await this.#checkpoint?.save(this.#target, (await this.#target.commitStamp?.()) ?? '');
    await this.#target.commit();
    this.#watchdog.done('commit');
    const checkpoint = this.#checkpoint;
    this.#checkpoint = undefined;
    if (this.#options.keepCheckpoint !== true) await checkpoint?.remove().catch(() => {});
  }
}
