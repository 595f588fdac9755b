/** The SHA-256 of a whole image, to compare it with what another program computes. */
import { createHash } from 'node:crypto';
import type { Geometry } from '../../geometry.ts';
import { openSource } from '../../image/open-source.ts';
import type { ImageSource } from '../../image/source.ts';
import { allocateSlab } from '../../native/index.ts';
import type { Run } from './run.ts';

/** Bytes of a read: large enough to cost little, small enough that an abort is noticed. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Bytes between reports of progress. */
const REPORT_BYTES = 64 * 2 ** 20;

/** Called with a target that is whole and closed, while its journal still shows that to a later run. */
export type OnWhole = (geometry: Geometry) => Promise<void>;

/** Reads the first `size` bytes in order, and returns their SHA-256 in hex. */
export async function hashImage(run: Run, image: ImageSource, size: number): Promise<string> {
  const hash = createHash('sha256');
  const slab = allocateSlab(PIECE_BYTES);
  for (let offset = 0; offset < size; offset += PIECE_BYTES) {
    if (offset % REPORT_BYTES === 0) run.phase('hashing', { bytesDone: offset, bytesTotal: size });
    const data = new Uint8Array(slab, 0, Math.min(PIECE_BYTES, size - offset));
    await run.watch(`${image.label} to be read`, 'disk', () =>
      image.readBlocks([{ data, offset }], { hash: false }),
    );
    hash.update(data);
  }
  run.phase('hashing', { bytesDone: size, bytesTotal: size });
  return hash.digest('hex');
}

/** The same of a file or device that a download has made whole. */
export async function hashTarget(run: Run, path: string, size: number): Promise<string> {
  const image = await openSource(path, {
    signal: run.signal,
    format: 'raw',
    role: 'target',
    examined: true,
  });
  try {
    return await hashImage(run, image, size);
  } finally {
    await image.close();
  }
}
