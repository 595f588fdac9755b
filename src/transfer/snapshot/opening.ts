/** How an upload opens its source and its journal. */
import type { StartedSnapshot } from '../../ebs/api.ts';
import type { ServiceIdentity } from '../../ebs/service.ts';
import { type Geometry, GIB } from '../../geometry.ts';
import { sourceNotHashed } from '../../image/messages/sources.ts';
import { type OpenSourceOptions, openSource } from '../../image/open-source.ts';
import type { ImageSource } from '../../image/source.ts';
import { type BaseFile, closeBaseFile, openBaseFile } from '../base/base-file.ts';
import { openDigests } from '../digests/open.ts';
import type { DigestWriter } from '../digests/writer.ts';
import type { BlockSource } from '../engine/block.ts';
import { Journal } from '../journal/journal.ts';
import { journalPathFor, type UploadJournal } from '../journal/upload.ts';
import type { UploadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { checkFinished } from '../run/unfinished-source.ts';
import { ImageBlocks } from '../sources/image-blocks.ts';
import type { UploadBase } from '../upload-base.ts';
import { warnings } from '../warnings.ts';
import { isEncrypted, volumeSizeFor } from './request.ts';

/** The files of an upload. */
export interface UploadFiles {
  readonly image: ImageSource;
  /** Stands for the parent of an incremental upload. */
  readonly baseFile: BaseFile | undefined;
  readonly digests: DigestWriter | undefined;
}

/** Opens the files, and closes them after `use`. */
export async function withFiles<T>(
  run: Run,
  options: UploadOptions,
  use: (files: UploadFiles) => Promise<T>,
): Promise<T> {
  const image = await openSource(options.source, sourceOptions(run, options));
  let baseFile: BaseFile | undefined;
  let digests: DigestWriter | undefined;
  try {
    if (options.sha256 && image.journal === undefined) throw sourceNotHashed(image);
    volumeSizeFor(options, image.sizeBytes);
    for (const warning of image.warnings) run.warn(...warning);
    await checkFinished(run, image, options.force === true);
    baseFile = await openBaseFile(run, options);
    const { source, holesFromSidecar } = options;
    digests = await openDigests(options, [source, baseFile?.image?.path, holesFromSidecar]);
    return await use({ image, baseFile, digests });
  } finally {
    await digests?.close();
    await closeBaseFile(baseFile);
    await image.close();
  }
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

/** The journal of an upload to this service; undefined where none is kept. */
export function journalOf(
  run: Run,
  { journal }: ImageSource,
  destination: ServiceIdentity,
  { checkpoint, checkpointFile }: UploadOptions,
): Journal<UploadJournal> | undefined {
  if (journal === undefined || checkpoint === false) return undefined;
  const path = checkpointFile ?? journalPathFor(journal.path, destination);
  return new Journal(run, 'upload', { ...journal, path });
}

interface Upload {
  readonly options: UploadOptions;
  readonly snapshot: StartedSnapshot;
  readonly base: UploadBase | undefined;
}

/** The blocks of the source that are uploaded. */
export function blocksOf(
  run: Run,
  image: ImageSource,
  geometry: Geometry,
  { options, snapshot, base }: Upload,
): BlockSource {
  if (base !== undefined) {
    const plan = { putHoles: false, putZeros: base.unlistedIsRandom };
    return base.differing(run, new ImageBlocks(run, image, geometry, plan));
  }
  const withHoles = options.detectHoles === true || options.holesFromSidecar !== undefined;
  // Elsewhere the sink knows what a hole means.
  const putHoles = withHoles && isEncrypted(options, snapshot);
  if (putHoles) run.warn(...warnings.holesPut(snapshot.snapshotId));
  return new ImageBlocks(run, image, geometry, {
    putHoles,
    putZeros: options.parentSnapshotId !== undefined,
  });
}
