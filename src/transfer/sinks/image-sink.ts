/** A file, block device or stream as a sink: each block is checked and written in one thread-pool call. */
import { abortedError } from '../../cancel.ts';
import type { ServiceIdentity } from '../../ebs/service.ts';
import type { Geometry } from '../../geometry.ts';
import { isErrno } from '../../image/errno.ts';
import { checkFits } from '../../image/geometry.ts';
import type { BlockOutcome as ImageOutcome, ImageTarget, TargetBlock } from '../../image/target.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import type { RangeSet } from '../engine/range-set.ts';
import type { Journal } from '../journal/journal.ts';
import { type Claim, nothingDone } from '../journal/prove.ts';
import {
  claimOf,
  findRestoreJournal,
  isOfService,
  type RestoreJournal,
  type RestoreLookup,
  restoreJournal,
} from '../journal/restore.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { checkOverwrite } from './overwriting.ts';
import { RecentBlocks } from './recent-blocks.ts';
import { type ImageSinkOptions, invalidateJournals, isIntact, journalFor, resumeEarlier } from './resume.ts';
import { warnUnfinished } from './unfinished.ts';
import { zeroBlocksPerStep } from './zero-steps.ts';

export class ImageSink implements BlockSink {
  readonly label: string;
  readonly waitsFor = 'disk';
  readonly #run: Run;
  readonly #target: ImageTarget;
  readonly #options: ImageSinkOptions;
  readonly #journal: Journal<RestoreJournal> | undefined;
  readonly #batcher: Batcher<TargetBlock, ImageOutcome>;
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
  /** Whether it resumes: undefined until it is examined, `maybe` while what an earlier run has left is read back. */
  #resumes: boolean | 'maybe' | undefined;
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
    // Also to start over, where the journal may show that the target does not hold the base.
    if (this.#journal !== undefined && (this.#options.fresh !== true || this.#options.base !== undefined)) {
      this.#found = await findRestoreJournal(this.#journal, { ...this.#options, target: this.#target });
      if (this.#found.kind === 'rejected') this.#discard(this.#found.reason);
    }
    const committing = this.#found.kind === 'usable' ? this.#found.journal.committing : undefined;
    this.#mayBeFinished =
      committing !== undefined && (await this.#target.resumable?.finishCommit(committing)) === true;
    if (!this.#mayBeFinished)
      await checkOverwrite(this.#run, this.#target, this.#options, this.#found.kind === 'usable');
    return this.#found.kind === 'usable';
  }

  /**
   * Compares the service with that of the journal, once it is known. Changes nothing.
   * @returns the volume's geometry when an earlier run was killed after the image was whole, and it still is: only
   *   {@link finish} remains
   */
  async finishEarlier(service: ServiceIdentity): Promise<Geometry | undefined> {
    this.#service = service;
    if (this.#found.kind !== 'usable') return undefined;
    const { journal } = this.#found;
    const { path } = this.#target;
    if (!isOfService(journal, service, this.label)) await this.#startAgain('it belongs to another service');
    else if (!this.#mayBeFinished) return undefined;
    else if (await isIntact(this.#run, journal, path, this.#options.digests)) {
      this.#syncedJournal = journal;
      return { volumeSize: journal.volumeSize, blockSize: journal.blockSize };
    } else await this.#startAgain('the image has been modified');
    return undefined;
  }

  /** Ignores the journal, which then no longer allows overwriting. */
  async #startAgain(reason: string): Promise<void> {
    this.#discard(reason);
    this.#found = { kind: 'none' };
    await checkOverwrite(this.#run, this.#target, this.#options, false);
  }

  /**
   * Checks what an earlier run has done, and refuses a target that is too small, or that must not be overwritten without it.
   * Changes nothing.
   * @throws ColdsnapError class `refused`
   */
  async examine(geometry: Geometry): Promise<void> {
    this.#geometry = geometry;
    await this.#run.watch(`${this.label} to be examined`, 'disk', async () => {
      checkFits(this.#target, geometry.volumeSize);
      this.#resumes = await this.#resume(geometry);
      if (!this.#resumes && this.#found.kind === 'usable')
        await checkOverwrite(this.#run, this.#target, this.#options, false);
    });
  }

  /** Makes the target ready: resumes what an earlier run has done, if that proves to be there, or starts over. */
  async prepare(geometry: Geometry): Promise<void> {
    if (this.#resumes === undefined) await this.examine(geometry);
    if (this.#resumes !== true)
      await this.#run.watch(`${this.label} to be made ready`, 'disk', () => this.#startOver(geometry));
    this.#prepared = true;
  }

  async #startOver(geometry: Geometry): Promise<void> {
    this.#claim = nothingDone(geometry);
    this.#committing = undefined;
    if (this.#options.base === undefined) await invalidateJournals(this.#journal, this.#target);
    else await this.#journal?.saveFirst(this.#content(this.#claim));
    await this.#target.prepare(geometry, { resume: false });
  }

  async #resume(geometry: Geometry): Promise<boolean> {
    if (this.#found.kind !== 'usable' || this.#options.fresh === true) return false;
    const { journal } = this.#found;
    this.#resumes = 'maybe';
    const claim = await resumeEarlier(this.#run, journal, geometry, this.#target, this.#options.digests);
    if (typeof claim === 'string') return this.#discard(claim);
    this.#claim = claim;
    this.#committing = journal.committing;
    return true;
  }

  #discard(reason: string): false {
    this.#run.warn(...warnings.ignoringJournal('download', reason));
    return false;
  }
  async admit(): Promise<void> {}
  async write({ index, data, digest, verified }: Block): Promise<BlockOutcome> {
    const offset = index * this.#geometry.blockSize;
    const outcome = await this.#batcher.submit({ data, digest, verified, offset });
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
  keep = (start: number, end: number): number => end - start;

  /** The target first, then the journal: a journal must never speak of what a crash could lose. */
  async checkpoint(): Promise<void> {
    if (this.#journal === undefined) return;
    const inode = await this.#target.resumable?.inode();
    const content = { ...this.#content(this.#claim), ...(inode === undefined ? {} : { instance: inode }) };
    await this.#target.sync();
    this.#syncedJournal = content;
    await this.#journal.save(content);
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
    await onWhole?.();
  }

  /** Closes a target that is whole. Its journal still shows that, to the run after one that is killed now. */
  close(): Promise<void> {
    return this.#target.close();
  }

  /** Closes a target that is whole, and removes its journal, or notes that in it. */
  async finish(): Promise<void> {
    await this.close();
    if (this.#options.keepCheckpoint !== true) await this.#journal?.remove();
    else if (this.#syncedJournal) await this.#journal?.save({ ...this.#syncedJournal, finished: true });
  }

  /** Leaves the target so that a later run can resume, if it can. Nothing may be written meanwhile. Returns the error. */
  async abandon(error: unknown): Promise<unknown> {
    const unfinished = this.#prepared && this.#journal !== undefined && !this.#committed;
    if (unfinished) await this.#saveAfter(error).catch(() => {});
    // Where no journal could be written, not even by an earlier run, no later run can resume.
    const written = unfinished && this.#journal?.written === true;
    const resumable = !this.#committed && (written || this.#resumes === true || this.#resumes === 'maybe');
    await this.#target.abandon({ keepForResume: resumable || this.#committed });
    if (resumable) warnUnfinished(this.#run, this.#target, this.#journal, this.#options, error);
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
