import type { BlockReader } from '../../ebs/block-reader.ts';
import type { BlockSource } from '../engine/block.ts';

/** `BlockSource.read` for blocks of a snapshot. */
export function readFrom(reader: BlockReader): BlockSource['read'] {
  return ({ index, token }, buffer, use) =>
    reader.read({ blockIndex: index, blockToken: token }, buffer, (digest) =>
      use({ index, data: buffer, digest, verified: false }),
    );
}
