/** Compares blocks with their digests, several in one call of the addon, which also recognizes blocks of zeros. */
import { abortedError } from '../../cancel.ts';
import { writeBlocks } from '../../native/index.ts';
import type { Run } from '../run/run.ts';
import { Batcher } from './batch.ts';

interface Checkable {
  readonly data: Uint8Array;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
}

/** `written`: the data have their digest; `zero`: and are all zeros. */
export type Checked = 'written' | 'zero' | 'mismatch';

export class BlockCheck {
  readonly #batcher: Batcher<Checkable, Checked>;

  constructor(run: Run) {
    this.#batcher = new Batcher(run.workers, async (blocks) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      const writes = blocks.map(({ data, digest }) => ({ data, digest, offset: 0 }));
      return (await writeBlocks(-1, writes, { zero: 'skip', zeroMethod: 'write' })).outcomes;
    });
  }

  /** The buffer must not change until this settles. */
  check(block: Checkable): Promise<Checked> {
    return this.#batcher.submit(block);
  }
}
