/** Makes an image of one snapshot into that of another, in place. */
import type { EbsConnection } from '../ebs/service.ts';
import { Service } from '../ebs/service.ts';
import type { Geometry } from '../geometry.ts';
import { openInPlace } from '../image/in-place.ts';
import { holdsNoBase } from '../image/messages/targets.ts';
import type { InPlaceTarget } from '../image/target.ts';
import { digestsNeedAll } from './base-messages.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { RangeSet } from './engine/range-set.ts';
import { baseDiffers, baseNeedsJournal, baseProofConflict } from './messages.ts';
import type { DownloadOptions } from './options.ts';
import { readableSnapshotId } from './run/checks.ts';
import type { OnWhole } from './run/hash-image.ts';
import { ReadBack, ReadBackProgress } from './run/read-back.ts';
import type { Run } from './run/run.ts';
import { proofBlocks, proveBase, within } from './sinks/base-proof.ts';
import { ImageSink } from './sinks/image-sink.ts';
import { ChangedBlocks } from './sources/changed-blocks.ts';
import { SnapshotRanges } from './sources/snapshot-ranges.ts';

type SinceOptions = DownloadOptions & { since: string };
type WholeSince = SinceOptions & { onWhole: OnWhole };

/** @throws ColdsnapError class `usage` */
export function checkSinceOptions(options: SinceOptions): void {
  const { since, checkpoint, trustBase, verifyBase, saveDigests } = options;
  readableSnapshotId(since);
  if (saveDigests !== undefined) throw digestsNeedAll();
  if (checkpoint === false) throw baseNeedsJournal();
  if (trustBase === true && verifyBase === true) throw baseProofConflict();
}

/** The blocks of the base that are compared with the target; undefined for none. */
export function blocksToProve(
  { trustBase, verifyBase }: DownloadOptions,
  { volumeSize, blockSize }: Geometry,
): RangeSet | undefined {
  if (trustBase === true) return undefined;
  return verifyBase === true
    ? new RangeSet([[0, volumeSize / blockSize]])
    : proofBlocks({ volumeSize, blockSize });
}

/** Downloads what has changed since the base. */
export async function downloadSince(run: Run, options: WholeSince): Promise<Geometry> {
  if (typeof options.target !== 'string') throw holdsNoBase('the target', 'is a stream');
  const opened = await openInPlace(options.target, { signal: run.signal });
  const readBack =
    options.verify === true ? new ReadBack(opened, opened.resumable, new ReadBackProgress(run)) : undefined;
  const sink = new ImageSink(run, readBack?.target ?? opened, { ...options, base: options.since });
  const service = new Service(options, run.workers, run.meter.retry);
  try {
    const resumes = await sink.claim();
    return await update(run, { opened, sink, readBack, resumes }, await run.connect(service), options);
  } catch (error) {
    run.stop();
    throw await sink.abandon(error);
  } finally {
    service.close();
  }
}

interface Claimed {
  readonly opened: InPlaceTarget;
  readonly sink: ImageSink;
  readonly readBack: ReadBack | undefined;
  /** Whether an earlier run may have changed the target. */
  readonly resumes: boolean;
}

async function update(
  run: Run,
  { opened: target, sink, readBack, resumes }: Claimed,
  ebs: EbsConnection,
  options: WholeSince,
): Promise<Geometry> {
  const { snapshotId, since: baseId, onWhole } = options;
  const start = { operation: 'download', snapshotId, path: target.path } as const;
  const finished = await sink.finishEarlier(ebs.identity);
  const source = await ChangedBlocks.open(run, ebs, { baseId, snapshotId });
  const { geometry, baseGeometry } = source;
  const { blockSize } = geometry;
  if (finished === undefined) await target.checkSizes(baseGeometry.volumeSize, geometry.volumeSize);
  source.alwaysRead(
    target.resumable
      .stagedRanges(geometry)
      .map(({ start: from, end }) => [from / blockSize, end / blockSize] as const),
  );
  // An earlier run's journal has no digests of what it kept.
  await prove(run, ebs, target, source, resumes, options);
  if (finished !== undefined || baseId === snapshotId) {
    run.begin({ ...start, ...geometry, bytesResumed: geometry.volumeSize });
    if (finished === undefined) await target.abandon({ keepForResume: true });
    else await sink.close();
    await onWhole(geometry);
    if (finished !== undefined) await sink.finish();
    return geometry;
  }
  await sink.examine(geometry);
  await source.readFirst(sink.done);
  readBack?.from(source, blockSize);
  await sink.prepare(geometry);
  run.begin({ ...start, ...geometry, bytesResumed: sink.done.size * blockSize });
  await copyBlocks(run, source, sink, geometry);
  await sink.close();
  await onWhole(geometry);
  await sink.finish();
  return geometry;
}

/** Compares the target with the base; after an interruption, where the two snapshots are the same. */
async function prove(
  run: Run,
  ebs: EbsConnection,
  target: InPlaceTarget,
  changed: ChangedBlocks,
  resumes: boolean,
  options: SinceOptions,
): Promise<void> {
  const { since: baseId } = options;
  const geometry = changed.baseGeometry;
  const needsAll =
    !resumes && options.trustBase !== true && (await target.mayBeUnfinished(geometry.blockSize));
  const blocks = blocksToProve(needsAll ? { ...options, verifyBase: true } : options, geometry);
  if (blocks === undefined) return;
  await proveBase(
    run,
    (proof) =>
      new SnapshotRanges(proof, ebs, baseId, resumes ? within(blocks, changed.kept()) : blocks.ranges()),
    {
      contents: target.contents,
      geometry,
      bytesTotal: blocks.size * geometry.blockSize,
      differs: (start, end) => baseDiffers(target.label, baseId, start, end),
    },
  );
}
