import type { BlockReader } from '../../ebs/block-reader.ts';
import type { Block, BlockOutcome, BlockStep } from '../engine/block.ts';

/** `BlockSource.read` for blocks of a snapshot. */
export function readBlock(
  reader: BlockReader,
  { index, token }: BlockStep,
  buffer: Uint8Array,
  use: (block: Block) => Promise<BlockOutcome>,
): Promise<BlockOutcome> {
  return reader.read({ blockIndex: index, blockToken: token }, buffer, (digest) =>
    use({ index, data: buffer, digest, verified: false }),
  );
}
