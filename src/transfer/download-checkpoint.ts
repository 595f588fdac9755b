/** A download's journal: which blocks are safe on the target, and proofs that they still are when a later run goes on. */
import { createHash } from 'node:crypto';
import type { Geometry, ImageTarget } from '../image/target.ts';
import {
  makeJournalDirectory,
  readJournal,
  removeJournal,
  setJournalAside,
  writeJournal,
} from './journal.ts';
import { type BlockRange, RangeSet } from './range-set.ts';

/** Digest of a block that is done, to be compared with the target before a later run trusts it. */
type Sample = readonly [block: number, digest: string];

interface DownloadJournal {
  readonly version: 1;
  readonly kind: 'download';
  readonly snapshotId: string;
  readonly target: string;
  /** The target's `inode()`, where it has one. */
  readonly instance?: string;
  readonly volumeSize: number;
  readonly blockSize: number;
  readonly done: readonly BlockRange[];
  readonly samples: readonly Sample[];
  /**
   * There once all blocks were safe and the commit began: the target's mark, empty where it has none. A device's block 0
   * may then be there, or a part of it.
   */
  readonly committing?: string;
}

/** Enough to notice that somebody else wrote to the target, few enough to read back in a moment. */
const SAMPLES = 64;

/** How many of the blocks that were marked last are remembered. */
const LATEST = 4_096;

/** What an earlier run left. `unfit` says why it cannot be used; `done` of one that fits can be gone on with. */
export type JournalLookup =
  | { readonly kind: 'none' }
  | { readonly kind: 'unfit'; readonly reason: string }
  | { readonly kind: 'fits'; readonly journal: DownloadJournal }
  /** The Rust tool's checkpoint: block indexes alone, without sizes or proofs. */
  | { readonly kind: 'foreign'; readonly blocks: readonly number[] };

export interface JournalLocation {
  readonly path: string;
  readonly identity: string;
}

/** Looks for the journal of this snapshot on this target. Corrupt ones are moved aside. */
export async function findDownloadJournal(
  place: JournalLocation,
  snapshotId: string,
): Promise<JournalLookup> {
  const reading = await readJournal(place.path);
  if (reading.kind === 'absent') return { kind: 'none' };
  if (reading.kind === 'corrupt') return setAside(place, reading.reason);
  const content = reading.content;
  const foreign = foreignCheckpoint(content);
  if (foreign !== undefined) {
    if (foreign.snapshotId !== snapshotId) return { kind: 'unfit', reason: `it is of ${foreign.snapshotId}` };
    return { kind: 'foreign', blocks: foreign.blocks };
  }
  if (!reading.sealed || !isDownloadJournal(content))
    return setAside(place, 'it is not a download journal of this version');
  if (content.snapshotId !== snapshotId) return { kind: 'unfit', reason: `it is of ${content.snapshotId}` };
  if (content.target !== place.identity) return { kind: 'unfit', reason: 'it is of another target' };
  return { kind: 'fits', journal: content };
}

async function setAside(place: JournalLocation, why: string): Promise<JournalLookup> {
  const where = await setJournalAside(place.path).catch(() => undefined);
  return { kind: 'unfit', reason: where === undefined ? why : `${why} (kept as ${where})` };
}

export class DownloadCheckpoint {
  readonly done: RangeSet;
  readonly #place: JournalLocation;
  #hasDirectory = false;
  readonly #header: Omit<DownloadJournal, 'done' | 'samples'>;
  readonly #samples: Sample[];
  /** Kept from the first commit on: even one that failed may have left a part of block 0. */
  #committing: string | undefined;
  readonly #zeroDigest: Uint8Array;
  #seen: number;
  /** The blocks marked last, the oldest first. */
  #latest: number[] = [];
  /** What was done and synced when the journal was saved last. */
  #saved: readonly BlockRange[];

  constructor(
    place: JournalLocation,
    snapshotId: string,
    geometry: Geometry,
    earlier?: Pick<DownloadJournal, 'done' | 'samples' | 'committing'>,
  ) {
    this.#place = place;
    this.#header = { version: 1, kind: 'download', snapshotId, target: place.identity, ...geometry };
    this.done = new RangeSet(earlier?.done);
    this.#samples = [...(earlier?.samples ?? [])];
    this.#committing = earlier?.committing;
    this.#zeroDigest = createHash('sha256').update(Buffer.alloc(geometry.blockSize)).digest();
    this.#seen = this.done.size;
    this.#saved = this.done.ranges();
  }

