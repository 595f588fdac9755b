/**
 * The start and the end of a volume, staged in memory until commit: they hold what makes a disk look like one. Until then
 * they read as zeros, so that no partition table, file system or RAID label of an unfinished restore is found.
 */
import { allocateSlab, type BlockWrite, writeBlocks } from '../../native/index.ts';
import type { ByteRange } from '../extents.ts';
import type { BlockOutcome, Geometry, TargetBlock } from '../target.ts';
import { isZeroRange } from './blank.ts';

/** Bytes to stage at least; whole blocks. VMFS has its label at 1 MiB, LVM and ZFS within the first MiB. */
const headSize = 2 * 1024 * 1024;
/** GPT's copy, md 0.90 and 1.0, and two of ZFS's labels. */
const tailSize = 1024 * 1024;

interface StagedRange {
  readonly offset: number;
  readonly length: number;
}

function stagedLengths({ volumeSize, blockSize }: Geometry): [head: number, tail: number] {
  const head = Math.min(Math.ceil(headSize / blockSize) * blockSize, volumeSize);
  return [head, Math.min(Math.ceil(tailSize / blockSize) * blockSize, volumeSize - head)];
}

/** The ranges of a volume that are staged. */
export function stagedRanges(geometry: Geometry): ByteRange[] {
  const { volumeSize } = geometry;
  const [head, tail] = stagedLengths(geometry);
  const both = [
    { start: 0, end: head },
    { start: volumeSize - tail, end: volumeSize },
  ];
  return both.filter(({ start, end }) => end > start);
}

export class StagedEnds {
  readonly head: StagedRange;
  /** Empty where the head covers the volume. */
  readonly tail: StagedRange;
  readonly #memory: Uint8Array;
  /** Blocks that have arrived and are not zeros, by offset. */
  readonly #blocks = new Map<number, BlockWrite>();

  constructor(geometry: Geometry) {
    const [headLength, tailLength] = stagedLengths(geometry);
    this.head = { offset: 0, length: headLength };
    this.tail = { offset: geometry.volumeSize - tailLength, length: tailLength };
    this.#memory = new Uint8Array(allocateSlab(headLength + tailLength));
  }

  /** The ranges that are staged: one or two. */
  get ranges(): StagedRange[] {
    return [this.head, this.tail].filter(({ length }) => length > 0);
  }

  /** Whether the device reads as zeros there. */
  async areZero(fd: number): Promise<boolean> {
    for (const { offset, length } of this.ranges) if (!(await isZeroRange(fd, offset, length))) return false;
    return true;
  }

  get stagedBytes(): number {
    return [...this.#blocks.values()].reduce((sum, { data }) => sum + data.length, 0);
  }

  covers({ offset }: TargetBlock): boolean {
    return offset < this.head.length || offset >= this.tail.offset;
  }

  /** Checks blocks and keeps copies of the good ones. Resolves with one outcome per block. */
  async stage(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    const { outcomes } = await writeBlocks(-1, [...blocks], { zero: 'skip', zeroMethod: 'write' });
    return blocks.map(({ data, offset, digest }, i) => {
      const outcome = outcomes[i]!;
      if (outcome === 'mismatch') return outcome;
      this.#blocks.delete(offset);
      if (outcome === 'zero') return outcome;
      const at = offset < this.head.length ? offset : this.head.length + offset - this.tail.offset;
      const copy = this.#memory.subarray(at, at + data.length);
      copy.set(data);
      this.#blocks.set(offset, { data: copy, offset, digest: Uint8Array.from(digest) });
      return 'held';
    });
  }

  /**
   * The staged blocks in groups, in the order in which they are to be written, each safe before the next: the tail, the
   * head, and block 0 alone. Empty groups are omitted.
   */
  groups(): BlockWrite[][] {
    const staged = [...this.#blocks.values()].sort((a, b) => b.offset - a.offset);
    return [
      staged.filter(({ offset }) => offset >= this.head.length),
      staged.filter(({ offset }) => offset > 0 && offset < this.head.length),
      staged.filter(({ offset }) => offset === 0),
    ].filter((group) => group.length > 0);
  }

  /** Writes one group. `path` is the name for messages. */
  async write(fd: number, group: readonly BlockWrite[], path: string): Promise<void> {
    const { outcomes } = await writeBlocks(fd, [...group], { zero: 'write', zeroMethod: 'write' });
    if (outcomes.includes('mismatch'))
      throw new Error(`a block staged for the start or end of ${path} was damaged in memory`);
  }
}
