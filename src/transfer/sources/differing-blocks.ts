/** A decorator of a source: blocks that a base holds too are not transferred. */
import type { BlockReference } from '../../ebs/api.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep, Step } from '../engine/block.ts';
import type { BlockSet } from '../engine/range-set.ts';
import { type ZeroBlock, zeroBlock } from '../engine/zero-block.ts';
import type { Run } from '../run/run.ts';

/** The list of the base, from the first call on in ascending order. */
interface BaseList {
  next(index: number): Promise<BlockReference | undefined>;
  close(): Promise<void>;
}

export interface Base {
  readonly snapshotId: string;
  /** Whether what the base does not list may read as random data, and not as zeros. */
  readonly unlistedIsRandom: boolean;
  list(from: number): BaseList;
  /** SHA-256 of a listed block; the buffer of one block may be overwritten. */
  digest(index: number, token: string, buffer: Uint8Array): Promise<Uint8Array>;
  finish(): Promise<void>;
}

export class DifferingBlocks implements BlockSource {
  readonly label: string;
  readonly waitsFor: BlockSource['waitsFor'];
  readonly #run: Run;
  readonly #source: BlockSource;
  readonly #base: Base;
  readonly #blockSize: number;
  readonly #zeros: ZeroBlock;

  constructor(run: Run, source: BlockSource, base: Base, blockSize: number) {
    this.label = `${source.label} (compared with ${base.snapshotId})`;
    this.waitsFor = source.waitsFor;
    this.#run = run;
    this.#source = source;
    this.#base = base;
    this.#blockSize = blockSize;
    this.#zeros = zeroBlock(blockSize);
  }

  async *steps(done: BlockSet): AsyncGenerator<Step, void, undefined> {
    let list: BaseList | undefined;
    try {
      for await (const step of this.#source.steps(done)) {
        const start = step.kind === 'block' ? step.index : step.start;
        list ??= this.#base.list(start);
        if (step.kind === 'zeros') {
          yield* this.#zeroSteps(list, step.start, step.end);
        } else if (step.kind === 'block') {
          const listed = await list.next(start);
          yield listed?.blockIndex === start ? { ...step, baseToken: listed.blockToken } : step;
        } else {
          yield step;
        }
      }
    } finally {
      await list?.close();
    }
  }

  /** The source is zeros there: what the base lists is compared, for it may be zeros too. */
  async *#zeroSteps(list: BaseList, start: number, end: number): AsyncGenerator<Step, void, undefined> {
    const kind = this.#base.unlistedIsRandom ? 'zeros' : 'keep';
    let next = start;
    for (;;) {
      const { blockIndex, blockToken } = (await list.next(next)) ?? { blockIndex: end, blockToken: '' };
      const index = Math.min(blockIndex, end);
      if (index > next) yield { kind, start: next, end: index };
      if (index === end) return;
      // Planned already where the source plans to transfer its zeros.
      if (kind === 'keep') this.#run.meter.plan(this.#blockSize);
      yield { kind: 'block', index, baseToken: blockToken, zeros: true };
      next = index + 1;
    }
  }

  async read(
    step: BlockStep,
    buffer: Uint8Array,
    use: (block: Block) => Promise<BlockOutcome>,
  ): Promise<BlockOutcome> {
    const { index, baseToken } = step;
    const held = baseToken === undefined ? undefined : await this.#base.digest(index, baseToken, buffer);
    const compare = (block: Block): Promise<BlockOutcome> => {
      const zero = block.zero === true || block.hole === true;
      const digest = zero ? this.#zeros.digest : block.digest;
      const unchanged =
        held === undefined ? zero && !this.#base.unlistedIsRandom : Buffer.compare(held, digest) === 0;
      return use({ ...block, digest, zero, hole: false, unchanged });
    };
    if (step.zeros !== true) return this.#source.read(step, buffer, compare);
    return compare({ index, ...this.#zeros, verified: true, zero: true });
  }

  async finish(): Promise<void> {
    await this.#source.finish();
    await this.#base.finish();
  }
}