  /** Notes a block that was written. Keeps a fair sample of their digests. */
  markBlock(block: number, digest: Uint8Array): void {
    this.done.add(block);
    this.#sample(block, digest);
    this.#latest.push(block);
    if (this.#latest.length > 2 * LATEST) this.#latest = this.#latest.slice(-LATEST);
  }

  /** Notes blocks `start` … `end - 1`, which now read as zeros. One of them is a candidate for the sample. */
  markZeros(start: number, end: number): void {
    this.done.add(start, end);
    this.#sample(start + Math.floor(Math.random() * (end - start)), this.#zeroDigest);
  }

  #sample(block: number, digest: Uint8Array): void {
    this.#seen++;
    const at = this.#samples.length < SAMPLES ? this.#samples.length : Math.floor(Math.random() * this.#seen);
    if (at < SAMPLES) this.#samples[at] = [block, Buffer.from(digest).toString('base64')];
  }

  /**
   * Makes what was marked until now safe: first the target's data, then the journal that speaks of them. Never the other
   * way round, or a crash between the two would leave a journal that promises what the disk does not hold.
   *
   * @param committing the target's mark, when its commit is next
   * @returns the failure to write the journal, if any: a warning, the transfer goes on without it
   * @throws ColdsnapError when the target cannot be synced: its data are not safe
   */
  async save(target: ImageTarget, committing?: string): Promise<unknown> {
    this.#committing = committing ?? this.#committing;
    const content = this.#content(this.done.ranges(), [...this.#samples]);
    await target.sync();
    this.#saved = content.done;
    const instance = await target.resumable?.inode();
    try {
      if (!this.#hasDirectory) await makeJournalDirectory(this.#place.path);
      this.#hasDirectory = true;
      await writeJournal(this.#place.path, { ...content, ...(instance === undefined ? {} : { instance }) });
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /**
   * Saves what can be trusted of a device after a write to it has failed: not what was written last. Of a write that its
   * storage took only in part, because that is full, a loop device says that it succeeded (Linux, lo_complete_rq), and
   * only later ones fail.
   * @param count how many blocks are not trusted
   */
  async saveWithoutLast(count: number): Promise<void> {
    const latest = new RangeSet(this.#latest.slice(-count).map((block) => [block, block + 1]));
    const done = new RangeSet(this.#saved.flatMap(([start, end]) => [...latest.missing(start, end)]));
    const samples = this.#samples.filter(([block]) => done.has(block));
    await writeJournal(this.#place.path, this.#content(done.ranges(), samples));
  }

  #content(done: readonly BlockRange[], samples: readonly Sample[]): DownloadJournal {
    const committing = this.#committing === undefined ? {} : { committing: this.#committing };
    return { ...this.#header, done, samples, ...committing };
  }

  remove(): Promise<void> {
    return removeJournal(this.#place.path);
  }

  /**
   * Whether the target still holds what the journal says, read past the cache: each sampled block has its digest, and a
   * block 0 that is not done reads as zeros, as the earlier run left it unless it was being committed.
   */
  async matches(target: ImageTarget, geometry: Geometry): Promise<boolean> {
    const { blockSize } = geometry;
    const data = new Uint8Array(blockSize);
    const read = async (block: number) => {
      const [result] =
        (await target.resumable?.readBlocks([{ data, offset: block * blockSize }], { pastCache: true })) ??
        [];
      return result;
    };
    for (const [block, digest] of this.#samples) {
      const found = await read(block);
      if (found === undefined || Buffer.from(found.digest).toString('base64') !== digest) return false;
    }
    // On a file, blocks that came after the journal was last saved may be there already; on a device block 0 is held.
    if (!target.resumable?.stagesHead || this.done.has(0) || this.#committing !== undefined) return true;
    return (await read(0))?.zero === true;
  }
}

function isDownloadJournal(content: unknown): content is DownloadJournal {
  const journal = content as Partial<DownloadJournal> | null;
  return (
    typeof journal === 'object' &&
    journal !== null &&
    journal.version === 1 &&
    journal.kind === 'download' &&
    typeof journal.snapshotId === 'string' &&
    typeof journal.target === 'string' &&
    isCount(journal.volumeSize) &&
    isCount(journal.blockSize) &&
    Array.isArray(journal.done) &&
    journal.done.every(
      (range) => Array.isArray(range) && isCount(range[0]) && isCount(range[1]) && range[0] < range[1],
    ) &&
    (journal.instance === undefined || typeof journal.instance === 'string') &&
    (journal.committing === undefined || typeof journal.committing === 'string') &&
    Array.isArray(journal.samples) &&
    journal.samples.every(
      (sample) => Array.isArray(sample) && isCount(sample[0]) && typeof sample[1] === 'string',
    )
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** The checkpoint file of coldsnap 0.12: `{"snapshot_id": …, "completed_blocks": […]}`. */
function foreignCheckpoint(content: unknown): { snapshotId: string; blocks: number[] } | undefined {
  const file = content as { snapshot_id?: unknown; completed_blocks?: unknown } | null;
  if (typeof file !== 'object' || file === null || typeof file.snapshot_id !== 'string') return undefined;
  if (!Array.isArray(file.completed_blocks) || !file.completed_blocks.every(isCount)) return undefined;
  return { snapshotId: file.snapshot_id, blocks: file.completed_blocks };
}
