/** Begins the digest file that a transfer was asked for. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { digestsNameEmpty, digestsOverImage } from '../base-messages.ts';
import { checkReplaceable, DigestWriter } from './writer.ts';

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
export async function checkDigestsName(
  { saveDigests: path, force = false }: Named,
  images: readonly unknown[],
): Promise<void> {
  if (path === undefined) return;
  if (path === '') throw digestsNameEmpty();
  const identities = await Promise.all([path, `${path}.partial`].map(identify));
  for (const image of images) {
    if (typeof image !== 'string' || image === '-') continue;
    if (identities.includes(await identify(image))) throw digestsOverImage(path, image);
  }
  await checkReplaceable(path, force);
}

/** The same for two names of one file, whether or not it exists. */
async function identify(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found !== undefined) return `${found.dev}:${found.ino}`;
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  return join(directory, basename(path));
}
