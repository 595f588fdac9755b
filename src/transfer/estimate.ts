/** Dry run of a download: everything that it does before its first change, then what it would do and cost. */
import { type EbsConnection, Service } from '../ebs/service.ts';
import type { Geometry } from '../geometry.ts';
import { checkFits } from '../image/geometry.ts';
import { openInPlace } from '../image/in-place.ts';
import { holdsNoBase, targetNotReadBack } from '../image/messages/targets.ts';
import { openTarget } from '../image/open-target.ts';
import type { ImageTarget, InPlaceTarget } from '../image/target.ts';
import { costOfReading, noCost } from './cost.ts';
import { checkDigests } from './digests/open.ts';
import type { BlockSource, Step } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import { checkOverwrite, earlierRestore, isOf, otherService, whyNotResumed } from './estimate-earlier.ts';
import { checkNamedJournal } from './journal/named.ts';
import { takeOptions } from './option-types.ts';
import type { DownloadOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { checkSpace } from './run/space.ts';
import { blocksToProve, checkSinceOptions } from './since.ts';
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
  options = takeOptions(options, 'target');
  const snapshotId = readableSnapshotId(options.snapshotId);
  const { since } = options;
  if (since !== undefined) checkSinceOptions({ ...options, since });
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile, 'download', [options.target, options.saveDigests]);
    await checkDigests(options, [options.target]);
    const target = await openUnchanged(run, options);
    const service = new Service(options, run.workers, run.meter.retry);
    try {
      let earlier = await earlierRestore(run, target, { ...options, base: since });
      let overwrites = await checkOverwrite(target, options, earlier);
      const ebs = await run.connect(service);
      const what = {
        dryRun: true,
        operation: 'download',
        snapshotId,
        ...(typeof options.target === 'string' ? { path: options.target } : {}),
      } as const;
      const discard = async (reason: string) => {
        earlier = undefined;
        run.warn(...warnings.ignoringJournal('download', reason));
        overwrites = await checkOverwrite(target, options, earlier);
      };
      if (earlier !== undefined && !isOf(ebs, earlier, target)) await discard(otherService);
      if (earlier?.whole === true) {
        const { volumeSize } = earlier.journal;
        return { ...what, volumeSize, blocks: 0, bytes: 0, ...noCost, bytesResumed: volumeSize };
      }
      const { source, geometry, proof } = await openPlan(run, ebs, target, options);
      const reason = earlier && (await whyNotResumed(earlier, target, geometry));
      if (reason !== undefined) await discard(reason);
      const done = new RangeSet(options.fresh === true ? [] : earlier?.journal.done);
      const blocks = since === snapshotId ? 0 : await countBlocks(run, source.steps(done), geometry, false);
      const bytes = blocks * geometry.blockSize;
      if (since === undefined) await checkSpace(run, target, () => bytes);
      return {
        ...what,
        volumeSize: geometry.volumeSize,
        blocks,
        bytes,
        ...(proof === undefined ? {} : { blocksToProve: proof.size }),
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
    return openInPlace(options.target, { signal, peek: true });
  }
  const target = await openTarget(options.target, { signal, peek: true });
  if (!(options.verify || options.sha256) || target.resumable !== undefined) return target;
  await target.abandon({ keepForResume: true });
  throw targetNotReadBack(target);
}

/** Lists the first page, and checks that the volume fits. */
async function openPlan(
  run: Run,
  ebs: EbsConnection,
  target: ImageTarget | InPlaceTarget,
  options: DownloadOptions,
): Promise<{ source: Pick<BlockSource, 'steps'>; geometry: Geometry; proof?: RangeSet | undefined }> {
  const { snapshotId, since: baseId } = options;
  if (baseId !== undefined && 'checkSizes' in target) {
    const source = await ChangedBlocks.open(run, ebs, { baseId, snapshotId });
    const { geometry, baseGeometry } = source;
    const { blockSize } = geometry;
    await target.checkSizes(baseGeometry.volumeSize, geometry.volumeSize);
    const staged = target.resumable.stagedRanges(geometry);
    source.alwaysRead(staged.map(({ start, end }) => [start / blockSize, end / blockSize]));
    return { source, geometry, proof: blocksToProve(options, baseGeometry) };
  }
  const source = await SnapshotBlocks.open(run, ebs, snapshotId);
  const { geometry } = source;
  checkFits(target, geometry.volumeSize);
  return { source, geometry };
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
