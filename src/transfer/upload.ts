/** Uploads an image as a snapshot: start → read and hash → put → complete. */
import { setMaxListeners } from 'node:events';
import { abortable } from '../ebs/abortable.ts';
import { type OpenEbs, openEbs } from '../ebs/open.ts';
import type { RetryNotice } from '../ebs/retry.ts';
import { abortedError, ColdsnapError } from '../errors.ts';
import { openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import {
  checkCheckpointInterval,
  checkRate,
  checkRetryFor,
  checkWorkers,
  readableSnapshotId,
} from './checks.ts';
import { LinearDigest } from './linear-digest.ts';
import { Meter } from './meter.ts';
import type { UploadOptions, UploadResult } from './options.ts';
import { RangeSet } from './range-set.ts';
import { putBlocks } from './upload-blocks.ts';
import type { UploadLookup } from './upload-checkpoint.ts';
import { RunJournal } from './upload-journal.ts';
import { checkOmission, checkUploadOptions, startRequest, volumeSizeFor } from './upload-request.ts';
import { type OpenSnapshot, startSnapshot } from './upload-start.ts';
import {
  confirmCompletion,
  removeSnapshot,
  snapshotFailed,
  waitUntilUsable,
  withSnapshot,
} from './upload-states.ts';
import { checkWaitConditions } from './wait.ts';
import { CREDENTIALS, Watchdog } from './watchdog.ts';

const GIB = 2 ** 30;

/**
 * Uploads an image and completes its snapshot. Zeros are sent unless `omitZeroBlocks` or a map of holes says otherwise.
 * The event `snapshot` carries the ID as soon as the snapshot exists.
 *
 * An interrupted upload of a file or device goes on where it was when it is called again with the same options.
 *
 * @throws ColdsnapError whose `class` says what kind of failure it is, and whose `snapshotId`, once there is one, what
 *   is left at the service
 */
export async function uploadSnapshot(options: UploadOptions): Promise<UploadResult> {
  checkUploadOptions(options);
  const workers = checkWorkers(options.workers);
  const retryForMs = checkRetryFor(options.retryForMs);
  checkRate(options.bytesPerSecond);
  const checkpointIntervalMs = checkCheckpointInterval(options.checkpointIntervalMs);
  if (options.parentSnapshotId !== undefined) readableSnapshotId(options.parentSnapshotId);
  if (typeof options.wait === 'object') checkWaitConditions(options.wait);
  if (options.signal?.aborted) throw abortedError(options.signal);
  const source = await openSource(options.source, {
    ...(options.volumeSizeGiB === undefined ? {} : { streamSize: options.volumeSizeGiB * GIB }),
    ...(options.detectHoles === undefined ? {} : { detectHoles: options.detectHoles }),
    ...(options.holesFromSidecar === undefined ? {} : { holesFromSidecar: options.holesFromSidecar }),
  });
  try {
    const volumeSizeGiB = volumeSizeFor(options, source.sizeBytes);
    const run = new Upload({ ...options, workers, retryForMs, checkpointIntervalMs, volumeSizeGiB }, source);
    try {
      return await run.execute();
    } catch (error) {
      throw await run.abandon(error);
    } finally {
      await run.close();
    }
  } finally {
    await source.close();
  }
}

type CheckedOptions = UploadOptions & {
  workers: number;
  retryForMs: number;
  checkpointIntervalMs: number;
  volumeSizeGiB: number;
};

class Upload {
  readonly #options: CheckedOptions;
  readonly #source: ImageSource;
  readonly #meter: Meter;
  /** Fires with the caller's signal or with the first failure; no request begins after it. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #watchdog: Watchdog;
  readonly #journal: RunJournal;
  #open: OpenSnapshot | undefined;
  #saving: Promise<void> | undefined;
  #starting = false;
  /** The service may have started a snapshot in a request whose reply did not come. */
  #startReplyLost = false;
  #completing = false;
  #completionRepeated = false;
  #completed = false;

  constructor(options: CheckedOptions, source: ImageSource) {
    this.#options = options;
    this.#source = source;
    this.#meter = new Meter(options.onEvent);
    const stop = this.#stop;
    this.#signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    // Every request in flight listens to it; their number is bounded by the workers.
    setMaxListeners(0, this.#signal);
    this.#watchdog = new Watchdog(this.#meter, options.retryForMs, (failure) => stop.abort(failure));
    this.#journal = new RunJournal(options, source, this.#warn);
  }

  async execute(): Promise<UploadResult> {
    await this.#journal.lock();
    const found = await this.#journal.find();
    this.#watchdog.doing('connect', CREDENTIALS, 'service');
    const ebs = await abortable(openEbs({ ...this.#options, onRetry: this.#onRetry }), this.#signal);
    this.#watchdog.done('connect');
    this.#meter.pacer = ebs.pacer;
    let status: string;
    try {
      await this.#waitForSource();
      const open = await this.#start(ebs, found);
      status = open.snapshot.status;
      if (status === 'pending') {
        await this.#put(ebs, open);
        await this.#source.checkUnchanged();
        status = await this.#complete(ebs, open);
      }
      if (status === 'error') throw snapshotFailed(open.snapshot.snapshotId);
      this.#completed = true;
    } finally {
      ebs.close();
    }
    return this.#finish(status);
  }

  async close(): Promise<void> {
    this.#watchdog.close();
    await this.#journal.release();
  }

  readonly #onRetry = (notice: RetryNotice): void => {
    if (notice.operation === 'CompleteSnapshot') this.#completionRepeated = true;
    if (notice.operation === 'StartSnapshot' && notice.error.class === 'transient')
      this.#startReplyLost = true;
    this.#meter.retry(notice);
  };

  /** Nothing is started for a stream that turns out to be empty. */
  async #waitForSource(): Promise<void> {
    this.#watchdog.doing('source', `the first bytes of ${this.#source.path}`, 'disk');
    await abortable(this.#source.ready(), this.#signal);
    this.#watchdog.done('source');
  }

  readonly #warn = (code: string, message: string): void => {
    this.#meter.emit({ type: 'warning', code, message });
  };

  async #start(ebs: OpenEbs, found: UploadLookup): Promise<OpenSnapshot> {
    this.#watchdog.doing('start', 'the snapshot to be started', 'service');
    const open = await startSnapshot(ebs.api, {
      found,
      request: (token) => startRequest(this.#options, { ...token, resumable: this.#journal.resumable }),
      tagged: (this.#options.tags ?? []).length > 0,
      signal: this.#signal,
      before: async (token) => {
        this.#starting = true;
        if (this.#startReplyLost) this.#warnSnapshotMayExist('"coldsnap pending" tells');
        this.#startReplyLost = false;
        const nothing = { done: new RangeSet(), linear: new LinearDigest() };
        await this.#journal.begin({ snapshotId: '', blockSize: 0, ...token }, nothing);
      },
      onDiscarded: this.#journal.onDiscarded,
    });
    this.#watchdog.done('start');
    this.#open = open;
    this.#completionRepeated = open.completing;
    this.#announce(open);
    const omission = checkOmission(this.#options, open.snapshot);
    if (omission !== undefined) this.#warn('ZEROS_OMITTED', omission);
    const { snapshotId, blockSize } = open.snapshot;
    await this.#journal.begin({ snapshotId, blockSize, ...open.token }, open);
    return open;
  }

  #announce({ snapshot, done }: OpenSnapshot): void {
    const meter = this.#meter;
    const { snapshotId, blockSize } = snapshot;
    const volumeSize = this.#options.volumeSizeGiB * GIB;
    const bytesResumed = done.size * blockSize;
    meter.bytesTotal = volumeSize;
    meter.bytesResumed = bytesResumed;
    meter.bytesDone = bytesResumed;
    const { path } = this.#source;
    meter.emit({ type: 'snapshot', snapshotId });
    meter.emit({ type: 'start', operation: 'upload', snapshotId, path, volumeSize, blockSize, bytesResumed });
  }

  async #put(ebs: OpenEbs, open: OpenSnapshot): Promise<void> {
    const { blockSize } = open.snapshot;
    const meter = this.#meter;
    const checkpoints = setInterval(() => {
      this.#saving ??= this.#journal.save(open).finally(() => {
        this.#saving = undefined;
      });
    }, this.#options.checkpointIntervalMs);
    try {
      await putBlocks(ebs.api, this.#source, open, {
        volumeSize: meter.bytesTotal,
        workers: this.#options.workers,
        hasParent: this.#options.parentSnapshotId !== undefined,
        omitZeroBlocks: this.#options.omitZeroBlocks ?? false,
        signal: this.#signal,
        watchdog: this.#watchdog,
        stop: (failure) => this.#stop.abort(failure),
        sent: () => {
          meter.blocksTransferred++;
          meter.bytesTransferred += blockSize;
          meter.bytesDone += blockSize;
          meter.tick();
        },
        left: (blocks) => {
          meter.bytesZero += blocks * blockSize;
          meter.bytesDone += blocks * blockSize;
          meter.tick();
        },
      });
    } finally {
      clearInterval(checkpoints);
      await this.#saving;
    }
  }

  /** Completes the snapshot. When a reply was lost, a repeated completion may be refused though the first one counted. */
  async #complete(ebs: OpenEbs, open: OpenSnapshot): Promise<string> {
    this.#meter.emit({ type: 'phase', phase: 'completing' });
    this.#watchdog.doing('complete', 'the snapshot to be completed', 'service');
    const { snapshotId } = open.snapshot;
    const { linear } = open;
    this.#completing = true;
    // If this run ends before the reply comes, the next must not put what is no longer taken.
    await this.#journal.save(open, true);
    try {
      const request = {
        snapshotId,
        changedBlocksCount: linear.prefix().count,
        linearDigest: linear.digest(),
      };
      return await ebs.api.completeSnapshot(request, { signal: this.#signal });
    } catch (error) {
      if (!this.#completionRepeated || !(error instanceof ColdsnapError) || error.class !== 'permanent')
        throw error;
      await confirmCompletion(this.#options, snapshotId, error);
      return 'completed';
    } finally {
      this.#watchdog.done('complete');
    }
  }

  async #finish(status: string): Promise<UploadResult> {
    const { snapshotId, blockSize } = (this.#open as OpenSnapshot).snapshot;
    if (this.#options.keepCheckpoint !== true) await this.#journal.remove();
    let lastStatus = status;
    if (this.#options.wait) {
      this.#meter.emit({ type: 'phase', phase: 'waiting' });
      lastStatus = await waitUntilUsable(this.#options, snapshotId);
    }
    const progress = this.#meter.progress();
    this.#meter.emit({ type: 'done', snapshotId, ...progress });
    return { snapshotId, status: lastStatus, volumeSize: progress.bytesTotal, blockSize, ...progress };
  }

  /**
   * Saves what there is to go on with, or removes the snapshot: when that was asked for, and when nobody can go on with
   * it. Says what is left. Returns the error to throw.
   */
  async abandon(error: unknown): Promise<unknown> {
    this.#stop.abort();
    if (this.#open === undefined) {
      await this.#cleanUpFailedStart(error);
      return error;
    }
    const { snapshotId } = this.#open.snapshot;
    if (this.#completed) return withSnapshot(error, snapshotId);
    const useless = error instanceof ColdsnapError && (error.class === 'refused' || error.sourceFault);
    if (this.#options.onFailure === 'delete' || useless) {
      const failure = await removeSnapshot(this.#options, snapshotId);
      if (failure === undefined) {
        await this.#journal.remove();
        this.#warn('SNAPSHOT_DELETED', `Snapshot ${snapshotId} was deleted.`);
        return error;
      }
      this.#warn(
        'SNAPSHOT_LEFT',
        `Snapshot ${snapshotId} could not be deleted (${failure.message}); try "coldsnap pending --delete ${snapshotId}".`,
      );
    } else {
      await this.#journal.save(this.#open, this.#completing);
      const how = this.#journal.written
        ? `Run the same command again to go on, or remove it with "coldsnap pending --delete ${snapshotId}".`
        : `It cannot be gone on with; remove it with "coldsnap pending --delete ${snapshotId}".`;
      this.#warn('SNAPSHOT_LEFT', `Snapshot ${snapshotId} is left unfinished. ${how}`);
    }
    return withSnapshot(error, snapshotId);
  }

  /** StartSnapshot failed. Unless the service refused every request for it, there may be a snapshot whose ID was never heard. */
  async #cleanUpFailedStart(error: unknown): Promise<void> {
    if (!this.#starting) return;
    const unheard =
      this.#startReplyLost ||
      (error instanceof ColdsnapError && (error.class === 'aborted' || error.class === 'gave-up'));
    if (!unheard) {
      await this.#journal.remove();
      return;
    }
    this.#warnSnapshotMayExist(
      this.#journal.written ? 'the same command goes on with it' : '"coldsnap pending" tells',
    );
  }

  #warnSnapshotMayExist(how: string): void {
    this.#warn('SNAPSHOT_MAYBE_LEFT', `A snapshot may have been started before the reply was lost; ${how}.`);
  }
}
