/** A new snapshot as a sink: blocks are put, zeros skipped or put, and at the end the snapshot is completed. */
import { abortable, abortedError } from '../../cancel.ts';
import type { StartedSnapshot } from '../../ebs/api.ts';
import type { EbsConnection, Service, ServiceIdentity } from '../../ebs/service.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import type { RangeSet } from '../engine/range-set.ts';
import { outcomeOfHole, type ZeroBlock, zeroBlock } from '../engine/zero-block.ts';
import type { Journal } from '../journal/journal.ts';
import {
  type EarlierSnapshot,
  findUploadJournal,
  type UploadJournal,
  type UploadLookup,
} from '../journal/upload.ts';
import { snapshotFailed, withSnapshot } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { waitServices } from '../wait.ts';
import { warnings } from '../warnings.ts';
import { completeSnapshot, isAlive } from './complete.ts';
import { abandonSnapshot, abandonStart, isUseless } from './failed-upload.ts';
import { LostReplies } from './lost-replies.ts';
import type { NewSnapshot } from './request.ts';
import { chooseJournal } from './resume.ts';
import { emptySnapshot, type OpenSnapshot, startSnapshot, uploadJournal } from './start.ts';

export class SnapshotSink implements BlockSink {
  label = 'the service';
  readonly waitsFor = 'service';
  readonly zerosPerStep: number;
  readonly #run: Run;
  readonly #service: Service;
  readonly #spec: NewSnapshot;
  readonly #journal: Journal<UploadJournal> | undefined;
  #found: UploadLookup = { kind: 'none' };
  #ebs: EbsConnection | undefined;
  #open: OpenSnapshot | undefined;
  #zeros: ZeroBlock | undefined;
  #starting = false;
  #onWhole: (() => Promise<void>) | undefined;
  readonly lostReplies = new LostReplies();

  constructor(run: Run, service: Service, spec: NewSnapshot, journal: Journal<UploadJournal> | undefined) {
    this.#run = run;
    this.#service = service;
    this.#spec = spec;
    this.#journal = journal;
    // In a child, nothing means what the parent holds: zeros have to be put, one block a step.
    this.zerosPerStep = spec.hasParent ? 1 : Number.POSITIVE_INFINITY;
  }

