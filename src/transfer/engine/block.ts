/**
 * Every transfer is a source that plans steps and reads blocks, and a sink that takes them. A feature is a new
 * source, a new sink, or a decorator of either; {@link copyBlocks} is the only pipeline.
 */
import type { BlockSet } from './range-set.ts';

/** A plan is a stream of steps that ascend and cover the volume exactly once, except for what the sink has already. */
export type Step =
  /** Transfer the block. The tokens are the service's, where it is the source. */
  | BlockStep
  /** Blocks `start` … `end - 1` must read as zeros. */
  | { readonly kind: 'zeros'; readonly start: number; readonly end: number }
  /** Blocks `start` … `end - 1` are right already, because they have not changed since the base. */
  | { readonly kind: 'keep'; readonly start: number; readonly end: number };

export interface BlockStep {
  readonly kind: 'block';
  readonly index: number;
  readonly token?: string;
  /** Token of the same block in the snapshot to compare it with, if that lists it. */
  readonly baseToken?: string;
  /** The source is known to read as zeros there. */
  readonly zeros?: true;
}

export interface Block {
  readonly index: number;
  /** One block, in a buffer that is the source's again once `use` has settled. */
  readonly data: Uint8Array;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
  /** Whether the digest was computed from the data. If not, the sink compares them before it uses the data. */
  readonly verified: boolean;
  /** Whether all bytes are zero, where the source knows. */
  readonly zero?: boolean;
  /** Nothing was ever written there: the end of the source, for example. Reads as zeros. */
  readonly hole?: boolean;
  /** The sink has it already: it equals the block of the base. */
  readonly unchanged?: boolean;
}

/**
 * The fate of a block.
 *
 * - `written`: transferred
 * - `zero`: transferred, and all zeros
 * - `skipped`: not transferred, because nothing there reads as zeros
 * - `kept`: not transferred, because an earlier run has done it
 * - `unchanged`: not transferred, because the base holds the same
 * - `mismatch`: the data do not have their digest; nothing was used
 */
export type BlockOutcome = 'written' | 'zero' | 'skipped' | 'kept' | 'unchanged' | 'mismatch';

/** Blocks of a range of zeros that were transferred, and that needed no transfer. Blocks done before count in neither. */
export interface ZerosOutcome {
  readonly transferred: number;
  readonly skipped: number;
}

/** Which side has to move when nothing does. */
export type WaitingFor = 'service' | 'disk';

export interface BlockSource {
  /** For messages: `the service`, or the name of the image. */
  readonly label: string;
  readonly waitsFor: WaitingFor;
  /** @param done blocks to skip */
  steps(done: BlockSet): AsyncGenerator<Step, void, undefined>;
  /**
   * Reads the block into `buffer` and calls `use` with it. Reads it again while `use` says `mismatch` and the retry policy
   * allows; so `use` must be idempotent.
   */
  read(
    step: BlockStep,
    buffer: Uint8Array,
    use: (block: Block) => Promise<BlockOutcome>,
  ): Promise<BlockOutcome>;
  /** Checks, when all was read, that the source has not changed and that a stream has ended. */
  finish(): Promise<void>;
}

export interface BlockSink {
  /** For messages: `the service`, or the name of the image. */
  readonly label: string;
  /** For messages: what happens to a block. Default `written to`. */
  readonly action?: 'compared with';
  readonly waitsFor: WaitingFor;
  /** Blocks that a plan skips. */
  readonly done: BlockSet;
  /** Most blocks in one step of zeros: as many as one call of {@link zeros} handles without holding up an abort. */
  readonly zerosPerStep: number;
  /** Back-pressure: resolves when the block may be read. */
  admit(index: number): Promise<void>;
  /** Takes the block. Its buffer is the caller's again when this settles. */
  write(block: Block): Promise<BlockOutcome>;
  /** Makes blocks `start` … `end - 1` read as zeros. */
  zeros(start: number, end: number): Promise<ZerosOutcome>;
  /**
   * Records that blocks `start` … `end - 1` are right already.
   * @returns the number of those that an earlier run has not done
   */
  keep(start: number, end: number): number;
  /**
   * Saves how far it is, so that a later run can resume: first what was written is made durable, then the journal says so.
   * @throws when what was written cannot be made durable
   */
  checkpoint(): Promise<void>;
  /**
   * Makes the result whole and durable. Called once, after all steps.
   * @param onWhole called when it is, before a later run could no longer tell
   */
  commit(onWhole?: () => Promise<void>): Promise<void>;
}
