/** Reads what was written, to compare it. */
import { type BlockRead, type BlockReadResult, dropCache, readBlocks } from '../native/index.ts';
import type { Descriptor } from './descriptor.ts';
import type { ByteRange } from './extents.ts';

/** Reads blocks and their hashes; with `pastCache` from the storage, after a sync unless they are `synced`. */
export async function readBack(
  descriptor: Descriptor,
  reads: readonly BlockRead[],
  { pastCache, synced = false }: { readonly pastCache: boolean; readonly synced?: boolean },
): Promise<BlockReadResult[]> {
  if (pastCache && !synced) await descriptor.sync('data');
  return descriptor.use(`read ${descriptor.path}`, async (fd) => {
    if (pastCache) for (const { start, end } of runsOf(reads)) await dropCache(fd, start, end - start);
    return readBlocks(fd, [...reads], { hash: true });
  });
}

/** The ranges of reads, with those that adjoin as one. */
function runsOf(reads: readonly BlockRead[]): ByteRange[] {
  const runs: { start: number; end: number }[] = [];
  for (const { offset, data } of reads) {
    const last = runs.at(-1);
    if (last?.end === offset) last.end += data.length;
    else runs.push({ start: offset, end: offset + data.length });
  }
  return runs;
}
