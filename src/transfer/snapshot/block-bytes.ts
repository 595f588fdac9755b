/** Reads some bytes of a snapshot, from the blocks at the beginning of its list. */
import type { BlockReference } from '../../ebs/api.ts';
import type { BlockReader } from '../../ebs/block-reader.ts';
import type { CheckedPage } from '../../ebs/list/pages.ts';
import type { ReadBytes } from '../../image/layout/signatures.ts';
import { sha256 } from '../../native/index.ts';
import type { Run } from '../run/run.ts';

/** Blocks that are fetched at most. */
const MAX_BLOCKS = 16;

/**
 * Reads through GetSnapshotBlock, each block once and verified. Blocks between those of the page are zeros; what lies after
 * the page, or costs more than 16 blocks, is not known.
 */
export function blockBytes(run: Run, reader: BlockReader, page: CheckedPage<BlockReference>): ReadBytes {
  const { entries, blockSize } = page;
  const known = (entries.at(-1)?.blockIndex ?? -1) + 1;
  const fetched = new Map<number, Buffer>();

  const fetch = async (reference: BlockReference): Promise<Buffer | undefined> => {
    const block = fetched.get(reference.blockIndex);
    if (block !== undefined || fetched.size === MAX_BLOCKS) return block;
    const data = Buffer.alloc(blockSize);
    await run.watch(`block ${reference.blockIndex}`, 'service', () =>
      reader.read(reference, data, async (digest) => {
        const [actual] = await sha256([data]);
        return Buffer.compare(actual!, digest) === 0 ? 'written' : 'mismatch';
      }),
    );
    fetched.set(reference.blockIndex, data);
    return data;
  };

  return async (offset, length) => {
    const parts: Buffer[] = [];
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / blockSize);
      if (index >= known) break;
      const reference = entries.find(({ blockIndex }) => blockIndex === index);
      const block = reference === undefined ? Buffer.alloc(blockSize) : await fetch(reference);
      if (block === undefined) break;
      const end = Math.min((index + 1) * blockSize, offset + length);
      parts.push(block.subarray(at - index * blockSize, end - index * blockSize));
      at = end;
    }
    return Buffer.concat(parts);
  };
}
