/** Uploads an image as a snapshot. */
import { Service } from '../ebs/service.ts';
import { GIB } from '../geometry.ts';
import { holdErrors } from '../image/early-errors.ts';
import { nothingChanged } from './base-messages.ts';
import { digestHeader } from './digests/format.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import type { Journal } from './journal/journal.ts';
import { checkNamedJournal } from './journal/named.ts';
import type { UploadJournal } from './journal/upload.ts';
import { sourceBusy } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { UploadOptions, UploadResult } from './options.ts';
import { checkWaitConditions } from './run/checks.ts';
import { hashImage } from './run/hash-image.ts';
import { Run } from './run/run.ts';
import { savingDigests } from './sinks/digest-saver.ts';
import { waitUntilUsable } from './snapshot/complete.ts';
import { blocksOf, journalOf, type UploadFiles, withFiles } from './snapshot/opening.ts';
import { checkOmission, checkUploadOptions, newSnapshot, volumeSizeFor } from './snapshot/request.ts';
import { isUnchanged } from './snapshot/resume.ts';
import { SnapshotSink } from './snapshot/snapshot-sink.ts';
import { checkBaseOptions, UploadBase } from './upload-base.ts';
import { warnings } from './warnings.ts';

/**
 * Uploads an image and completes its snapshot. Zeros are sent unless `omitZeroBlocks` or a map of holes says otherwise;
 * with `incremental`, only blocks that differ from the parent's are.
 * The event `snapshot` carries the ID as soon as the snapshot exists.
 *
 * An interrupted upload of a file or device resumes when it is called again with the same options.
 *
 * @throws ColdsnapError whose `class` says what kind of failure it is, and whose `snapshotId`, once there is one, what
 *   remains at the service
 */
export async function uploadSnapshot(options: UploadOptions): Promise<UploadResult> {
  options = takeOptions(options, 'source');
  checkUploadOptions(options);
  checkBaseOptions(options);
  if (typeof options.wait === 'object') checkWaitConditions(options.wait);
  const run = new Run(options);
  holdErrors(options.source);
  return run.carryOut(async () => {
    const { source, base, saveDigests } = options;
    await checkNamedJournal(options.checkpointFile, 'upload', [source, base, saveDigests]);
    return withFiles(run, options, (files) => uploadImage(run, files, options));
  });
}

async function uploadImage(
  run: Run,
  { image, baseFile, digests }: UploadFiles,
  options: UploadOptions,
): Promise<UploadResult> {
  const stamp = await image.stamp();
  let sink: SnapshotSink | undefined;
  let journal: Journal<UploadJournal> | undefined;
  const service: Service = new Service(options, run.workers, (notice) => {
    sink?.lostReplies.note(notice);
    run.meter.retry(notice);
  });
  try {
    const { identity } = await run.connect(service);
    journal = journalOf(run, image, identity, options);
    // Two runs with one journal would put into one snapshot, and each complete it with its own count.
    await journal?.lock((lock) => sourceBusy(image.path, lock));
    const base = await UploadBase.connect(run, service, baseFile, options);
    const volumeSizeGiB = volumeSizeFor(options, image.sizeBytes, base?.geometry.volumeSize);
    const decisive = { holeMapDigest: image.holeMapDigest, stamp, base: base?.identity };
    const spec = newSnapshot({ ...options, volumeSizeGiB }, decisive, journal !== undefined);
    sink = new SnapshotSink(run, service, spec, journal);
    const resumes = await sink.claim(identity, options.fresh === true, (earlier) =>
      isUnchanged(run, image, stamp, earlier, digests),
    );
    await run.waitFor(`the first bytes of ${image.label}`, 'disk', () => image.ready());
    const digest = options.sha256 ? { sha256: await hashImage(run, image, image.sizeBytes) } : {};
    if (!resumes) await base?.readFirst();
    const snapshot = await sink.open();
    const { snapshotId, blockSize } = snapshot;
    const geometry = { volumeSize: volumeSizeGiB * GIB, blockSize };
    base?.checkBlockSize(blockSize);
    const bytesResumed = sink.blocks.done * blockSize;
    run.begin({ operation: 'upload', snapshotId, path: image.path, ...geometry, bytesResumed });
    if (options.omitZeroBlocks) {
      checkOmission(snapshot);
      run.warn(...warnings.zerosOmitted());
    }
    const header = digestHeader(snapshotId, identity, geometry);
    const report = async (id: string, status: string): Promise<UploadResult> => {
      const done = run.done(id);
      const result = { snapshotId: id, status, ...geometry, ...digest, ...done, ...base?.savings(done) };
      await run.report(result, options);
      return result;
    };
    if (!sink.state.accepted) {
      const source = blocksOf(run, image, geometry, { options, snapshot, base });
      try {
        await copyBlocks(run, source, savingDigests(sink, digests, header), geometry);
      } catch (error) {
        const parentId = base?.resultInstead(error, geometry, sink.blocks.put);
        if (parentId === undefined) throw error;
        await digests?.save({ ...header, snapshotId: parentId });
        await sink.abandon(error, true);
        run.warn(...nothingChanged(parentId));
        return await report(parentId, 'completed');
      }
    } else {
      await sink.finish(async () => digests?.save(header));
    }
    const state = await waitUntilUsable(run, service, options, { snapshotId, ...sink.state });
    const result = await report(snapshotId, state);
    await sink.forget();
    return result;
  } catch (error) {
    throw (await sink?.abandon(error)) ?? error;
  } finally {
    service.close();
    await journal?.release();
  }
}
