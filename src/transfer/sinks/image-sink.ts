/** A file, block device or stream as a sink: each block is checked and written in one thread-pool call. */
import { abortedError } from '../../cancel.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Geometry } from '../../geometry.ts';
import { isErrno } from '../../image/errno.ts';
import type { BlockOutcome as ImageOutcome, ImageTarget, UnverifiedBlock } from '../../image/target.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import { RangeSet } from '../engine/range-set.ts';
import { invalidateJournal } from '../journal/file.ts';
import { Journal } from '../journal/journal.ts';
import { findRestoreJournal, type RestoreJournal, type RestoreLookup } from '../journal/restore.ts';
import type { DownloadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { warnOfOverwriting } from './overwriting.ts';
import { keepLegacyBlocks, readBlock, Samples } from './proof.ts';
import { RecentBlocks } from './recent-blocks.ts';

/** Most zeros in one step, in bytes: few enough that an abort is noticed while a device is being zeroed. */
const MAX_ZERO_BYTES = 2 ** 30;
/** The same for a stream, whose reader may be slow: few enough that each step shows as progress. */
const MAX_STREAM_ZERO_BYTES = 2 ** 24;

export type ImageSinkOptions = Pick<
  DownloadOptions,
  'snapshotId' | 'force' | 'fresh' | 'checkpoint' | 'checkpointFile' | 'keepCheckpoint'
>;

export class ImageSink implements BlockSink {
  readonly label: string;
  readonly waitsFor = 'disk';
  done = new RangeSet();
  readonly #run: Run;
  readonly #target: ImageTarget;
  readonly #options: ImageSinkOptions;
  readonly #journal: Journal<RestoreJournal> | undefined;
  readonly #batcher: Batcher<UnverifiedBlock, ImageOutcome>;
  #found: RestoreLookup = { kind: 'none' };
  #geometry: Geometry = { volumeSize: 0, blockSize: 0 };
  #samples = new Samples(0);
  readonly #recent = new RecentBlocks();
  /** The stamp of a commit that began, kept even when that commit fails: it may have written a part of block 0. */
  #committing: string | undefined;
  /** Whether this run prepared the target: what it saves is true of it. */
  #prepared = false;
  #committed = false;

  constructor(run: Run, target: ImageTarget, options: ImageSinkOptions) {
    this.label = target.label;
    this.#run = run;
    this.#target = target;
    this.#options = options;
    const usual = target.resumable?.journal;
    if (usual !== undefined && options.checkpoint !== false) {
      const location = { ...usual, path: options.checkpointFile ?? usual.path };
      this.#journal = new Journal(run, 'download', location);
    }
    this.#batcher = new Batcher(run.workers, async (blocks) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      return target.writeBlocks(blocks);
    });
  }

  get zerosPerStep(): number {
    const most = this.#target.resumable === undefined ? MAX_STREAM_ZERO_BYTES : MAX_ZERO_BYTES;
    return Math.max(1, Math.floor(most / this.#geometry.blockSize));
  }

  /**
   * Finds what an earlier run left, and refuses a target that must not be overwritten. Asks the service nothing.
   * @returns the volume's geometry when an earlier run was killed after the image was whole, so that nothing is to be done
   * @throws ColdsnapError class `refused`
   */
  async claim(): Promise<Geometry | undefined> {
    const { snapshotId, force = false, fresh = false } = this.#options;
    if (this.#journal !== undefined && !fresh) {
      this.#found = await findRestoreJournal(this.#journal, snapshotId);
      if (this.#found.kind === 'rejected') this.#discard(this.#found.reason);
    }
    const finished = await this.#finishEarlierCommit();
    if (finished !== undefined) return finished;
    const resuming = this.#found.kind === 'usable' || this.#found.kind === 'legacy';
    if (force && !resuming) await warnOfOverwriting(this.#run, this.#target);
    await this.#target.checkOverwrite({ force, resuming });
    return undefined;
  }

  async #finishEarlierCommit(): Promise<Geometry | undefined> {
    if (this.#found.kind !== 'usable') return undefined;
    const { committing, volumeSize, blockSize } = this.#found.journal;
    if (committing === undefined || !(await this.#target.resumable?.finishCommit(committing)))
      return undefined;
    if (this.#options.keepCheckpoint !== true) await this.#journal?.remove();
    await this.#target.close();
    return { volumeSize, blockSize };
  }

  /** Makes the target ready: resumes what an earlier run has done, if that proves to be there, or starts over. */
  async prepare(geometry: Geometry): Promise<void> {
    this.#geometry = geometry;
    await this.#run.watch(`${this.label} to be made ready`, 'disk', async () => {
      if (!(await this.#resume(geometry))) await this.#startOver(geometry);
    });
    this.#prepared = true;
  }

  async #startOver(geometry: Geometry): Promise<void> {
    const { force = false } = this.#options;
    if (this.#found.kind !== 'none') await this.#target.checkOverwrite({ force, resuming: false });
    // A journal of what is about to be overwritten must not outlive it, whether or not this run keeps one.
    const journals = [this.#journal?.location.path, this.#target.resumable?.journal.path];
    for (const path of new Set(journals)) if (path !== undefined) await invalidateJournal(path);
    await this.#target.prepare(geometry, { resume: false });
    this.done = new RangeSet();
    this.#committing = undefined;
    this.#samples = new Samples(geometry.blockSize);
  }

  async #resume(geometry: Geometry): Promise<boolean> {
    const { resumable } = this.#target;
    const found = this.#found;
    if (resumable === undefined || (found.kind !== 'usable' && found.kind !== 'legacy')) return false;
    const journal = found.kind === 'usable' ? found.journal : undefined;
    const { volumeSize, blockSize } = geometry;
    if (journal !== undefined && (journal.volumeSize !== volumeSize || journal.blockSize !== blockSize))
      return this.#discard('it belongs to a volume of other sizes');
    try {
      await this.#target.prepare(geometry, { resume: true, committing: journal?.committing });
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.code !== 'RESUME_MISMATCH') throw error;
      return this.#discard(error.message);
    }
    if (found.kind === 'legacy') {
      await keepLegacyBlocks(resumable, found.blocks, geometry, this.done);
      this.#samples = new Samples(blockSize, [], this.done.size);
      return true;
    }
    if (found.journal.instance !== (await resumable.inode()))
      return this.#discard('it belongs to another partial file');
    this.done = new RangeSet(found.journal.done);
    this.#committing = found.journal.committing;
    this.#samples = new Samples(blockSize, found.journal.samples, this.done.size);
    this.#recent.synced(found.journal.done);
    if (await this.#unchanged(blockSize)) return true;
    return this.#discard('the target has been modified');
  }

  /** Whether the samples have their digests, and a block 0 that is not done reads as zeros, as it must before a commit. */
  async #unchanged(blockSize: number): Promise<boolean> {
    const { resumable } = this.#target;
    if (resumable === undefined || !(await this.#samples.match(resumable, blockSize))) return false;
    // On a file, blocks that were written after the last save may be there already.
    if (!resumable.stagesHead || this.done.has(0) || this.#committing !== undefined) return true;
    return (await readBlock(resumable, 0, new Uint8Array(blockSize)))?.zero === true;
  }

  #discard(reason: string): false {
    this.#run.warn(...warnings.ignoringJournal('download', reason));
    return false;
  }

  async admit(): Promise<void> {}

  async write({ index, data, digest }: Block): Promise<BlockOutcome> {
    const offset = index * this.#geometry.blockSize;
    const outcome = await this.#batcher.submit({ data, offset, digest });
    // A block that is held back until the commit is not on the target yet, so a later run has to fetch it again.
    if (outcome === 'held') return 'written';
    if (outcome === 'mismatch') return outcome;
    this.done.add(index);
    this.#samples.add(index, digest);
    this.#recent.add(index);
    return outcome;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    const { blockSize } = this.#geometry;
    await this.#target.zero(start * blockSize, (end - start) * blockSize);
    this.done.add(start, end);
    this.#samples.addZeros(start, end);
    return { transferred: 0, skipped: end - start };
  }

  keep(start: number, end: number): void {
    this.done.add(start, end);
  }

  /** The target first, then the journal: a journal must never speak of what a crash could lose. */
  async checkpoint(): Promise<void> {
    if (this.#journal === undefined) return;
    const content = this.#content(this.done.ranges());
    await this.#target.sync();
    this.#recent.synced(content.done);
    const inode = await this.#target.resumable?.inode();
    await this.#journal.save({ ...content, ...(inode === undefined ? {} : { instance: inode }) });
  }

  #content(done: RestoreJournal['done']): RestoreJournal {
    return {
      version: 1,
      kind: 'download',
      snapshotId: this.#options.snapshotId,
      target: this.#journal?.location.identity ?? '',
      ...this.#geometry,
      done,
      samples: this.#samples.list(),
      ...(this.#committing === undefined ? {} : { committing: this.#committing }),
    };
  }

  async commit(): Promise<void> {
    this.#run.phase('committing');
    await this.#run.watch(`${this.label} to be synced`, 'disk', async () => {
      if (this.#journal !== undefined) {
        this.#committing = (await this.#target.resumable?.commitStamp()) ?? '';
        await this.checkpoint();
      }
      await this.#target.commit();
    });
    this.#committed = true;
    await this.#target.close();
    if (this.#options.keepCheckpoint !== true) await this.#journal?.remove();
  }

  /** Leaves the target so that a later run can resume, if it can. Returns the error to throw. */
  async abandon(error: unknown): Promise<unknown> {
    this.#run.stop();
    const resumable = this.#prepared && this.#journal !== undefined;
    if (resumable && !this.#committed) await this.#saveAfter(error).catch(() => {});
    await this.#target.abandon({ keepForResume: resumable });
    return error;
  }

  async #saveAfter(error: unknown): Promise<void> {
    const lostWrites = this.#target.resumable?.losesLastWrites === true && isErrno(error, 'EIO', 'ENOSPC');
    if (!lostWrites) return this.checkpoint();
    const done = this.#recent.trusted(4 * this.#run.workers);
    const content = this.#content(done.ranges());
    const samples = content.samples.filter(([block]) => done.has(block));
    await this.#journal?.save({ ...content, samples });
  }
}
