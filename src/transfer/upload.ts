/** Uploads an image as a snapshot: start → read and hash → put → complete. */
import { createHash, randomUUID } from 'node:crypto';
import type { EbsDirectApi, StartedSnapshot, StartRequest } from '../ebs/api.ts';
import { type OpenEbs, openEbs } from '../ebs/open.ts';
import type { RetryNotice } from '../ebs/retry.ts';
import { abortedError, ColdsnapError } from '../errors.ts';
import { openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import { allocateSlab, type BlockRead, type BlockReadResult } from '../native/index.ts';
import { Batcher } from './batch.ts';
import { checkWorkers, readableSnapshotId } from './checks.ts';
import { LinearDigest } from './linear-digest.ts';
import { Meter } from './meter.ts';
import type { UploadOptions, UploadResult } from './options.ts';
import { RangeSet } from './range-set.ts';
import { type FoundUpload, findUploadJournal, UploadCheckpoint } from './upload-checkpoint.ts';
import { planUpload, type UploadStep } from './upload-plan.ts';
import { checkUploadOptions, startRequest, volumeSizeFor } from './upload-request.ts';
import { confirmCompletion, removeSnapshot, waitUntilUsable } from './upload-states.ts';
import { runWorkers } from './workers.ts';

/** As many blocks as the SHA-256 kernels hash at once for the price of little more than one. */
const BATCH_BLOCKS = 4;
/** Puts that a crash can make us repeat: those since the journal was last saved. */
const CHECKPOINT_INTERVAL_MS = 5_000;
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
  if (options.parentSnapshotId !== undefined) readableSnapshotId(options.parentSnapshotId);
  if (options.signal?.aborted) throw abortedError(options.signal);
  const source = await openSource(options.source, {
    ...(options.volumeSizeGiB === undefined ? {} : { streamSize: options.volumeSizeGiB * GIB }),
    ...(options.detectHoles === undefined ? {} : { detectHoles: options.detectHoles }),
    ...(options.holesFromSidecar === undefined ? {} : { holesFromSidecar: options.holesFromSidecar }),
  });
  const run = new Upload(options, workers, source);
  try {
    return await run.execute();
  } catch (error) {
    throw await run.abandon(error);
  } finally {
    await source.close();
  }
}

