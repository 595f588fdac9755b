/** The only pipeline: workers carry blocks from a source to a sink. */
import { abortedError } from '../../cancel.ts';
import type { Geometry } from '../../geometry.ts';
import { allocateSlab } from '../../native/index.ts';
import type { Run } from '../run/run.ts';
import type { BlockOutcome, BlockSink, BlockSource, BlockStep, Step } from './block.ts';
import { Checkpoints } from './checkpoints.ts';
import { cutZeros } from './steps.ts';
import { runWorkers } from './workers.ts';

/** Most bytes in memory for blocks in flight, however large a service's blocks are: 1,024 blocks of the usual size. */
const MAX_BYTES_IN_FLIGHT = 512 * 2 ** 20;

/** As many workers as there may be with blocks of this size, each of which has one in memory. */
export function workersFor(blockSize: number, workers: number): number {
  return Math.min(workers, Math.floor(MAX_BYTES_IN_FLIGHT / blockSize));
}

/**
 * Carries out the source's plan and commits the sink.
 * @throws the first failure, after every worker has ended
 */
export async function copyBlocks(
  run: Run,
  source: BlockSource,
  sink: BlockSink,
  { blockSize }: Geometry,
): Promise<void> {
  const workers = workersFor(blockSize, run.workers);
  const slab = allocateSlab(workers * blockSize);
  const { meter, watchdog, signal } = run;
  const fromSource = `from ${source.label}`;
  const toSink = `to be ${sink.action ?? 'written to'} ${sink.label}`;

  const transfer = async (step: BlockStep, worker: number): Promise<BlockOutcome> => {
    const { index } = step;
    const waitForSource = () => watchdog.doing(worker, fromSource, source.waitsFor, index);
    waitForSource();
    return source.read(step, new Uint8Array(slab, worker * blockSize, blockSize), async (block) => {
      watchdog.doing(worker, toSink, sink.waitsFor, index);
      const outcome = await sink.write(block);
      if (outcome === 'mismatch') waitForSource();
      return outcome;
    });
  };

  const work = async (step: Step, worker: number): Promise<void> => {
    if (signal.aborted) throw abortedError(signal);
    if (step.kind === 'keep') {
      meter.kept(sink.keep(step.start, step.end) * blockSize);
    } else if (step.kind === 'zeros') {
      watchdog.doing(worker, `zeros from block ${step.start} ${toSink}`, sink.waitsFor);
      await sink.admit(step.start);
      const { transferred, skipped } = await sink.zeros(step.start, step.end);
      for (let count = 0; count < transferred; count++) meter.transferredZeros(blockSize);
      meter.skipped(skipped * blockSize);
    } else {
      await sink.admit(step.index);
      const outcome = await transfer(step, worker);
      if (outcome === 'written') meter.transferred(blockSize);
      else if (outcome === 'zero') meter.transferredZeros(blockSize);
      else meter.plan(-blockSize);
      if (outcome === 'skipped') meter.skipped(blockSize);
      if (outcome === 'unchanged') meter.kept(blockSize);
    }
    watchdog.done(worker);
  };

  const checkpoints = new Checkpoints(run, sink);
  try {
    await checkpoints.save();
    checkpoints.start();
    await runWorkers(workers, cutZeros(source.steps(sink.done), sink.zerosPerStep), work, run.stop);
    await source.finish();
  } finally {
    await checkpoints.end();
  }
  if (signal.aborted) throw abortedError(signal);
  await sink.commit();
}
