/** Dry run of an upload: everything that it does before it starts a snapshot, then what it would do and cost. */
import { type EbsConnection, Service } from '../ebs/service.ts';
import { GIB } from '../geometry.ts';
import { openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import { costOfWriting } from './cost.ts';
import { RangeSet } from './engine/range-set.ts';
import { countBlocks } from './estimate.ts';
import { peekJournal } from './journal/journal.ts';
import { isLocked, lockOf } from './journal/lock.ts';
import { checkNamedJournal } from './journal/named.ts';
import { findUploadJournal, journalPathFor, type UploadJournal } from './journal/upload.ts';
import { sourceBusy } from './messages.ts';
import type { UploadOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { asksForEncryption, checkUploadOptions, newSnapshot, volumeSizeFor } from './snapshot/request.ts';
import { chooseJournal, isUnchanged } from './snapshot/resume.ts';
import { ImageBlocks } from './sources/image-blocks.ts';
import { sourceOptions } from './upload.ts';
import { warnings } from './warnings.ts';

/** The block size of AWS. That of a snapshot is known only once it was started. */
const USUAL_BLOCK_SIZE = 524_288;

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
  const path = checkpointFile ?? journalPathFor(usual, service);
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
