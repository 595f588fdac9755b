/** Dry run of a download to several targets. */
import { Service } from '../ebs/service.ts';
import { checkDistinct } from '../image/distinct.ts';
import { checkFits } from '../image/geometry.ts';
import { streamAmongTargets } from '../image/messages/targets.ts';
import { openTarget } from '../image/open-target.ts';
import type { ImageTarget } from '../image/target.ts';
import { costOfReading, noCost } from './cost.ts';
import { checkTargetOptions } from './download-to-targets.ts';
import { intersection, RangeSet, sizeWithin } from './engine/range-set.ts';
import { countBlocks } from './estimate.ts';
import {
  checkOverwrite,
  type EarlierRestore,
  earlierRestore,
  isOf,
  otherService,
  whyNotResumed,
} from './estimate-earlier.ts';
import { takeOptions } from './option-types.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import type { DownloadToTargetsOptions, TargetPlan, TargetsDryRun } from './several-targets.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';
import { warnings } from './warnings.ts';

interface Opened {
  readonly path: string;
  readonly target: ImageTarget;
  earlier?: EarlierRestore | undefined;
  overwrites?: string | undefined;
}

/**
 * Tells what {@link downloadToTargets} would do with the same options. Looks at the targets and lists the blocks; fetches
 * none, and creates and changes nothing.
 *
 * @throws ColdsnapError what the download would throw before its first change, such as class `refused`
 */
export async function estimateDownloadToTargets(options: DownloadToTargetsOptions): Promise<TargetsDryRun> {
  options = takeOptions(options, 'targets');
  const snapshotId = readableSnapshotId(options.snapshotId);
  checkTargetOptions(options);
  const run = new Run(options);
  return run.carryOut(async () => {
    const targets: Opened[] = [];
    const service = new Service(options, run.workers, run.meter.retry);
    try {
      await openAll(run, targets, options);
      const ebs = await run.connect(service);
      const discard = async (opened: Opened, reason: string) => {
        run.warn(...warnings.ignoringJournal('download', reason));
        opened.earlier = undefined;
        opened.overwrites = await checkOverwrite(opened.target, options, undefined);
      };
      for (const opened of targets)
        if (opened.earlier !== undefined && !isOf(ebs, opened.earlier, opened.target))
          await discard(opened, otherService);
      const finished = allWhole(targets, snapshotId);
      if (finished !== undefined) return finished;
      const source = await SnapshotBlocks.open(run, ebs, snapshotId);
      const { volumeSize, blockSize } = source.geometry;
      for (const opened of targets) {
        const { target, earlier } = opened;
        checkFits(target, volumeSize);
        const reason = earlier && (await whyNotResumed(earlier, target, source.geometry));
        if (reason !== undefined) await discard(opened, reason);
      }
      const done = targets.map(({ earlier }) => new RangeSet(earlier?.journal.done));
      const lacking = done.map(() => 0);
      const all = intersection(() => done);
      const blocks = await countBlocks(run, source.steps(all), source.geometry, false, (index) => {
        for (const [at, set] of done.entries()) if (!set.has(index)) lacking[at]!++;
      });
      return {
        dryRun: true,
        operation: 'download',
        snapshotId,
        volumeSize,
        blocks,
        bytes: blocks * blockSize,
        ...costOfReading(blocks),
        bytesResumed: sizeWithin(all, volumeSize / blockSize) * blockSize,
        targets: targets.map(({ path, overwrites }, at): TargetPlan => {
          const own = { blocks: lacking[at]!, bytes: lacking[at]! * blockSize };
          const bytesResumed = done[at]!.size * blockSize;
          return { path, ...own, bytesResumed, ...(overwrites === undefined ? {} : { overwrites }) };
        }),
      };
    } finally {
      service.close();
      for (const { target } of targets) await target.abandon({ keepForResume: true });
    }
  });
}

/** The report when an earlier run has made all targets whole; undefined otherwise. */
function allWhole(targets: readonly Opened[], snapshotId: string): TargetsDryRun | undefined {
  const finished = targets.flatMap(({ earlier }) => (earlier?.whole ? [earlier] : []));
  if (finished[0] === undefined || finished.length < targets.length) return undefined;
  const { volumeSize } = finished[0].journal;
  const nothing = { blocks: 0, bytes: 0, bytesResumed: volumeSize };
  return {
    dryRun: true,
    operation: 'download',
    snapshotId,
    volumeSize,
    ...nothing,
    ...noCost,
    targets: targets.map(({ path }) => ({ path, ...nothing })),
  };
}

async function openAll(run: Run, targets: Opened[], options: DownloadToTargetsOptions): Promise<void> {
  await checkDistinct(options.targets);
  for (const path of options.targets) {
    const opened: Opened = {
      path,
      target: await openTarget(path, { signal: run.signal, peek: true }),
    };
    targets.push(opened);
    if (opened.target.resumable === undefined) throw streamAmongTargets(path);
    opened.earlier = await earlierRestore(run, opened.target, options);
    opened.overwrites = await checkOverwrite(opened.target, options, opened.earlier);
  }
}
