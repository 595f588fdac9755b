/** Dry run of an upload: everything that it does before it starts a snapshot, then what it would do and cost. */
import { type EbsConnection, Service } from '../ebs/service.ts';
import { GIB } from '../geometry.ts';
import { sourceNotHashed } from '../image/messages/sources.ts';
import { openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import { type BaseFile, closeBaseFile, openBaseFile } from './base/base-file.ts';
import { costOfCopying, costOfWriting } from './cost.ts';
import { checkDigests } from './digests/open.ts';
import type { Step } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import { countBlocks } from './estimate.ts';
import { peekJournal } from './journal/journal.ts';
import { isLocked, lockOf } from './journal/lock.ts';
import { checkNamedJournal } from './journal/named.ts';
import { findUploadJournal, journalPathFor, type UploadJournal } from './journal/upload.ts';
import { sourceBusy } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { UploadOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import { Run } from './run/run.ts';
import { checkFinished } from './run/unfinished-source.ts';
import { sourceOptions } from './snapshot/opening.ts';
import { asksForEncryption, checkUploadOptions, newSnapshot, volumeSizeFor } from './snapshot/request.ts';
import { chooseJournal, isUnchanged } from './snapshot/resume.ts';
import { ImageBlocks } from './sources/image-blocks.ts';
import { checkBaseOptions, UploadBase } from './upload-base.ts';
import { warnings } from './warnings.ts';

/** The block size of AWS. That of a snapshot is known only once it was started. */
const USUAL_BLOCK_SIZE = 524_288;

/**
 * Tells what {@link uploadSnapshot} would do with the same options. Looks at the source and connects to the service; starts no
 * snapshot, sends no block and writes no journal. Blocks of zeros that would be omitted are counted, because only
 * their contents decide. A stream that is the source is not read.
 *
 * @throws ColdsnapError what the upload would throw before it starts a snapshot
 */
export async function estimateUpload(options: UploadOptions): Promise<DryRun> {
  options = takeOptions(options, 'source');
  checkUploadOptions(options);
  checkBaseOptions(options);
  const run = new Run(options);
  return run.carryOut(async () => {
    const { source, base, saveDigests } = options;
    await checkNamedJournal(options.checkpointFile, 'upload', [source, base, saveDigests]);
    const image = await openSource(options.source, { ...sourceOptions(run, options), peek: true });
    const service = new Service(options, run.workers, run.meter.retry);
    let baseFile: BaseFile | undefined;
    try {
      if (options.sha256 && image.journal === undefined) throw sourceNotHashed(image);
      volumeSizeFor(options, image.sizeBytes);
      for (const warning of image.warnings) run.warn(...warning);
      await checkFinished(run, image, options.force === true);
      baseFile = await openBaseFile(run, options);
      await checkDigests(options, [options.source, baseFile?.image?.path, options.holesFromSidecar]);
      const { identity } = await run.connect(service);
      const base = await UploadBase.connect(run, service, baseFile, options, { compares: false });
      const volumeSizeGiB = volumeSizeFor(options, image.sizeBytes, base?.geometry.volumeSize);
      const { parameters, hasParent } = newSnapshot(
        { ...options, volumeSizeGiB },
        { holeMapDigest: image.holeMapDigest, stamp: await image.stamp(), base: base?.identity },
        image.journal !== undefined && options.checkpoint !== false,
      );
      const earlier = await earlierUpload(run, image, options, parameters, identity);
      if (typeof options.source === 'string')
        await run.waitFor(`the first bytes of ${image.label}`, 'disk', () => image.ready());
      const blockSize = earlier?.blockSize || base?.geometry.blockSize || USUAL_BLOCK_SIZE;
      const geometry = { volumeSize: volumeSizeGiB * GIB, blockSize };
      const done = new RangeSet(earlier?.done);
      const plan = { putHoles: asksForEncryption(options), putZeros: hasParent };
      const source = new ImageBlocks(run, image, geometry, plan);
      const counted = countCompared((base?.differing(run, source) ?? source).steps(done));
      const blocks = await countBlocks(run, counted.steps, geometry, hasParent);
      return {
        dryRun: true,
        operation: 'upload',
        ...(earlier === undefined || earlier.snapshotId === '' ? {} : { snapshotId: earlier.snapshotId }),
        ...(typeof options.source === 'string' ? { path: options.source } : {}),
        volumeSize: geometry.volumeSize,
        blocks,
        bytes: blocks * blockSize,
        ...(base === undefined && !options.omitZeroBlocks && image.journal !== undefined
          ? {}
          : { atMost: true as const }),
        ...(base === undefined || baseFile !== undefined
          ? costOfWriting(blocks)
          : costOfCopying(counted.compared(), blocks)),
        bytesResumed: done.size * blockSize,
      };
    } finally {
      service.close();
      await closeBaseFile(baseFile);
      await image.close();
    }
  });
}

/** Counts, while the plan is read, the blocks of a base that would be fetched. */
function countCompared(plan: AsyncIterable<Step>): { steps: AsyncIterable<Step>; compared: () => number } {
  let count = 0;
  async function* steps() {
    for await (const step of plan) {
      if (step.kind === 'block' && step.baseToken !== undefined) count++;
      yield step;
    }
  }
  return { steps: steps(), compared: () => count };
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
