/** Downloads a snapshot to several targets at once. */
import { Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import type { Geometry } from '../geometry.ts';
import { checkDistinct } from '../image/distinct.ts';
import { streamAmongTargets, targetsShareStorage } from '../image/messages/targets.ts';
import { openTarget } from '../image/open-target.ts';
import type { BlockSource } from './engine/block.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { sizeWithin } from './engine/range-set.ts';
import { takeOptions } from './option-types.ts';
import type { DownloadOptions } from './options.ts';
import { readableSnapshotId } from './run/checks.ts';
import { hashTarget } from './run/hash-image.ts';
import { ReadBack, ReadBackProgress } from './run/read-back.ts';
import { Run } from './run/run.ts';
import type { DownloadToTargetsOptions, DownloadToTargetsResult, TargetOutcome } from './several-targets.ts';
import { FanOutSink, type FanOutTarget } from './sinks/fan-out-sink.ts';
import { ImageSink } from './sinks/image-sink.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';
import { baseForSeveral, digestsForSeveral, noTargets, oneJournalForSeveral } from './target-messages.ts';

interface Target extends FanOutTarget<ImageSink> {
  readonly path: string;
  readonly journalPath: string;
  readonly readBack: ReadBack | undefined;
  /** Whether an earlier run was killed after the target was whole. */
  finishedEarlier: boolean;
  sha256?: string;
}

/**
 * Downloads a snapshot to several files and block devices: one list, and one request for each block that some target lacks.
 *
 * All targets are checked before any is touched: if one is refused, nothing is touched. A target that fails later is
 * dropped with a warning, and the others continue. A failure of the service or an abort ends the download for all, and each
 * stays resumable: by the same call, or by a download to it alone. The slowest target determines the speed.
 *
 * @example
 * ```ts
 * const { targets } = await downloadToTargets({ snapshotId, targets: ['/dev/sdb', '/dev/sdc'] });
 * for (const { path, ok, error } of targets) console.log(path, ok ? 'is whole' : error?.message);
 * ```
 * @returns the outcome of each target, at least one of which is whole
 * @throws ColdsnapError the failure of the first target, with those of all in `targets`, when none is whole. Nothing was touched for `usage`,
 *   `config` and `refused` before the event `start`
 */
export async function downloadToTargets(options: DownloadToTargetsOptions): Promise<DownloadToTargetsResult> {
  options = takeOptions(options, 'targets');
  const snapshotId = readableSnapshotId(options.snapshotId);
  checkTargetOptions(options);
  const run = new Run(options);
  return run.carryOut(async () => {
    const targets: Target[] = [];
    const service = new Service(options, run.workers, run.meter.retry);
    let geometry: Geometry | undefined;
    let failure: unknown;
    try {
      await openAll(run, targets, options);
      const plan = await examineAll(run, targets, service, snapshotId);
      geometry = plan.geometry;
      await restoreAll(run, targets, plan, snapshotId);
    } catch (error) {
      failure = error;
      run.stop();
    } finally {
      service.close();
    }
    for (const { sink, whole, failure: own = failure } of targets) {
      if (whole) await sink.close();
      else await sink.abandon(own);
    }
    const { volumeSize = 0 } = geometry ?? {};
    if (options.sha256 === true && failure === undefined)
      for (const target of targets) await hash(run, target, volumeSize);
    // Only now: after a kill between two commits the same call finds out which targets are whole.
    for (const { sink, whole } of targets) if (whole) await sink.finish();
    if (failure !== undefined && !(failure instanceof ColdsnapError)) throw failure;
    if (geometry === undefined || !targets.some(({ whole }) => whole)) throw noneWhole(targets, failure);
    const outcomes = targets.map(({ path, whole, sha256, failure: own = failure }): TargetOutcome => {
      const digest = sha256 === undefined ? {} : { sha256 };
      return whole || own === undefined ? { path, ok: whole, ...digest } : { path, ok: false, error: own };
    });
    const progress = outcomes.every(({ ok }) => ok) ? run.done(snapshotId) : run.meter.progress();
    return { snapshotId, ...geometry, targets: outcomes, ...progress };
  });
}

/**
 * The failure of the first target, with those of all if they differ.
 * @param failure of the run, which ended it for the targets that have none of their own
 */
function noneWhole(
  targets: readonly Target[],
  failure: ColdsnapError | undefined,
): ColdsnapError | undefined {
  const failed = targets.flatMap(({ path, failure: error = failure }) =>
    error === undefined ? [] : [{ path, error }],
  );
  const [first] = failed;
  if (first === undefined || targets.every((target) => target.failure === undefined)) return failure;
  const { error } = first;
  const details = { ...error, cause: error.cause, targets: failed };
  return new ColdsnapError(error.class, error.code, error.message, details);
}

/** @throws ColdsnapError `SEVERAL_TARGETS`, `MISSING_ARGUMENT` */
export function checkTargetOptions(options: DownloadToTargetsOptions): void {
  const { since, checkpointFile, saveDigests } = options as Partial<DownloadOptions>;
  if (options.targets.length === 0) throw noTargets();
  if (checkpointFile !== undefined) throw oneJournalForSeveral();
  if (since !== undefined) throw baseForSeveral();
  if (saveDigests !== undefined) throw digestsForSeveral();
}

/** Opens and claims each target, in the order given. Changes none. */
async function openAll(run: Run, targets: Target[], options: DownloadToTargetsOptions): Promise<void> {
  await checkDistinct(options.targets);
  const progress = new ReadBackProgress(run);
  for (const path of options.targets) {
    const target = await openTarget(path, { signal: run.signal });
    const { resumable } = target;
    if (resumable === undefined) {
      await target.abandon({ keepForResume: false });
      throw streamAmongTargets(path);
    }
    const readBack = options.verify === true ? new ReadBack(target, resumable, progress) : undefined;
    const sink = new ImageSink(run, readBack?.target ?? target, options);
    const { path: journalPath } = resumable.journal;
    const same = targets.find((other) => other.journalPath === journalPath);
    targets.push({ path, journalPath, sink, readBack, whole: false, finishedEarlier: false });
    // Devices with the same serial number, for example.
    if (same !== undefined) throw targetsShareStorage(same.path, path);
    await sink.claim();
  }
}

interface Plan {
  readonly geometry: Geometry;
  /** Undefined where earlier runs have finished all targets. */
  readonly source?: SnapshotBlocks;
}

/** Checks each target against the snapshot, in the order given. Changes none. */
async function examineAll(
  run: Run,
  targets: readonly Target[],
  service: Service,
  snapshotId: string,
): Promise<Plan> {
  const ebs = await run.connect(service);
  let finished: Geometry | undefined;
  for (const target of targets) {
    const geometry = await target.sink.finishEarlier(ebs.identity);
    target.finishedEarlier = geometry !== undefined;
    finished ??= geometry;
  }
  const unfinished = targets.filter(({ finishedEarlier }) => !finishedEarlier);
  if (unfinished.length === 0 && finished !== undefined) return { geometry: finished };
  const source = await SnapshotBlocks.open(run, ebs, snapshotId);
  for (const { sink } of unfinished) await sink.examine(source.geometry);
  return { geometry: source.geometry, source };
}

/** A target that cannot be read any more is not known to be whole. */
async function hash(run: Run, target: Target, volumeSize: number): Promise<void> {
  if (!target.whole) return;
  try {
    target.sha256 = await hashTarget(run, target.path, volumeSize);
  } catch (error) {
    if (run.signal.aborted || !(error instanceof ColdsnapError)) throw error;
    target.whole = false;
    target.failure = error;
  }
}

/** From here on a failure of one target is not a failure of the others. */
async function restoreAll(
  run: Run,
  targets: readonly Target[],
  { geometry, source }: Plan,
  snapshotId: string,
): Promise<void> {
  const paths = targets.map(({ path }) => path);
  const start = { operation: 'download', snapshotId, path: paths[0] ?? '', targets: paths } as const;
  for (const target of targets) target.whole = target.finishedEarlier;
  if (source === undefined) {
    run.begin({ ...start, ...geometry, bytesResumed: geometry.volumeSize });
    return;
  }
  const { volumeSize, blockSize } = geometry;
  const unfinished = targets.filter(({ whole }) => !whole);
  const blocks = rereading(run, source);
  for (const { readBack } of unfinished) readBack?.from(blocks, blockSize);
  const sink = new FanOutSink(run, unfinished);
  await source.readFirst(sink.done);
  await sink.each((one) => one.prepare(geometry));
  const bytesResumed = sizeWithin(sink.done, volumeSize / blockSize) * blockSize;
  run.begin({ ...start, ...geometry, bytesResumed });
  await copyBlocks(run, source, sink, geometry);
}

/** Reads a damaged block again: where the service fails, that is no fault of the target, and ends the run. */
function rereading(run: Run, source: BlockSource): Pick<BlockSource, 'read'> {
  return {
    async read(step, buffer, use) {
      let inUse = false;
      try {
        return await source.read(step, buffer, async (block) => {
          inUse = true;
          const outcome = await use(block);
          inUse = false;
          return outcome;
        });
      } catch (error) {
        if (!inUse) run.stop(error);
        throw error;
      }
    },
  };
}
