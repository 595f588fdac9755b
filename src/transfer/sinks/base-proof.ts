/** Shows, before a target is changed, that it holds the snapshot that it should. */
import { randomInt } from 'node:crypto';
import type { Geometry } from '../../geometry.ts';
import { openSource } from '../../image/open-source.ts';
import type { BlockSource } from '../engine/block.ts';
import { copyBlocks } from '../engine/copy-blocks.ts';
import { type BlockRange, RangeSet } from '../engine/range-set.ts';
import type { TransferEvent } from '../events.ts';
import { Run } from '../run/run.ts';
import { CompareSink } from './compare-sink.ts';

/** Bytes at the start of the volume: partition table, boot loader, the first file system's metadata. */
const HEAD_BYTES = 32 * 2 ** 20;
const RANDOM_BLOCKS = 64;

/** The blocks that are compared unless all are: the start of the volume, its last block, and random ones. */
export function proofBlocks({ volumeSize, blockSize }: Geometry): RangeSet {
  const count = volumeSize / blockSize;
  const blocks = new RangeSet([[0, Math.min(count, Math.ceil(HEAD_BYTES / blockSize))]]);
  blocks.add(count - 1);
  const wanted = Math.min(count, blocks.size + RANDOM_BLOCKS);
  while (blocks.size < wanted) blocks.add(randomInt(count));
  return blocks;
}

/** Random blocks of a volume of `count` blocks. */
export function randomBlocks(count: number): RangeSet {
  const blocks = new RangeSet();
  while (blocks.size < Math.min(count, RANDOM_BLOCKS)) blocks.add(randomInt(count));
  return blocks;
}

/** The parts of `ranges`, ascending, that are in the set. */
export async function* within(
  set: RangeSet,
  ranges: AsyncIterable<BlockRange>,
): AsyncGenerator<BlockRange, void, undefined> {
  for await (const [start, end] of ranges) yield* set.within(start, end);
}

interface BaseProof {
  /** The image to read. */
  readonly contents: string;
  readonly geometry: Geometry;
  /** Bytes that are compared at most, for the progress. */
  readonly bytesTotal: number;
  /** The error for the first range of bytes that differs. */
  readonly differs: (start: number, end: number) => Error;
}

/**
 * Compares the image with what the source plans.
 * @throws ColdsnapError `BASE_DIFFERS` with the first range that differs
 */
export async function proveBase(
  run: Run,
  makeSource: (run: Run) => BlockSource,
  { contents, geometry, bytesTotal, differs }: BaseProof,
): Promise<void> {
  const { signal, workers } = run;
  const onEvent = (event: TransferEvent) => {
    if (event.type === 'warning' || event.type === 'waiting') run.meter.emit(event);
    if (event.type === 'progress') run.phase('proving', { bytesDone: event.bytesDone, bytesTotal });
  };
  const proof = new Run({ signal, workers, onEvent });
  await proof.carryOut(async () => {
    const image = await openSource(contents, { signal, format: 'raw', role: 'target', examined: true });
    try {
      run.phase('proving', { bytesDone: 0, bytesTotal });
      const sink = new CompareSink(proof, image, geometry, { skipped: new RangeSet() });
      await copyBlocks(proof, makeSource(proof), sink, geometry);
      const [first] = sink.differences.first;
      if (first !== undefined) throw differs(first.start, first.end);
    } finally {
      await image.close();
    }
  });
}
