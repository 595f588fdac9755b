/** The file that stands for the parent of an incremental upload: an image or a digest file of it. */
import { isSameService, type ServiceIdentity } from '../../ebs/service.ts';
import type { Geometry } from '../../geometry.ts';
import { shareStorage } from '../../image/distinct.ts';
import { openSource } from '../../image/open-source.ts';
import { pathsOf } from '../../image/same-file.ts';
import type { ImageSource } from '../../image/source.ts';
import {
  baseHasDigests,
  baseIsSource,
  baseIsStream,
  baseOfOtherSize,
  digestsDamaged,
  digestsOfOther,
  digestsOfOtherBlocks,
  digestsOfOtherService,
} from '../base-messages.ts';
import { sizeOfFile } from '../digests/format.ts';
import { DigestReader } from '../digests/reader.ts';
import type { UploadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { checkFinished } from '../run/unfinished-source.ts';

export type BaseFile =
  | { readonly path: string; readonly digests: DigestReader; readonly image?: undefined }
  | { readonly path: string; readonly image: ImageSource; readonly digests?: undefined };

/**
 * Opens the file. Makes no request.
 * @returns undefined where the options name none
 * @throws ColdsnapError class `refused` for a digest file of another snapshot, `integrity` for a damaged one
 */
export async function openBaseFile(
  run: Run,
  { source, base: path, parentSnapshotId: parentId = '', verifyBase, saveDigests }: UploadOptions,
): Promise<BaseFile | undefined> {
  if (path === undefined) return undefined;
  if (path === '-') throw baseIsStream(path);
  const digests = await DigestReader.open(path);
  if (digests !== undefined) {
    const { snapshotId } = digests.header;
    if (snapshotId === parentId && verifyBase !== true) return { path, digests };
    await digests.close();
    throw snapshotId === parentId
      ? baseHasDigests(path)
      : digestsOfOther(path, snapshotId, parentId, path === saveDigests);
  }
  const { signal } = run;
  for (const name of pathsOf(source)) if (await shareStorage(path, name)) throw baseIsSource(path);
  const image = await openSource(path, { signal, format: 'raw', role: 'target', streamSize: 1 });
  try {
    if (image.journal === undefined) throw baseIsStream(path);
    await checkFinished(run, image);
    return { path, image };
  } catch (error) {
    await image.close();
    throw error;
  }
}

/** @throws ColdsnapError class `refused` for a digest file of another service, whose snapshots may have the same IDs */
export function checkBaseService(
  { path, digests }: BaseFile,
  parentId: string,
  service: ServiceIdentity,
): void {
  if (digests !== undefined && !isSameService(digests.header.service, service))
    throw digestsOfOtherService(path, parentId);
}

/** @throws ColdsnapError class `refused` unless it is of a volume of this size, `integrity` for a damaged digest file */
export function checkBaseSize({ path, digests, image }: BaseFile, parentId: string, parent: Geometry): void {
  const { volumeSize, blockSize } = parent;
  const size = digests === undefined ? image.sizeBytes : digests.header.volumeSize;
  if (digests !== undefined && digests.header.blockSize !== blockSize)
    throw digestsOfOtherBlocks(path, digests.header.blockSize, parentId, blockSize);
  if (size === volumeSize) return;
  // Its first bytes are wrong, or it would not have been taken for an image.
  if (digests === undefined && size === sizeOfFile(parent)) throw digestsDamaged(path);
  throw baseOfOtherSize(path, size, parentId, volumeSize);
}

/** Identifies the base: a later run decides the same only with the same one. */
export async function identifyBase(file: BaseFile | undefined): Promise<string> {
  if (file === undefined) return 'service';
  if (file.digests !== undefined) return `digests:${file.digests.seal}`;
  return `image:${file.image.journal?.identity}:${(await file.image.stamp()) ?? ''}`;
}

export async function closeBaseFile(file: BaseFile | undefined): Promise<void> {
  await file?.digests?.close();
  await file?.image?.close();
}
