/** Uploads an image as a snapshot. */
import { Service, type ServiceIdentity } from '../ebs/service.ts';
import { GIB } from '../geometry.ts';
import { sourceNotHashed } from '../image/messages/sources.ts';
import { type OpenSourceOptions, openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { Journal } from './journal/journal.ts';
import { checkNamedJournal } from './journal/named.ts';
import { journalPathFor, type UploadJournal } from './journal/upload.ts';
import { sourceBusy } from './messages.ts';
import type { UploadOptions, UploadResult } from './options.ts';
import { checkWaitConditions, readableSnapshotId } from './run/checks.ts';
import { hashImage } from './run/hash-image.ts';
import { Run } from './run/run.ts';
import { waitUntilUsable } from './snapshot/complete.ts';
import {
  checkOmission,
  checkUploadOptions,
  isEncrypted,
  newSnapshot,
  volumeSizeFor,
} from './snapshot/request.ts';
import { isUnchanged } from './snapshot/resume.ts';
import { SnapshotSink } from './snapshot/snapshot-sink.ts';
import { ImageBlocks } from './sources/image-blocks.ts';
import { warnings } from './warnings.ts';

/**
 * Uploads an image and completes its snapshot. Zeros are sent unless `omitZeroBlocks` or a map of holes says otherwise.
 * The event `snapshot` carries the ID as soon as the snapshot exists.
 *
 * An interrupted upload of a file or device resumes when it is called again with the same options.
 *
 * @throws ColdsnapError whose `class` says what kind of failure it is, and whose `snapshotId`, once there is one, what
 *   remains at the service
 */
export async function uploadSnapshot(options: UploadOptions): Promise<UploadResult> {
  checkUploadOptions(options);
  if (options.parentSnapshotId !== undefined) readableSnapshotId(options.parentSnapshotId);
  if (typeof options.wait === 'object') checkWaitConditions(options.wait);
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile);
    const image = await openSource(options.source, sourceOptions(run, options));
    try {
      return await uploadImage(run, image, options);
    } finally {
      await image.close();
    }
  });
}

/** How to open the source. */
export function sourceOptions(run: Run, options: UploadOptions): OpenSourceOptions {
  return {
    signal: run.signal,
    ...(options.volumeSizeGiB === undefined ? {} : { streamSize: options.volumeSizeGiB * GIB }),
    ...(options.sourceFormat === undefined ? {} : { format: options.sourceFormat }),
    ...(options.force === undefined ? {} : { force: options.force }),
    ...(options.detectHoles === undefined ? {} : { detectHoles: options.detectHoles }),
    ...(options.holesFromSidecar === undefined ? {} : { holesFromSidecar: options.holesFromSidecar }),
  };
}

async function uploadImage(run: Run, image: ImageSource, options: UploadOptions): Promise<UploadResult> {
  const volumeSizeGiB = volumeSizeFor(options, image.sizeBytes);
  for (const warning of image.warnings) run.warn(...warning);
  const { holeMapDigest } = image;
  const stamp = await image.stamp();
  const resumable = options.checkpoint !== false && image.journal !== undefined;
  if (options.sha256 && image.journal === undefined) throw sourceNotHashed(image);
  const spec = newSnapshot({ ...options, volumeSizeGiB }, { holeMapDigest, stamp }, resumable);
  let sink: SnapshotSink | undefined;
  let journal: Journal<UploadJournal> | undefined;
  const service: Service = new Service(options, run.workers, (notice) => {
    sink?.noteRetry(notice);
    run.meter.retry(notice);
  });
  try {
    const { identity } = await run.connect(service);
    if (resumable) journal = journalOf(run, image, identity, options.checkpointFile);
    sink = new SnapshotSink(run, service, spec, journal);
    // Two runs with one journal would put into one snapshot, and each complete it with its own count.
    await journal?.lock((lock) => sourceBusy(image.path, lock));
    await sink.claim(identity, options.fresh === true, (earlier) => isUnchanged(run, image, stamp, earlier));
    await run.waitFor(`the first bytes of ${image.label}`, 'disk', () => image.ready());
    const digest = options.sha256 ? { sha256: await hashImage(run, image, image.sizeBytes) } : {};
    const snapshot = await sink.open();
    const { snapshotId, blockSize } = snapshot;
    const geometry = { volumeSize: volumeSizeGiB * GIB, blockSize };
    const bytesResumed = sink.resumedBlocks * blockSize;
    run.begin({ operation: 'upload', snapshotId, path: image.path, ...geometry, bytesResumed });
    if (options.omitZeroBlocks) {
      checkOmission(snapshot);
      run.warn(...warnings.zerosOmitted());
    }
    if (sink.status === 'pending') {
      const withHoles = options.detectHoles === true || options.holesFromSidecar !== undefined;
      // Elsewhere the sink knows what a hole means.
      const putHoles = withHoles && isEncrypted(options, snapshot);
      if (putHoles) run.warn(...warnings.holesPut(snapshotId));
      const source = new ImageBlocks(run, image, geometry, { putHoles, putZeros: spec.hasParent });
      await copyBlocks(run, source, sink, geometry);
    } else {
      await sink.finish();
    }
    const status = await waitUntilUsable(run, service, options, {
      snapshotId,
      status: sink.status,
      resumed: sink.resumed,
    });
    return { snapshotId, status, ...geometry, ...digest, ...run.done(snapshotId) };
  } catch (error) {
    throw (await sink?.abandon(error)) ?? error;
  } finally {
    service.close();
    await journal?.release();
  }
}

function journalOf(
  run: Run,
  { journal }: ImageSource,
  destination: ServiceIdentity,
  checkpointFile: string | undefined,
): Journal<UploadJournal> | undefined {
  if (journal === undefined) return undefined;
  const path = checkpointFile ?? journalPathFor(journal.path, destination);
  return new Journal(run, 'upload', { ...journal, path });
}
