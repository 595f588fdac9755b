/** Dry run of a download: everything that it does before its first change, then what it would do and cost. */
import { type EbsConnection, isSameService, Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import type { Geometry } from '../geometry.ts';
import { checkFits } from '../image/geometry.ts';
import { openInPlace } from '../image/in-place.ts';
import { holdsNoBase, targetNotReadBack } from '../image/messages/targets.ts';
import { openTarget } from '../image/open-target.ts';
import type { ImageTarget, InPlaceTarget } from '../image/target.ts';
import { costOfReading } from './cost.ts';
import { checkDigestsName } from './digests/open.ts';
import type { BlockSource, Step } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import { peekJournal } from './journal/journal.ts';
import { checkNamedJournal } from './journal/named.ts';
import { findRestoreJournal, type RestoreJournal } from './journal/restore.ts';
import type { DownloadOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { checkSinceOptions } from './since.ts';
import { ChangedBlocks } from './sources/changed-blocks.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';
import { warnings } from './warnings.ts';

const REPORT_INTERVAL_MS = 200;

/**
 * Tells what {@link downloadSnapshot} would do with the same options. Looks at the target and lists the blocks; fetches none,
 * and creates and changes nothing.
 *
 * @throws ColdsnapError what the download would throw before its first change, such as class `refused`
 */
export async function estimateDownload(options: DownloadOptions): Promise<DryRun> {
  const snapshotId = readableSnapshotId(options.snapshotId);
  const { since } = options;
  if (since !== undefined) checkSinceOptions({ ...options, since });
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile);
    await checkDigestsName(options, [options.target]);
    const target = await openUnchanged(run, options);
    const service = new Service(options, run.workers, run.meter.retry);
    try {
      const earlier = await earlierRestore(run, target, options);
      let overwrites = await checkOverwrite(target, options, earlier !== undefined);
      const ebs = await run.connect(service);
      const { source, geometry } = await openPlan(run, ebs, target, options);
      const usable = earlier !== undefined && fits(earlier, ebs, geometry) ? earlier : undefined;
      if (earlier !== undefined && usable === undefined) {
        run.warn(...warnings.ignoringJournal('download', 'it belongs to another service or volume'));
        overwrites = await checkOverwrite(target, options, false);
      }
      const done = new RangeSet(usable?.done);
      const blocks = since === snapshotId ? 0 : await countBlocks(run, source.steps(done), geometry, false);
      return {
        dryRun: true,
        operation: 'download',
        snapshotId,
        ...(typeof options.target === 'string' ? { path: options.target } : {}),
        volumeSize: geometry.volumeSize,
        blocks,
        bytes: blocks * geometry.blockSize,
        ...costOfReading(blocks),
        bytesResumed: done.size * geometry.blockSize,
        ...(overwrites === undefined ? {} : { overwrites }),
      };
    } finally {
      service.close();
      await target.abandon({ keepForResume: true });
    }
  });
}

/** @throws ColdsnapError for a target that the download would not open either */
async function openUnchanged(run: Run, options: DownloadOptions): Promise<ImageTarget | InPlaceTarget> {
  const { signal } = run;
  if (options.since !== undefined) {
    if (typeof options.target !== 'string') throw holdsNoBase('the target', 'is a stream');
    return openInPlace(options.target, { signal });
  }
  const target = await openTarget(options.target, { signal, peek: true });
  if (options.verify !== true || target.resumable !== undefined) return target;
  await target.abandon({ keepForResume: true });
  throw targetNotReadBack(target);
}

/** Lists the first page, and checks that the volume fits. */
async function openPlan(
  run: Run,
  ebs: EbsConnection,
  target: ImageTarget | InPlaceTarget,
  { snapshotId, since: baseId }: DownloadOptions,
): Promise<{ source: Pick<BlockSource, 'steps'>; geometry: Geometry }> {
  if (baseId !== undefined && 'checkSizes' in target) {
    const source = await ChangedBlocks.open(run, ebs, { baseId, snapshotId });
    const { geometry, baseGeometry } = source;
    const { blockSize } = geometry;
    await target.checkSizes(baseGeometry.volumeSize, geometry.volumeSize);
    const staged = target.resumable.stagedRanges(geometry);
    source.alwaysRead(staged.map(({ start, end }) => [start / blockSize, end / blockSize]));
    return { source, geometry };
  }
  const source = await SnapshotBlocks.open(run, ebs, snapshotId);
  const { geometry } = source;
  checkFits(target, geometry.volumeSize);
  return { source, geometry };
}

/** The journal of an earlier run, which is not changed. */
export async function earlierRestore(
  run: Run,
  { label, resumable }: ImageTarget,
  {
    snapshotId,
    since: base,
    force,
    checkpoint,
    checkpointFile,
    fresh = false,
  }: Omit<DownloadOptions, 'target'>,
): Promise<RestoreJournal | undefined> {
  if (resumable === undefined || checkpoint === false || fresh) return undefined;
  const { path, identity } = resumable.journal;
  const found = await findRestoreJournal(peekJournal({ path: checkpointFile ?? path, identity }), {
    snapshotId,
    base,
    force,
    label,
  });
  if (found.kind === 'rejected') run.warn(...warnings.ignoringJournal('download', found.reason));
  return found.kind === 'usable' ? found.journal : undefined;
}

/** Whether the journal belongs to this service and volume. */
export function fits(journal: RestoreJournal, { identity }: EbsConnection, geometry: Geometry): boolean {
  const { service, volumeSize, blockSize } = journal;
  return (
    isSameService(identity, service) && volumeSize === geometry.volumeSize && blockSize === geometry.blockSize
  );
}

/**
 * @returns what would be overwritten, with force
 * @throws ColdsnapError class `refused`
 */
export async function checkOverwrite(
  target: ImageTarget | InPlaceTarget,
  { force = false }: Pick<DownloadOptions, 'force'>,
  resuming: boolean,
): Promise<string | undefined> {
  // A file that was interrupted between two states is renamed by this check.
  if (resuming && 'checkSizes' in target) return undefined;
  await target.checkOverwrite({ force, resuming });
  if (!force || resuming) return undefined;
  try {
    await target.checkOverwrite({ force: false, resuming });
    return undefined;
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'refused') throw error;
    return error.message;
  }
}

/**
 * Counts the blocks that a plan transfers.
 * @param putsZeros whether ranges of zeros are transferred, too
 * @param onBlock called with each block that is no zeros
 */
export async function countBlocks(
  run: Run,
  steps: AsyncIterable<Step>,
  { blockSize, volumeSize }: Geometry,
  putsZeros: boolean,
  onBlock: (index: number) => void = () => {},
): Promise<number> {
  let blocks = 0;
  let reportedAt = performance.now();
  for await (const step of steps) {
    if (step.kind === 'block') {
      blocks++;
      onBlock(step.index);
    } else if (step.kind === 'zeros' && putsZeros) blocks += Math.max(0, step.end - step.start);
    if (performance.now() - reportedAt < REPORT_INTERVAL_MS) continue;
    reportedAt = performance.now();
    const at = step.kind === 'block' ? step.index : step.end;
    run.phase('listing', { bytesDone: at * blockSize, bytesTotal: volumeSize });
  }
  return blocks;
}
