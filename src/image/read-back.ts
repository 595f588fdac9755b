/** Reads what was written, to compare it. */
import { type BlockRead, type BlockReadResult, dropCache, readBlocks } from '../native/index.ts';
import type { Descriptor } from './descriptor.ts';

/** Reads blocks and their hashes; with `pastCache` from the storage, after a sync. */
export async function readBack(
  descriptor: Descriptor,
  reads: readonly BlockRead[],
  { pastCache }: { readonly pastCache: boolean },
): Promise<BlockReadResult[]> {
  if (pastCache) await descriptor.sync('data');
  return descriptor.use(`read ${descriptor.path}`, async (fd) => {
    if (pastCache) for (const { offset, data } of reads) await dropCache(fd, offset, data.length);
    return readBlocks(fd, [...reads], { hash: true });
  });
}