  /**
   * Returns whether an earlier run has left an unfinished snapshot, and the source still is what was put. Makes no request.
   * @param prove whether the source holds what the journal claims
   */
  async claim(
    service: ServiceIdentity,
    fresh: boolean,
    prove: (journal: UploadJournal) => Promise<boolean>,
  ): Promise<boolean> {
    if (this.#journal === undefined) return false;
    const found = await findUploadJournal(this.#journal, this.#spec.parameters);
    this.#found = await chooseJournal(found, { service, fresh, prove, onDiscarded: this.#discard });
    return this.#found.kind === 'usable';
  }

  readonly #discard = (reason: string, earlier?: EarlierSnapshot): void =>
    this.#run.warn(...warnings.ignoringUploadJournal(reason, earlier));

  /**
   * Starts the snapshot, or resumes the one that an earlier run started.
   * @throws ColdsnapError when no snapshot can be started
   */
  async open(): Promise<StartedSnapshot> {
    const run = this.#run;
    const spec = this.#spec;
    this.#ebs = await this.#service.ebs();
    const { api } = this.#ebs;
    const open = await run.watch('the snapshot to be started', 'service', () =>
      startSnapshot(api, {
        found: this.#found,
        request: spec.request,
        volumeSize: spec.volumeSize,
        tagged: spec.tagged,
        signal: run.signal,
        before: async (token) => {
          this.#starting = true;
          if (this.lostReplies.start) run.warn(...warnings.snapshotMayExist(run.sameCommand, false));
          this.lostReplies.start = false;
          await this.#save(emptySnapshot({ snapshotId: '', blockSize: 0 }, token, spec.volumeSize));
        },
        isAlive: (id) => isAlive(id, run.signal, waitServices(this.#service)),
        onDiscarded: this.#discard,
      }),
    );
    this.#open = open;
    this.lostReplies.completion = open.completing;
    const { snapshot } = open;
    const resumed = open.resumed ? { resumed: true as const } : {};
    run.meter.emit({ type: 'snapshot', snapshotId: snapshot.snapshotId, ...resumed });
    if (snapshot.status === 'error') throw snapshotFailed(snapshot.snapshotId);
    return snapshot;
  }

  get #opened(): OpenSnapshot {
    if (this.#open === undefined) throw new Error('open() comes first');
    return this.#open;
  }

  /** Blocks that are put, or need not be; and, when all are done, those that were put. */
  get blocks(): { readonly done: number; readonly put: number } {
    return { done: this.#opened.done.size, put: this.#opened.linear.prefix().count };
  }

  /** Blocks whose digests are not known are read again, though not put. */
  get done(): RangeSet {
    return this.#opened.linear.finished();
  }

  async admit(index: number): Promise<void> {
    const room = this.#opened.linear.waitForWindow(index);
    if (room !== undefined) await abortable(room, this.#run.signal);
  }

  async write({ index, data, digest, zero, hole, unchanged }: Block): Promise<BlockOutcome> {
    if (hole) return outcomeOfHole(await this.zeros(index, index + 1));
    const { done, digests, linear } = this.#opened;
    if (unchanged) {
      if (this.#skip(index, index + 1) === 0) return 'kept';
      if (!zero) digests.add(index, digest);
      return 'unchanged';
    }
    if (zero && this.#spec.omitsZeros(index)) return this.#skip(index, index + 1) > 0 ? 'skipped' : 'kept';
    if (!done.has(index)) {
      await this.#put(index, data, digest, zero === true);
      return zero ? 'zero' : 'written';
    }
    linear.put(index, digest);
    return 'kept';
  }

  async #put(index: number, data: Uint8Array, digest: Uint8Array, zero: boolean): Promise<void> {
    const { snapshot, done, digests, linear } = this.#opened;
    const { signal } = this.#run;
    if (signal.aborted) throw abortedError(signal);
    const request = { snapshotId: snapshot.snapshotId, blockIndex: index, data, digest };
    await this.#ebs?.api.putSnapshotBlock(request, { signal });
    linear.put(index, digest);
    done.add(index);
    if (!zero) digests.add(index, digest);
  }

  #skip(start: number, end: number): number {
    const { done, linear } = this.#opened;
    const before = done.size;
    linear.skip(start, end);
    done.add(start, end);
    return done.size - before;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    if (!this.#spec.hasParent) return { transferred: 0, skipped: this.#skip(start, end) };
    const { done, linear } = this.#opened;
    this.#zeros ??= zeroBlock(this.#opened.snapshot.blockSize);
    const { data, digest } = this.#zeros;
    let transferred = 0;
    for (let index = start; index < end; index++) {
      if (done.has(index)) {
        linear.put(index, digest);
      } else {
        await this.#put(index, data, digest, true);
        transferred++;
      }
    }
    return { transferred, skipped: 0 };
  }

  keep(start: number, end: number): number {
    return this.#skip(start, end);
  }

  /** The service has what was put, so nothing needs to be made durable first. */
  async checkpoint(): Promise<void> {
    await this.#save(this.#opened);
  }

  async #save(open: OpenSnapshot): Promise<void> {
    const journal = this.#journal;
    if (journal === undefined) return;
    const { parameters, stamp } = this.#spec;
    const service = this.#ebs?.identity ?? { endpoint: '', region: '' };
    const source = journal.location.identity;
    await journal.save(uploadJournal(open, { service, source, stamp, parameters }));
  }

  /** Completes the snapshot. */
  async commit(onWhole?: () => Promise<void>): Promise<void> {
    const open = this.#opened;
    const { snapshot, linear } = open;
    this.#run.phase('completing');
    open.completing = true;
    // If this run ends before the reply comes, the next must not put what is no longer accepted.
    await this.checkpoint();
    const request = {
      snapshotId: snapshot.snapshotId,
      changedBlocksCount: linear.prefix().count,
      linearDigest: linear.digest(),
    };
    open.status = await this.#run.watch('the snapshot to be completed', 'service', () =>
      completeSnapshot(this.#run, this.#service, request, () => this.lostReplies.completion),
    );
    if (open.status === 'error') throw snapshotFailed(snapshot.snapshotId);
    open.accepted = true;
    // It may be pending for hours, and a repeated completion be refused.
    await this.checkpoint();
    await this.finish(onWhole);
  }

  /** The snapshot is completed, by this run or an earlier one. */
  async finish(onWhole?: () => Promise<void>): Promise<void> {
    this.#onWhole = onWhole;
  }

  /** Publishes the digests, which may replace those of the base, and removes the journal: no later run can continue. */
  async forget(): Promise<void> {
    await this.#onWhole?.();
    if (!this.#spec.keepJournal) await this.#journal?.remove();
  }

  /** With `accepted`, in a run that has just opened it, only {@link finish} remains. */
  get state(): Pick<OpenSnapshot, 'status' | 'resumed' | 'accepted'> {
    return this.#opened;
  }

  /**
   * Saves the journal, or deletes the snapshot if that was requested or no run can resume it. Warns of a snapshot that stays. Returns the error to throw.
   * @param useless whether no later run could finish the snapshot
   */
  async abandon(error: unknown, useless = isUseless(error)): Promise<unknown> {
    this.#run.stop();
    const failed = { run: this.#run, service: this.#service, journal: this.#journal };
    if (this.#open === undefined) {
      if (this.#starting) await abandonStart(failed, error, this.lostReplies.start);
      return error;
    }
    const open = this.#open;
    if (open.accepted) return withSnapshot(error, open.snapshot.snapshotId);
    const remove = this.#spec.onFailure === 'delete' || useless;
    return abandonSnapshot(failed, open, error, { remove, checkpoint: () => this.checkpoint() });
  }
}
