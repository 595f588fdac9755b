/** How much a file can grow. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ImageTarget } from './target.ts';

/** Free bytes of the file system of the target, with those reserved for root; undefined unless it is a file. */
export async function freeBytes({ resumable }: ImageTarget): Promise<number | undefined> {
  const { partialPath } = resumable ?? {};
  if (partialPath === undefined) return undefined;
  const { bfree, bsize } = await statfs(dirname(partialPath)).catch(() => ({ bfree: undefined, bsize: 0 }));
  return bfree === undefined ? undefined : bfree * bsize;
}
