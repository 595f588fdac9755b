/** Tells whether two names are of one file, which need not exist. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The same for two names of one file. */
async function identifyFile(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found !== undefined) return `${found.dev}:${found.ino}`;
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  return join(directory, basename(path));
}

/**
 * The first of the names that is of the same file as one of `paths`.
 * @param names other values than paths, such as streams, are ignored
 */
export async function findSameFile(
  paths: readonly string[],
  names: readonly unknown[],
): Promise<string | undefined> {
  const identities = await Promise.all(paths.map(identifyFile));
  for (const name of names)
    if (typeof name === 'string' && name !== '-' && identities.includes(await identifyFile(name)))
      return name;
  return undefined;
}
