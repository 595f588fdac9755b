/**
 * The blocks of a snapshot, one of which may be read before its turn and is kept until then. Who may list a snapshot may not be
 * allowed to read it, or to decrypt it.
 */
import type { EbsConnection } from '../../ebs/service.ts';
import { allocateSlab } from '../../native/index.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep } from '../engine/block.ts';
import type { Run } from '../run/run.ts';
import { readFrom } from './read-block.ts';

export class FirstBlock {
  readonly #run: Run;
  readonly #snapshotId: string;
  readonly #read: BlockSource['read'];
  #early: Block | undefined;

  constructor(run: Run, ebs: EbsConnection, snapshotId: string) {
    this.#run = run;
    this.#snapshotId = snapshotId;
    this.#read = readFrom(ebs.reader(snapshotId, run.signal));
  }

  async fetch(step: BlockStep, blockSize: number): Promise<void> {
    const buffer = new Uint8Array(allocateSlab(blockSize));
    const keep = async (block: Block): Promise<BlockOutcome> => {
      this.#early = block;
      return 'written';
    };
    const what = `block ${step.index} of ${this.#snapshotId}`;
    await this.#run.watch(what, 'service', () => this.#read(step, buffer, keep));
  }

  readonly read: BlockSource['read'] = async (step, buffer, use) => {
    const early = this.#early;
    if (early?.index === step.index) {
      this.#early = undefined;
      buffer.set(early.data);
      const outcome = await use({ ...early, data: buffer });
      if (outcome !== 'mismatch') return outcome;
    }
    return this.#read(step, buffer, use);
  };
}
