/** The pipeline of an upload: batches of blocks are read and hashed; each worker puts its block. */
import { createHash } from 'node:crypto';
import { abortedError } from '../cancel.ts';
import type { EbsDirectApi } from '../ebs/api.ts';
import type { ImageSource } from '../image/source.ts';
import { allocateSlab, type BlockRead, type BlockReadResult } from '../native/index.ts';
import { Batcher } from './batch.ts';
import { workersFor } from './checks.ts';
import { planUpload, type UploadStep } from './upload-plan.ts';
import type { OpenSnapshot } from './upload-start.ts';
import type { Watchdog } from './watchdog.ts';
import { runWorkers } from './workers.ts';

/**
 * Of the zero blocks that are to be omitted, the last of so many in a row of indexes is sent all the same: the service
 * cancels a snapshot into which nothing was put for long, however busily zeros are read meanwhile. At 512 KiB that is
 * one every 8 GiB. Chosen by index and not by time, so that a later run knows which were sent.
 */
const KEEPALIVE_BLOCKS = 16_384;

export interface PutOptions {
  /** Bytes. */
  readonly volumeSize: number;
  readonly workers: number;
  readonly hasParent: boolean;
  readonly omitZeroBlocks: boolean;
  /** No request begins after it has fired. */
  readonly signal: AbortSignal;
  readonly watchdog: Watchdog;
  /** Called with the first failure. */
  readonly stop: (failure: unknown) => void;
  /** The service has a block more. */
  readonly sent: () => void;
  /** So many more blocks need not be sent. */
  readonly left: (blocks: number) => void;
}

/**
 * Puts the source's blocks into the snapshot, except those that are in it already.
 * @throws ColdsnapError the first failure, after every worker has ended
 */
export async function putBlocks(
  api: EbsDirectApi,
  source: ImageSource,
  { snapshot, done, linear }: OpenSnapshot,
  options: PutOptions,
): Promise<void> {
  const { snapshotId, blockSize } = snapshot;
  const { signal, watchdog, hasParent } = options;
  const workers = workersFor(blockSize, options.workers);
  const slab = allocateSlab(workers * blockSize);
  const zeros = new Uint8Array(blockSize);
  const zeroDigest = createHash('sha256').update(zeros).digest();
  const batcher = new Batcher<BlockRead, BlockReadResult>(options.workers, async (reads) => {
    if (signal.aborted) throw abortedError(signal);
    return source.readBlocks(reads);
  });
  let sourceEnded = false;

  const put = async (block: number, data: Uint8Array, digest: Uint8Array, worker: number) => {
    watchdog.doing(worker, `block ${block} to be stored by the service`, 'service');
    await api.putSnapshotBlock({ snapshotId, blockIndex: block, data, digest }, { signal });
    linear.put(block, digest);
    done.add(block);
    options.sent();
  };
  const leave = (start: number, end: number) => {
    const before = done.size;
    linear.leave(start, end);
    done.add(start, end);
    options.left(done.size - before);
  };
  const readAndPut = async (step: UploadStep & { kind: 'put' | 'digest' }, worker: number) => {
    const { block } = step;
    watchdog.doing(worker, `block ${block} of ${source.path}`, 'disk');
    const data = new Uint8Array(slab, worker * blockSize, blockSize);
    const read = await batcher.submit({ data, offset: block * blockSize });
    if (read.bytesRead === 0) sourceEnded = true;
    const nothing = read.bytesRead === 0 && !hasParent;
    const omitted = read.zero && options.omitZeroBlocks && block % KEEPALIVE_BLOCKS !== KEEPALIVE_BLOCKS - 1;
    if (nothing || omitted) return leave(block, block + 1);
    if (step.kind === 'digest') return linear.put(block, read.digest);
    return put(block, data, read.digest, worker);
  };

  const work = async (step: UploadStep, worker: number) => {
    if (signal.aborted) throw abortedError(signal);
    if (step.kind === 'leave') {
      leave(step.start, step.end);
    } else {
      await linear.waitForWindow(step.block);
      if (step.kind === 'put-zeros') await put(step.block, zeros, zeroDigest, worker);
      else await readAndPut(step, worker);
    }
    watchdog.done(worker);
  };
  const plan = planUpload(source.extents(blockSize), {
    blockSize,
    volumeSize: options.volumeSize,
    hasParent,
    done,
    from: linear.prefix().block,
    ended: () => sourceEnded,
  });
  await runWorkers(workers, plan, work, (failure) => {
    options.stop(failure);
    linear.release();
  });
}
