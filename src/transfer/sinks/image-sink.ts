/** A file, block device or stream as a sink: each block is checked and written in one thread-pool call. */
import { abortedError } from '../../cancel.ts';
import { isSameService, type ServiceIdentity } from '../../ebs/service.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Geometry } from '../../geometry.ts';
import { isErrno } from '../../image/errno.ts';
import type { BlockOutcome as ImageOutcome, ImageTarget, UnverifiedBlock } from '../../image/target.ts';
import { formatBytes } from '../../text.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import type { RangeSet } from '../engine/range-set.ts';
import type { Journal } from '../journal/journal.ts';
import type { Claim } from '../journal/prove.ts';
import { findRestoreJournal, type RestoreJournal, type RestoreLookup } from '../journal/restore.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { warnOfOverwriting } from './overwriting.ts';
import { RecentBlocks } from './recent-blocks.ts';
import {
  claimOf,
  type ImageSinkOptions,
  invalidateJournals,
  isIntact,
  journalFor,
  nothingDone,
  prove,
  restoreJournal,
} from './resume.ts';
import { warnUnfinished } from './unfinished.ts';
import { zeroBlocksPerStep } from './zero-steps.ts';

export class ImageSink implements BlockSink {
  readonly label: string;
  readonly waitsFor = 'disk';
  readonly #run: Run;
  readonly #target: ImageTarget;
  readonly #options: ImageSinkOptions;
  readonly #journal: Journal<RestoreJournal> | undefined;
  readonly #batcher: Batcher<UnverifiedBlock, ImageOutcome>;
  #found: RestoreLookup = { kind: 'none' };
  #geometry: Geometry = { volumeSize: 0, blockSize: 0 };
  #claim: Claim = nothingDone({ volumeSize: 0, blockSize: 1 });
  #service: ServiceIdentity = { endpoint: '', region: '' };
  /** A file with the target's name may be the image of an earlier run, killed before it removed its journal. */
  #mayBeFinished = false;
  readonly #recent: RecentBlocks;
  #syncedJournal: RestoreJournal | undefined;
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
    this.#recent = new RecentBlocks(4 * run.workers);
    this.#journal = journalFor(run, target, options);
    this.#batcher = new Batcher(run.workers, async (blocks) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      return target.writeBlocks(blocks);
    });
  }

  get done(): RangeSet {
    return this.#claim.done;
  }

  get zerosPerStep(): number {
    return zeroBlocksPerStep(this.#target, this.#geometry.blockSize);
  }

  /**
   * Finds what an earlier run left, and refuses a target that must not be overwritten. Makes no request.
   * @returns whether an earlier run may have changed the target
   * @throws ColdsnapError class `refused`
   */
  async claim(): Promise<boolean> {
    if (this.#journal !== undefined && this.#options.fresh !== true) {
      this.#found = await findRestoreJournal(this.#journal, { ...this.#options, label: this.label });
      if (this.#found.kind === 'rejected') this.#discard(this.#found.reason);
    }
    const committing = this.#found.kind === 'usable' ? this.#found.journal.committing : undefined;
    this.#mayBeFinished =
      committing !== undefined && (await this.#target.resumable?.finishCommit(committing)) === true;
    if (!this.#mayBeFinished) await this.#checkOverwrite(this.#found.kind === 'usable');
    return this.#found.kind === 'usable';
  }

  async #checkOverwrite(resuming: boolean): Promise<void> {
    const { force = false } = this.#options;
    if (force && !resuming) await warnOfOverwriting(this.#run, this.#target);
    await this.#target.checkOverwrite({ force, resuming });
  }

  /**
   * Compares the service with that of the journal, once it is known.
   * @returns the volume's geometry when an earlier run was killed after the image was whole, and it still is
   */
  async finishEarlier(service: ServiceIdentity): Promise<Geometry | undefined> {
    this.#service = service;
    if (this.#found.kind !== 'usable') return undefined;
    const { journal } = this.#found;
    if (!isSameService(service, journal.service)) {
      await this.#startAgain('it belongs to another service');
    } else if (this.#mayBeFinished) {
      const { snapshotId, volumeSize, blockSize } = journal;
      if (await isIntact(this.#run, journal, this.#target.path, this.#options.digests)) {
        await this.#options.digests?.save({ snapshotId, volumeSize, blockSize });
        if (this.#options.keepCheckpoint !== true) await this.#journal?.remove();
        await this.#target.close();
        return { volumeSize, blockSize };
      }
      await this.#startAgain('the image has been modified');
    }
    return undefined;
  }

  /** Does without the journal, and so without the permission to overwrite that it gave. */
  async #startAgain(reason: string): Promise<void> {
    this.#discard(reason);
    this.#found = { kind: 'none' };
    await this.#checkOverwrite(false);
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
    if (this.#found.kind !== 'none') await this.#checkOverwrite(false);
    this.#claim = nothingDone(geometry);
    this.#committing = undefined;
    if (this.#options.base === undefined) await invalidateJournals(this.#journal, this.#target);
    else await this.#journal?.saveFirst(this.#content(this.#claim));
    await this.#target.prepare(geometry, { resume: false });
  }

  async #resume(geometry: Geometry): Promise<boolean> {
    const { resumable } = this.#target;
    if (resumable === undefined || this.#found.kind !== 'usable') return false;
    const { journal } = this.#found;
    if (journal.volumeSize !== geometry.volumeSize || journal.blockSize !== geometry.blockSize)
      return this.#discard('it belongs to a volume of other sizes');
    try {
      await this.#target.prepare(geometry, { ...journal, resume: true });
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.code !== 'RESUME_MISMATCH') throw error;
      return this.#discard(error.message);
    }
    if (journal.instance !== (await resumable.inode()))
      return this.#discard('it belongs to another partial file');
    const claim = claimOf(journal);
    const proof = await prove(this.#run, claim, this.#target, resumable, this.#options.digests);
    if (proof.kind === 'unknown') return this.#discard('the target has been modified');
    if (proof.changedBlocks > 0) {
      const size = formatBytes(proof.changedBlocks * geometry.blockSize);
      this.#run.warn(...warnings.targetModified(this.label, size));
    }
    this.#claim = claim;
    this.#committing = journal.committing;
    return true;
  }

  #discard(reason: string): false {
    this.#run.warn(...warnings.ignoringJournal('download', reason));
    return false;
  }
  async admit(): Promise<void> {}
  async write({ index, data, digest }: Block): Promise<BlockOutcome> {
    const outcome = await this.#batcher.submit({ data, digest, offset: index * this.#geometry.blockSize });
    // A block that is held back until the commit is not on the target yet, so a later run has to fetch it again.
    if (outcome === 'held') return 'written';
    if (outcome === 'mismatch') return outcome;
    this.done.add(index);
    if (outcome === 'written') this.#claim.digests.add(index, digest);
    this.#recent.add(index, outcome === 'written' ? digest : undefined);
    return outcome;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    const { blockSize } = this.#geometry;
    await this.#target.zero(start * blockSize, (end - start) * blockSize);
    this.done.add(start, end);
    return { transferred: 0, skipped: end - start };
  }

  /** Not done by this run: the next one finds out again what it need not write. */
  keep(start: number, end: number): number {
    return end - start;
  }

  /** The target first, then the journal: a journal must never speak of what a crash could lose. */
  async checkpoint(): Promise<void> {
    if (this.#journal === undefined) return;
    const content = this.#content(this.#claim);
    await this.#target.sync();
    this.#syncedJournal = content;
    const inode = await this.#target.resumable?.inode();
    await this.#journal.save({ ...content, ...(inode === undefined ? {} : { instance: inode }) });
  }

  #content(claim: Claim): RestoreJournal {
    const { snapshotId, base } = this.#options;
    const target = this.#journal?.location.identity ?? '';
    const header = { service: this.#service, snapshotId, base, target, ...this.#geometry };
    return restoreJournal(header, claim, this.#committing);
  }

  async commit(onWhole?: () => Promise<void>): Promise<void> {
    this.#run.phase('committing');
    await this.#run.watch(`${this.label} to be synced`, 'disk', async () => {
      if (this.#journal !== undefined) {
        this.#committing = (await this.#target.resumable?.commitStamp()) ?? '';
        await this.checkpoint();
      }
      for (const { code, message } of await this.#target.commit()) this.#run.warn(code, message);
    });
    this.#committed = true;
    await this.#target.close();
    await onWhole?.();
    if (this.#options.keepCheckpoint !== true) await this.#journal?.remove();
  }

  /** Leaves the target so that a later run can resume, if it can. Returns the error to throw. */
  async abandon(error: unknown): Promise<unknown> {
    this.#run.stop();
    const resumable = this.#prepared && this.#journal !== undefined;
    if (resumable && !this.#committed) await this.#saveAfter(error).catch(() => {});
    await this.#target.abandon({ keepForResume: resumable });
    if (resumable && !this.#committed) warnUnfinished(this.#run, this.#target, this.#journal);
    return error;
  }

  async #saveAfter(error: unknown): Promise<void> {
    const lostWrites = this.#target.resumable?.losesLastWrites === true && isErrno(error, 'EIO', 'ENOSPC');
    if (!lostWrites) return this.checkpoint();
    if (this.#syncedJournal === undefined) return;
    const synced = claimOf(this.#syncedJournal);
    this.#recent.takeBack(synced);
    await this.#journal?.save(this.#content(synced));
  }
}
