/** The pipeline of a download: each worker fetches a block into its buffer; batches of them are checked and written. */
import { createHash } from 'node:crypto';
import { abortedError } from '../cancel.ts';
import type { BlockReference } from '../ebs/api.ts';
import type { OpenEbs } from '../ebs/open.ts';
import { badBlock } from '../ebs/reply-checks.ts';
import { ColdsnapError } from '../errors.ts';
import type { BlockOutcome, ImageTarget, UnverifiedBlock } from '../image/target.ts';
import { allocateSlab } from '../native/index.ts';
import { Batcher } from './batch.ts';
import { BlockTokens } from './block-tokens.ts';
import { workersFor } from './checks.ts';
import type { PlanStep } from './plan.ts';
import type { Watchdog } from './watchdog.ts';
import { runWorkers } from './workers.ts';

export interface FetchOptions {
  readonly snapshotId: string;
  readonly blockSize: number;
  readonly workers: number;
  /** No request and no write begins after it has fired. */
  readonly signal: AbortSignal;
  readonly watchdog: Watchdog;
  /** Called with the first failure. */
  readonly stop: (failure: unknown) => void;
  /** A block is right and in place (or held back until commit). */
  readonly settled: (block: number, verdict: BlockOutcome, digest: Uint8Array) => void;
  /** Blocks `start` … `end - 1` read as zeros. */
  readonly zeroed: (start: number, end: number) => void;
}

/**
 * Carries out a plan.
 * @throws ColdsnapError the first failure, after every worker has ended
 */
export async function fetchBlocks(
  { api, once, policy }: OpenEbs,
  target: ImageTarget,
  plan: AsyncGenerator<PlanStep, void, undefined>,
  options: FetchOptions,
): Promise<void> {
  const { snapshotId, blockSize, signal, watchdog } = options;
  const workers = workersFor(blockSize, options.workers);
  const slab = allocateSlab(workers * blockSize);
  const tokens = new BlockTokens({ list: api, get: once }, snapshotId, signal);
  const batcher = new Batcher<UnverifiedBlock, BlockOutcome>(options.workers, async (blocks) => {
    if (signal.aborted) throw abortedError(signal);
    return target.writeBlocks(blocks);
  });

  const fetch = async (reference: BlockReference, worker: number) => {
    const block = reference.blockIndex;
    const data = new Uint8Array(slab, worker * blockSize, blockSize);
    // Wrong data are a failure of the request that brought them: the same policy repeats both, and counts them together.
    await policy.run({ operation: 'GetSnapshotBlock', snapshotId, block }, signal, async () => {
      watchdog.doing(worker, `block ${block} from the service`, 'service');
      const received = await tokens.fetch(reference, data);
      const digest = padded(data, received.dataLength, received.digest);
      watchdog.doing(worker, `block ${block} to be written to ${target.path}`, 'disk');
      const verdict = await batcher.submit({ data, offset: block * blockSize, digest });
      if (verdict === 'mismatch') throw wrongChecksum(snapshotId, block);
      options.settled(block, verdict, digest);
    });
  };

  const work = async (step: PlanStep, worker: number) => {
    if (signal.aborted) throw abortedError(signal);
    if (step.kind === 'fetch') {
      await fetch(step.reference, worker);
    } else {
      watchdog.doing(worker, `zeros from block ${step.start} on to be written to ${target.path}`, 'disk');
      await target.zero(step.start * blockSize, (step.end - step.start) * blockSize);
      options.zeroed(step.start, step.end);
    }
    watchdog.done(worker);
  };
  await runWorkers(workers, plan, work, options.stop);
}

/** A service may send less than a block; the rest is zeros, and the whole gets a digest of its own. */
function padded(data: Uint8Array, dataLength: number, digest: Uint8Array): Uint8Array {
  if (dataLength === data.length) return digest;
  const sent = createHash('sha256').update(data.subarray(0, dataLength)).digest();
  data.fill(0, dataLength);
  // The digest of other data fails the check that follows, as it should.
  return sent.equals(digest) ? createHash('sha256').update(data).digest() : new Uint8Array(32);
}

function wrongChecksum(snapshotId: string, block: number): ColdsnapError {
  const context = { operation: 'GetSnapshotBlock', snapshotId, block };
  const { message } = badBlock(context, 'arrived with data that do not match its checksum');
  return new ColdsnapError('integrity', 'CHECKSUM_MISMATCH', message, context);
}
