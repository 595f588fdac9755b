/**
 * A source whose blocks are checked as they arrive, so that their checksums can be sent with them. Ranges of zeros become
 * blocks of zeros where the sink has to transfer them.
 */
import { ColdsnapError } from '../../errors.ts';
import type { Geometry } from '../../geometry.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep, Step } from '../engine/block.ts';
import { BlockCheck } from '../engine/block-check.ts';
import type { BlockSet } from '../engine/range-set.ts';
import { type ZeroBlock, zeroBlock } from '../engine/zero-block.ts';
import type { Run } from '../run/run.ts';

interface CopiedOptions {
  /** For messages: `the source region eu-west-1`. */
  readonly label: string;
  /** Names the side in failures of reading. */
  readonly naming: <T>(work: () => Promise<T>) => Promise<T>;
  /** The range of blocks whose zeros are transferred; elsewhere they are not. */
  readonly zeros: { readonly start: number; readonly end: number };
  /** Whether the source plans the bytes of those zeros. */
  readonly zerosPlanned: boolean;
}

export class CopiedBlocks implements BlockSource {
  readonly label: string;
  readonly waitsFor = 'service';
  /** Blocks of zeros that this run has transferred. */
  zerosSent = 0;
  readonly #run: Run;
  readonly #source: BlockSource;
  readonly #geometry: Geometry;
  readonly #options: CopiedOptions;
  readonly #check: BlockCheck;
  readonly #zeros: ZeroBlock;

  constructor(run: Run, source: BlockSource, geometry: Geometry, options: CopiedOptions) {
    this.label = options.label;
    this.#run = run;
    this.#source = source;
    this.#geometry = geometry;
    this.#options = options;
    this.#zeros = zeroBlock(geometry.blockSize);
    this.#check = new BlockCheck(run);
  }

  async *steps(done: BlockSet): AsyncGenerator<Step, void, undefined> {
    const steps = this.#source.steps(done);
    try {
      for (;;) {
        const { value: step } = await this.#reading(() => steps.next());
        if (step === undefined) return;
        if (step.kind === 'zeros') yield* this.#zeroSteps(step);
        else yield step;
      }
    } finally {
      await steps.return();
    }
  }

  *#zeroSteps(step: Extract<Step, { kind: 'zeros' }>): Generator<Step, void, undefined> {
    const { zeros, zerosPlanned } = this.#options;
    const start = Math.max(step.start, zeros.start);
    const end = Math.min(step.end, zeros.end);
    if (start >= end) {
      yield step;
      return;
    }
    if (step.start < start) yield { ...step, end: start };
    if (!zerosPlanned) this.#run.meter.plan((end - start) * this.#geometry.blockSize);
    for (let index = start; index < end; index++) yield { kind: 'block', index };
    if (end < step.end) yield { ...step, start: end };
  }

  /** The check is a part of the read, which is repeated with it; the sink has retries of its own. */
  async read(
    step: BlockStep,
    buffer: Uint8Array,
    use: (block: Block) => Promise<BlockOutcome>,
  ): Promise<BlockOutcome> {
    const { index, token } = step;
    if (token === undefined) return this.#useZeros(index, use);
    let digest: Uint8Array | undefined;
    let zero = false;
    await this.#reading(() =>
      this.#source.read(step, buffer, async (block) => {
        const checked = await this.#check.check(block);
        digest = block.digest;
        zero = checked === 'zero';
        return checked;
      }),
    );
    if (digest === undefined) throw new Error(`block ${index} was not read`);
    return use({ index, data: buffer, digest, verified: true, zero });
  }

  async #useZeros(index: number, use: (block: Block) => Promise<BlockOutcome>): Promise<BlockOutcome> {
    const outcome = await use({ index, ...this.#zeros, verified: true, zero: true });
    if (outcome === 'zero') this.zerosSent++;
    return outcome;
  }

  async #reading<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#options.naming(work);
    } catch (error) {
      throw sourceGone(error);
    }
  }

  finish(): Promise<void> {
    return this.#source.finish();
  }
}

/** A source that is deleted meanwhile leaves a copy that no later run could finish. */
function sourceGone(error: unknown): unknown {
  if (!(error instanceof ColdsnapError) || error.code !== 'SNAPSHOT_NOT_FOUND') return error;
  return new ColdsnapError(error.class, error.code, error.message, {
    ...error,
    cause: error.cause,
    sourceFault: true,
  });
}
