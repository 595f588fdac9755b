/** Dry runs: everything that a transfer does before its first change, then what it would do and cost. */
import { type EbsConnection, isSameService, Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import { type Geometry, GIB } from '../geometry.ts';
import { targetTooSmall } from '../image/messages/devices.ts';
import { openSource } from '../image/open-source.ts';
import { openTarget } from '../image/open-target.ts';
import type { ImageSource } from '../image/source.ts';
import type { ImageTarget } from '../image/target.ts';
import { costOfReading, costOfWriting } from './cost.ts';
import type { Step } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import { peekJournal } from './journal/journal.ts';
import { isLocked, lockOf } from './journal/lock.ts';
import { checkNamedJournal } from './journal/named.ts';
import { findRestoreJournal, type RestoreJournal } from './journal/restore.ts';
import { findUploadJournal, type UploadJournal } from './journal/upload.ts';
import { sourceBusy } from './messages.ts';
import type { DownloadOptions, UploadOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { asksForEncryption, checkUploadOptions, newSnapshot, volumeSizeFor } from './snapshot/request.ts';
import { chooseJournal, isUnchanged } from './snapshot/resume.ts';
import { ImageBlocks } from './sources/image-blocks.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';
import { sourceOptions } from './upload.ts';
import { warnings } from './warnings.ts';

/** The block size of AWS. That of a snapshot is known only once it was started. */
const USUAL_BLOCK_SIZE = 524_288;

const REPORT_INTERVAL_MS = 200;

/**
 * Tells what {@link downloadSnapshot} would do with the same options. Looks at the target and lists the blocks; fetches none,
 * and creates and changes nothing.
 *
 * @throws ColdsnapError what the download would throw before its first change, such as class `refused`
 */
export async function estimateDownload(options: DownloadOptions): Promise<DryRun> {
  const snapshotId = readableSnapshotId(options.snapshotId);
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile);
    const target = await openTarget(options.target, { signal: run.signal, peek: true });
    const service = new Service(options, run.workers, run.meter.retry);
    try {
      const earlier = await earlierRestore(run, target, options);
      let overwrites = await checkOverwrite(target, options, earlier !== undefined);
      const ebs = await run.connect(service);
      const source = await SnapshotBlocks.open(run, ebs, snapshotId);
      const { geometry } = source;
      const { sizeBytes = Number.POSITIVE_INFINITY } = target;
      if (geometry.volumeSize > sizeBytes) throw targetTooSmall(target.label, sizeBytes, geometry.volumeSize);
      const usable = earlier !== undefined && fits(earlier, ebs, geometry) ? earlier : undefined;
      if (earlier !== undefined && usable === undefined) {
        run.warn(...warnings.ignoringJournal('download', 'it belongs to another service or volume'));
        overwrites = await checkOverwrite(target, options, false);
      }
      const done = new RangeSet(usable?.done);
      const blocks = await countBlocks(run, source.steps(done), geometry, false);
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

async function earlierRestore(
  run: Run,
  { resumable }: ImageTarget,
  { snapshotId, checkpoint, checkpointFile, fresh = false }: DownloadOptions,
): Promise<RestoreJournal | undefined> {
  if (resumable === undefined || checkpoint === false || fresh) return undefined;
  const { path, identity } = resumable.journal;
  const found = await findRestoreJournal(peekJournal({ path: checkpointFile ?? path, identity }), snapshotId);
  if (found.kind === 'rejected') run.warn(...warnings.ignoringJournal('download', found.reason));
  return found.kind === 'usable' ? found.journal : undefined;
}

function fits(journal: RestoreJournal, { identity }: EbsConnection, geometry: Geometry): boolean {
  const { service, volumeSize, blockSize } = journal;
  return (
    isSameService(identity, service) && volumeSize === geometry.volumeSize && blockSize === geometry.blockSize
  );
}

/**
 * @returns what would be overwritten, with force
 * @throws ColdsnapError class `refused`
 */
async function checkOverwrite(
  target: ImageTarget,
  { force = false }: DownloadOptions,
  resuming: boolean,
): Promise<string | undefined> {
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

/** @param putsZeros whether ranges of zeros are transferred, too */
async function countBlocks(
  run: Run,
  steps: AsyncIterable<Step>,
  { blockSize, volumeSize }: Geometry,
  putsZeros: boolean,
): Promise<number> {
  let blocks = 0;
  let reportedAt = performance.now();
  for await (const step of steps) {
    if (step.kind === 'block') blocks++;
    else if (step.kind === 'zeros' && putsZeros) blocks += step.end - step.start;
    if (performance.now() - reportedAt < REPORT_INTERVAL_MS) continue;
    reportedAt = performance.now();
    const at = step.kind === 'block' ? step.index : step.end;
    run.phase('listing', { bytesDone: at * blockSize, bytesTotal: volumeSize });
  }
  return blocks;
}

/**
 * Tells what {@link uploadSnapshot} would do with the same options. Looks at the source and connects to the service; starts no
 * snapshot, sends no block and writes no journal. Blocks of zeros that would be omitted are counted, because only
 * their contents decide.
 *
 * @throws ColdsnapError what the upload would throw before it starts a snapshot
 */
export async function estimateUpload(options: UploadOptions): Promise<DryRun> {
  checkUploadOptions(options);
  if (options.parentSnapshotId !== undefined) readableSnapshotId(options.parentSnapshotId);
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile);
    const image = await openSource(options.source, sourceOptions(run, options));
    const service = new Service(options, run.workers, run.meter.retry);
    try {
      const volumeSizeGiB = volumeSizeFor(options, image.sizeBytes);
      for (const warning of image.warnings) run.warn(...warning);
      const { parameters, hasParent } = newSnapshot(
        { ...options, volumeSizeGiB },
        { holeMapDigest: image.holeMapDigest, stamp: await image.stamp() },
        image.journal !== undefined && options.checkpoint !== false,
      );
      const { identity } = await run.connect(service);
      const earlier = await earlierUpload(run, image, options, parameters, identity);
      await run.waitFor(`the first bytes of ${image.label}`, 'disk', () => image.ready());
      const blockSize = earlier?.blockSize || USUAL_BLOCK_SIZE;
      const geometry = { volumeSize: volumeSizeGiB * GIB, blockSize };
      const done = new RangeSet(earlier?.done);
      const plan = { putHoles: asksForEncryption(options), putZeros: hasParent };
      const steps = new ImageBlocks(run, image, geometry, plan).steps(done);
      const blocks = await countBlocks(run, steps, geometry, hasParent);
      return {
        dryRun: true,
        operation: 'upload',
        ...(earlier === undefined || earlier.snapshotId === '' ? {} : { snapshotId: earlier.snapshotId }),
        ...(typeof options.source === 'string' ? { path: options.source } : {}),
        volumeSize: geometry.volumeSize,
        blocks,
        bytes: blocks * blockSize,
        ...costOfWriting(blocks),
        bytesResumed: done.size * blockSize,
      };
    } finally {
      service.close();
      await image.close();
    }
  });
}

async function earlierUpload(
  run: Run,
  image: ImageSource,
  { checkpoint, checkpointFile, fresh = false }: UploadOptions,
  parameters: string,
  service: EbsConnection['identity'],
): Promise<UploadJournal | undefined> {
  if (checkpoint === false || image.journal === undefined) return undefined;
  const { identity, path: usual } = image.journal;
  const path = checkpointFile ?? usual;
  if (await isLocked(path)) throw sourceBusy(image.path, lockOf(path));
  const stamp = await image.stamp();
  const chosen = await chooseJournal(await findUploadJournal(peekJournal({ path, identity }), parameters), {
    service,
    fresh,
    prove: (journal) => isUnchanged(run, image, stamp, journal),
    onDiscarded: (reason, earlier) => run.warn(...warnings.ignoringUploadJournal(reason, earlier)),
  });
  return chosen.kind === 'usable' ? chosen.journal : undefined;
}