class Upload {
  readonly #options: UploadOptions;
  readonly #workers: number;
  readonly #source: ImageSource;
  readonly #meter: Meter;
  /** Fires with the caller's signal or with the first failure; no request begins after it. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #volumeSizeGiB: number;
  #snapshot: StartedSnapshot | undefined;
  #checkpoint: UploadCheckpoint | undefined;
  #done = new RangeSet();
  #linear = new LinearDigest();
  #sourceEnded = false;
  #completionRepeated = false;
  #completed = false;

  constructor(options: UploadOptions, workers: number, source: ImageSource) {
    this.#options = options;
    this.#workers = workers;
    this.#source = source;
    this.#meter = new Meter(options.onEvent);
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
    this.#volumeSizeGiB = volumeSizeFor(options, source.sizeBytes);
  }

  async execute(): Promise<UploadResult> {
    const found = await this.#findJournal();
    const ebs = await openEbs({ ...this.#options, workers: this.#workers, onRetry: this.#onRetry });
    try {
      const snapshot = await this.#start(ebs.api, found);
      this.#announce(snapshot);
      if (snapshot.status === 'pending') {
        await this.#refuseHarm(snapshot);
        await this.#move(ebs.api, snapshot);
        await this.#source.checkUnchanged();
        await this.#complete(ebs, snapshot);
      }
    } finally {
      ebs.close();
    }
    return this.#finish(this.#snapshot as StartedSnapshot);
  }

  readonly #onRetry = (notice: RetryNotice): void => {
    if (notice.operation === 'CompleteSnapshot') this.#completionRepeated = true;
    this.#meter.retry(notice);
  };

  get #place() {
    const { checkpoint, checkpointFile } = this.#options;
    if (checkpoint === false || this.#source.journal === undefined) return undefined;
    return { ...this.#source.journal, path: checkpointFile ?? this.#source.journal.path };
  }

  /** What must be the same for an earlier run's snapshot to be gone on with. */
  get #parameters(): string {
    const { clientToken: _, ...request } = this.#request('', false);
    const { omitZeroBlocks = false, detectHoles = false, holesFromSidecar = '' } = this.#options;
    return JSON.stringify({ ...request, omitZeroBlocks, detectHoles, holesFromSidecar });
  }

  #request(clientToken: string, marked: boolean): StartRequest {
    return startRequest(this.#options, this.#volumeSizeGiB, {
      clientToken,
      marked,
      resumable: this.#place !== undefined,
    });
  }

  async #findJournal(): Promise<FoundUpload> {
    if (this.#place === undefined || this.#options.fresh === true) return { kind: 'none' };
    const found = await findUploadJournal(this.#place, this.#parameters);
    if (found.kind === 'unfit') this.#startsAnew(found.reason, found.snapshotId);
    return found;
  }

  #startsAnew(reason: string, leftover?: string): void {
    const left =
      leftover === undefined
        ? ''
        : ` The earlier snapshot ${leftover} stays behind; "coldsnap pending" lists it.`;
    const message = `The journal of an earlier upload is not used: ${reason}. Starting anew.${left}`;
    this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_USED', message });
  }

  /** Starts a snapshot, or takes up the one of an earlier run: the same client token gives the same snapshot again. */
  async #start(api: EbsDirectApi, found: FoundUpload): Promise<StartedSnapshot> {
    if (found.kind === 'fits') {
      const snapshot = await this.#takeUp(api, found);
      if (snapshot !== undefined) return snapshot;
    }
    const start = async (marked: boolean) => {
      const token = { clientToken: randomUUID(), marked };
      this.#snapshot = await api.startSnapshot(this.#request(token.clientToken, marked), {
        signal: this.#signal,
      });
      await this.#keepJournal(this.#snapshot, token);
      return this.#snapshot;
    };
    try {
      return await start(true);
    } catch (error) {
      // Tagging needs a permission (ec2:CreateTags) that an upload does not; without tags of the user's, go unmarked.
      const untagged = (this.#options.tags ?? []).length === 0;
      if (!untagged || !(error instanceof ColdsnapError) || error.code !== 'ACCESS_DENIED') throw error;
      return start(false);
    }
  }

  async #takeUp(
    api: EbsDirectApi,
    found: FoundUpload & { kind: 'fits' },
  ): Promise<StartedSnapshot | undefined> {
    const { journal, prefix } = found;
    let snapshot: StartedSnapshot;
    try {
      snapshot = await api.startSnapshot(this.#request(journal.clientToken, journal.marked), {
        signal: this.#signal,
      });
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.class !== 'permanent') throw error;
      this.#startsAnew(`its snapshot cannot be taken up (${error.message})`);
      return undefined;
    }
    this.#snapshot = snapshot;
    if (snapshot.snapshotId !== journal.snapshotId || snapshot.blockSize !== journal.blockSize) {
      // The service has forgotten the token: this is a new and empty snapshot, good to be used from the beginning.
      this.#startsAnew(`its snapshot ${journal.snapshotId} is gone`);
      await this.#keepJournal(snapshot, journal);
      return snapshot;
    }
    if (snapshot.status === 'error') {
      this.#startsAnew(`its snapshot ${journal.snapshotId} has failed`);
      return undefined;
    }
    this.#done = new RangeSet(journal.done);
    this.#linear = new LinearDigest(prefix);
    await this.#keepJournal(snapshot, journal);
    return snapshot;
  }

  async #keepJournal(
    snapshot: StartedSnapshot,
    token: { clientToken: string; marked: boolean },
  ): Promise<void> {
    if (this.#place === undefined) return;
    const { snapshotId, blockSize } = snapshot;
    const { clientToken, marked } = token;
    const parameters = this.#parameters;
    this.#checkpoint = new UploadCheckpoint(this.#place, {
      snapshotId,
      clientToken,
      marked,
      parameters,
      blockSize,
    });
    await this.#saveJournal();
  }

  async #saveJournal(): Promise<void> {
    try {
      await this.#checkpoint?.save(this.#done, this.#linear);
    } catch (error) {
      const message = `The journal could not be written (${(error as Error).message}); the upload goes on without it.`;
      this.#meter.emit({ type: 'warning', code: 'JOURNAL_NOT_WRITTEN', message });
    }
  }

  #announce(snapshot: StartedSnapshot): void {
    const meter = this.#meter;
    const { snapshotId, blockSize } = snapshot;
    const volumeSize = this.#volumeSizeGiB * GIB;
    const bytesResumed = Math.min(this.#done.size * blockSize, volumeSize);
    meter.bytesTotal = volumeSize;
    meter.bytesResumed = bytesResumed;
    meter.bytesDone = bytesResumed;
    meter.emit({ type: 'snapshot', snapshotId });
    meter.emit({
      type: 'start',
      operation: 'upload',
      snapshotId,
      path: this.#source.path,
      volumeSize,
      blockSize,
      bytesResumed,
    });
  }

  /** With encryption as the account's default, omitted zeros would read back as noise: stop while nothing is put. */
  async #refuseHarm(snapshot: StartedSnapshot): Promise<void> {
    if (!this.#options.omitZeroBlocks) return;
    const encrypted = snapshot.kmsKeyArn !== undefined || (snapshot.sseType ?? 'none') !== 'none';
    if (!encrypted) return;
    throw new ColdsnapError(
      'refused',
      'OMIT_WITH_ENCRYPTION',
      `snapshot ${snapshot.snapshotId} is encrypted by the account's default, where omitted zero blocks read as noise`,
      { snapshotId: snapshot.snapshotId, hint: 'Upload without --omit-zero-blocks.' },
    );
  }

  async #move(api: EbsDirectApi, snapshot: StartedSnapshot): Promise<void> {
    const { blockSize, snapshotId } = snapshot;
    const signal = this.#signal;
    const zeros = new Uint8Array(blockSize);
    const zeroDigest = createHash('sha256').update(zeros).digest();
    const slab = allocateSlab(this.#workers * blockSize);
    const batcher = new Batcher<BlockRead, BlockReadResult>(BATCH_BLOCKS, async (reads) => {
      if (signal.aborted) throw abortedError(signal);
      return this.#source.readBlocks(reads);
    });
    const put = async (block: number, data: Uint8Array, digest: Uint8Array) => {
      await api.putSnapshotBlock({ snapshotId, blockIndex: block, data, digest }, { signal });
      this.#linear.put(block, digest);
      this.#done.add(block);
      this.#meter.blocksTransferred++;
      this.#meter.bytesTransferred += blockSize;
      this.#countDone(blockSize);
    };
    const work = async (step: UploadStep, worker: number) => {
      if (signal.aborted) throw abortedError(signal);
      if (step.kind === 'leave') return this.#leave(step.start, step.end, blockSize);
      await this.#linear.room(step.block);
      if (step.kind === 'put-zeros') return put(step.block, zeros, zeroDigest);
      const data = new Uint8Array(slab, worker * blockSize, blockSize);
      const read = await batcher.submit({ data, offset: step.block * blockSize });
      if (read.bytesRead === 0) this.#sourceEnded = true;
      const omit = (read.zero && this.#options.omitZeroBlocks) || (read.bytesRead === 0 && !this.#hasParent);
      if (omit) return this.#leave(step.block, step.block + 1, blockSize);
      if (step.kind === 'digest') return this.#linear.put(step.block, read.digest);
      return put(step.block, data, read.digest);
    };
    const plan = planUpload(this.#source.extents(blockSize), {
      blockSize,
      volumeSize: this.#volumeSizeGiB * GIB,
      hasParent: this.#hasParent,
      done: this.#done,
      from: this.#linear.prefix().block,
      ended: () => this.#sourceEnded,
    });
    let saving: Promise<void> | undefined;
    const checkpoints = setInterval(() => {
      saving ??= this.#saveJournal().finally(() => {
        saving = undefined;
      });
    }, CHECKPOINT_INTERVAL_MS);
    try {
      await runWorkers(this.#workers, plan, work, (failure) => {
        this.#stop.abort(failure);
        this.#linear.release();
      });
    } finally {
      clearInterval(checkpoints);
      await saving;
    }
  }

  get #hasParent(): boolean {
    return this.#options.parentSnapshotId !== undefined;
  }

  #leave(start: number, end: number, blockSize: number): void {
    this.#linear.leave(start, end);
    const before = this.#done.size;
    this.#done.add(start, end);
    this.#meter.bytesZero += (end - start) * blockSize;
    this.#countDone((this.#done.size - before) * blockSize);
  }

  #countDone(bytes: number): void {
    this.#meter.bytesDone += bytes;
    this.#meter.tick();
  }

  /** Completes the snapshot. When a reply was lost, a repeated completion may be refused though the first one counted. */
  async #complete(ebs: OpenEbs, snapshot: StartedSnapshot): Promise<void> {
    this.#meter.emit({ type: 'phase', phase: 'completing' });
    const { snapshotId } = snapshot;
    const { count } = this.#linear.prefix();
    try {
      const request = { snapshotId, changedBlocksCount: count, linearDigest: this.#linear.digest() };
      const status = await ebs.api.completeSnapshot(request, { signal: this.#signal });
      this.#snapshot = { ...snapshot, status };
    } catch (error) {
      if (!this.#completionRepeated || !(error instanceof ColdsnapError) || error.class !== 'permanent')
        throw error;
      await confirmCompletion(this.#options, snapshotId, error);
      this.#snapshot = { ...snapshot, status: 'completed' };
    }
    this.#completed = true;
  }

  async #finish(snapshot: StartedSnapshot): Promise<UploadResult> {
    const { snapshotId, blockSize } = snapshot;
    let status = snapshot.status;
    if (this.#options.wait) {
      this.#meter.emit({ type: 'phase', phase: 'waiting' });
      status = await waitUntilUsable(this.#options, snapshotId);
    }
    if (this.#options.keepCheckpoint !== true) await this.#checkpoint?.remove().catch(() => {});
    this.#meter.emit({ type: 'done', snapshotId, ...this.#meter.progress() });
    return {
      snapshotId,
      status,
      volumeSize: this.#volumeSizeGiB * GIB,
      blockSize,
      ...this.#meter.progress(),
    };
  }

  /** Saves what there is to go on with, or removes the snapshot when asked to; says what is left. Returns the error to throw. */
  async abandon(error: unknown): Promise<unknown> {
    this.#stop.abort();
    const snapshot = this.#snapshot;
    if (snapshot === undefined || this.#completed || snapshot.status === 'completed') return error;
    const { snapshotId } = snapshot;
    const useless =
      error instanceof ColdsnapError && (error.class === 'refused' || error.code.startsWith('SOURCE_'));
    if (this.#options.onFailure === 'delete' || useless) {
      const failure = await removeSnapshot(this.#options, snapshotId);
      if (failure === undefined) {
        await this.#checkpoint?.remove().catch(() => {});
        this.#meter.emit({
          type: 'warning',
          code: 'SNAPSHOT_DELETED',
          message: `Snapshot ${snapshotId} was deleted.`,
        });
        return withSnapshot(error, snapshotId);
      }
      this.#meter.emit({
        type: 'warning',
        code: 'SNAPSHOT_LEFT',
        message: `Snapshot ${snapshotId} could not be deleted: ${failure.message}`,
      });
      return withSnapshot(error, snapshotId);
    }
    await this.#saveJournal();
    const how =
      this.#checkpoint === undefined
        ? 'A stream cannot be gone on with; remove it with "coldsnap pending --delete".'
        : 'Run the same command again to go on, or remove it with "coldsnap pending --delete".';
    this.#meter.emit({
      type: 'warning',
      code: 'SNAPSHOT_LEFT',
      message: `Snapshot ${snapshotId} is left unfinished. ${how}`,
    });
    return withSnapshot(error, snapshotId);
  }
}

function withSnapshot(error: unknown, snapshotId: string): unknown {
  if (!(error instanceof ColdsnapError) || error.snapshotId !== undefined) return error;
  return new ColdsnapError(error.class, error.code, error.message, {
    ...error,
    cause: error.cause,
    snapshotId,
  });
}
