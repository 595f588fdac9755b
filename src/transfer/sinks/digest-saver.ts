/** A decorator of a sink: the digest of each block is saved in a file, which gets its name after the commit. */
import type { DigestHeader } from '../digests/format.ts';
import type { DigestWriter } from '../digests/writer.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import { zeroBlock } from '../engine/zero-block.ts';

/** The sink, or what saves digests on the way to it. */
export function savingDigests(
  sink: BlockSink,
  digests: DigestWriter | undefined,
  header: DigestHeader,
): BlockSink {
  return digests === undefined ? sink : new DigestSaver(sink, digests, header);
}

class DigestSaver implements BlockSink {
  readonly label: string;
  readonly waitsFor: BlockSink['waitsFor'];
  readonly #sink: BlockSink;
  readonly #digests: DigestWriter;
  readonly #header: DigestHeader;
  readonly #zeros: Uint8Array;

  constructor(sink: BlockSink, digests: DigestWriter, header: DigestHeader) {
    this.label = sink.label;
    this.waitsFor = sink.waitsFor;
    this.#sink = sink;
    this.#digests = digests;
    this.#header = header;
    this.#zeros = zeroBlock(header.blockSize).digest;
  }

  get done() {
    return this.#sink.done;
  }

  get zerosPerStep(): number {
    return this.#sink.zerosPerStep;
  }

  admit(index: number): Promise<void> {
    return this.#sink.admit(index);
  }

  async write(block: Block): Promise<BlockOutcome> {
    const outcome = await this.#sink.write(block);
    if (outcome === 'mismatch') return outcome;
    const zero = block.hole === true || Buffer.compare(block.digest, this.#zeros) === 0;
    await this.#digests.set(block.index, zero ? undefined : block.digest);
    return outcome;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    const outcome = await this.#sink.zeros(start, end);
    await this.#digests.clear(start, end);
    return outcome;
  }

  /** Only zeros are kept without being read. */
  keep(start: number, end: number): number {
    return this.#sink.keep(start, end);
  }

  checkpoint(): Promise<void> {
    return this.#sink.checkpoint();
  }

  /** A full disk must be noticed while the transfer can still be resumed. */
  async commit(): Promise<void> {
    await this.#digests.seal(this.#header);
    await this.#sink.commit(() => this.#digests.publish());
  }
}
