/** Tells whether two names are of one file, which need not exist. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const labels: Readonly<Record<string, string>> = { '/proc/self/fd/0': 'stdin', '/proc/self/fd/1': 'stdout' };

/** The same for two names of one file. */
async function identifyFile(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found !== undefined) return `${found.dev}:${found.ino}`;
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  return join(directory, basename(path));
}

/**
 * The paths by which the file of a name or stream can be examined. `-` is stdin or stdout, which the shell may have opened
 * from a file.
 */
export function pathsOf(name: unknown): string[] {
  if (name === '-') return ['/proc/self/fd/0', '/proc/self/fd/1'];
  if (typeof name === 'string') return [name];
  const { fd, path } = (name ?? {}) as { readonly fd?: unknown; readonly path?: unknown };
  if (typeof fd === 'number') return [`/proc/self/fd/${fd}`];
  return typeof path === 'string' && path !== '' ? [path] : [];
}

/**
 * The first of the names that is of the same file as one of `paths`.
 * @param names paths and streams; other values are ignored
 */
export async function findSameFile(
  paths: readonly string[],
  names: readonly unknown[],
): Promise<string | undefined> {
  const identities = await Promise.all(paths.map(identifyFile));
  for (const name of names)
    for (const path of pathsOf(name))
      if (identities.includes(await identifyFile(path))) return labels[path] ?? path;
  return undefined;
}
