/** Begins the digest file that a transfer was asked for. */
import { isJournalName } from '../../image/names.ts';
import { findSameFile } from '../../image/same-file.ts';
import { digestsNameEmpty, digestsOverImage, digestsOverJournal } from '../base-messages.ts';
import { checkPartial } from './partial.ts';
import { checkReplaceable, DigestWriter, partialOf } from './writer.ts';

interface Named {
  readonly saveDigests?: string | undefined;
  readonly force?: boolean | undefined;
}

/**
 * @param images the image and other files of the transfer, which must not be replaced
 * @returns undefined unless digests are to be saved
 * @throws ColdsnapError class `usage` for the name of an image, and as {@link DigestWriter.create} does
 */
export async function openDigests(
  options: Named,
  images: readonly unknown[],
): Promise<DigestWriter | undefined> {
  await checkDigestsName(options, images);
  const { saveDigests: path, force = false } = options;
  return path === undefined ? undefined : DigestWriter.create(path, force);
}

/** The same checks, for a dry run. */
export async function checkDigests(options: Named, images: readonly unknown[]): Promise<void> {
  await checkDigestsName(options, images);
  if (options.saveDigests !== undefined) await checkPartial(partialOf(options.saveDigests));
}

async function checkDigestsName(
  { saveDigests: path, force = false }: Named,
  images: readonly unknown[],
): Promise<void> {
  if (path === undefined) return;
  if (path === '') throw digestsNameEmpty();
  // A journal is replaced, and removed at the end.
  if (isJournalName(path)) throw digestsOverJournal(path);
  const image = await findSameFile([path, `${path}.partial`], images);
  if (image !== undefined) throw digestsOverImage(path, image);
  await checkReplaceable(path, force);
}
