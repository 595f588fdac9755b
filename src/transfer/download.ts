/** Downloads a snapshot into an image. */
import { Service } from '../ebs/service.ts';
import type { Geometry } from '../geometry.ts';
import { holdErrors } from '../image/early-errors.ts';
import { openTarget } from '../image/open-target.ts';
import { digestHeader } from './digests/format.ts';
import { openDigests } from './digests/open.ts';
import type { DigestWriter } from './digests/writer.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { withNamedJournal } from './journal/named.ts';
import { takeOptions } from './option-types.ts';
import type { DownloadOptions, DownloadResult } from './options.ts';
import { readableSnapshotId } from './run/checks.ts';
import { hashTarget, type OnWhole } from './run/hash-image.ts';
import { ReadBack, ReadBackProgress, readableAgain } from './run/read-back.ts';
import { Run } from './run/run.ts';
import { watchSpace } from './run/space.ts';
import { checkSinceOptions, downloadSince } from './since.ts';
import { savingDigests } from './sinks/digest-saver.ts';
import { ImageSink } from './sinks/image-sink.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';

/**
 * Downloads a snapshot. When this resolves, every byte of the target is right and on stable storage: each block was
 * checked against its SHA-256, what the snapshot does not list reads as zeros, and the target was synced.
 *
 * An interrupted download resumes when it is called again with the same snapshot and target.
 *
 * @throws ColdsnapError whose `class` says what kind of failure it is. Nothing was touched for `usage`, `config` and
 *   `refused` before the event `start`; after it the target is incomplete, and the same call resumes
 */
export async function downloadSnapshot(options: DownloadOptions): Promise<DownloadResult> {
  options = takeOptions(options, 'target');
  const snapshotId = readableSnapshotId(options.snapshotId);
  const { since, target: path } = options;
  if (since !== undefined) checkSinceOptions({ ...options, since });
  const run = new Run(options);
  holdErrors(path);
  const download = async () => {
    let digest: Pick<DownloadResult, 'sha256'> = {};
    const onWhole = async ({ volumeSize }: Geometry) => {
      if (options.sha256 && typeof path === 'string')
        digest = { sha256: await hashTarget(run, path, volumeSize) };
    };
    if (since !== undefined) {
      const geometry = await downloadSince(run, { ...options, snapshotId, since, onWhole });
      return { snapshotId, ...geometry, ...digest, ...run.done(snapshotId) };
    }
    const digests = await openDigests(options, typeof path === 'string' ? [path, `${path}.partial`] : [path]);
    const all = downloadAll(run, digests, { ...options, snapshotId, onWhole });
    const geometry = await all.finally(() => digests?.close());
    return { snapshotId, ...geometry, ...digest, ...run.done(snapshotId) };
  };
  return run.carryOut(() => withNamedJournal(options, [path, options.saveDigests], download));
}

type WholeDownload = DownloadOptions & { onWhole: OnWhole };

async function downloadAll(
  run: Run,
  digests: DigestWriter | undefined,
  options: WholeDownload,
): Promise<Geometry> {
  // A FIFO opens once it has a reader.
  const open = () => openTarget(options.target, { signal: run.signal });
  const target = await run.watch('the target to be opened', 'disk', open);
  watchSpace(run, target);
  const readable = options.verify || options.sha256 ? await readableAgain(target) : undefined;
  const readBack =
    options.verify && readable ? new ReadBack(target, readable, new ReadBackProgress(run)) : undefined;
  const sink = new ImageSink(run, readBack?.target ?? target, { ...options, digests });
  try {
    return await restore(run, sink, { readBack, digests }, { ...options, path: target.path });
  } catch (error) {
    run.stop();
    throw await sink.abandon(error);
  }
}

async function restore(
  run: Run,
  sink: ImageSink,
  { readBack, digests }: { readBack: ReadBack | undefined; digests: DigestWriter | undefined },
  options: WholeDownload & { path: string },
): Promise<Geometry> {
  const { snapshotId, path, onWhole } = options;
  const start = { operation: 'download', snapshotId, path } as const;
  await sink.claim();
  const service = new Service(options, run.workers, run.meter.retry);
  try {
    const ebs = await run.connect(service);
    const finished = await sink.finishEarlier(ebs.identity);
    if (finished !== undefined) {
      await digests?.save(digestHeader(snapshotId, ebs.identity, finished));
      run.begin({ ...start, ...finished, bytesResumed: finished.volumeSize });
      await sink.close();
      await onWhole(finished);
      await sink.finish();
      return finished;
    }
    // Only a snapshot that is known to exist, to fit, and to be readable is a reason to touch the target.
    const source = await SnapshotBlocks.open(run, ebs, snapshotId);
    const { geometry } = source;
    await sink.examine(geometry);
    await source.readFirst(sink.done);
    readBack?.from(source, geometry.blockSize);
    await sink.prepare(geometry);
    run.begin({ ...start, ...geometry, bytesResumed: sink.done.size * geometry.blockSize });
    const header = digestHeader(snapshotId, ebs.identity, geometry);
    await copyBlocks(run, source, savingDigests(sink, digests, header), geometry);
    await sink.close();
    await onWhole(geometry);
    await sink.finish();
    return geometry;
  } finally {
    service.close();
  }
}
