/** A block that is read under a fault. */

import type { TestContext } from 'node:test';
import type { FaultAction } from '../../src/emulator/index.ts';
import { list, randomBlock, run } from './client.ts';
import { type RawReply, raw } from './raw.ts';

export const data = randomBlock();

/** An emulator with one snapshot of one block, and a raw GET of that block with a fault. */
export async function withBlock(t: TestContext) {
  const { emulator, ebs, ec2 } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: data } });
  const token = (await list(ebs, id)).get(0)!;
  const path = `/snapshots/${id}/blocks/0?blockToken=${encodeURIComponent(token)}`;
  const fetch = async (action: FaultAction): Promise<RawReply> => {
    emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
    return raw(emulator.url, { path });
  };
  return { emulator, ebs, ec2, id, token, path, fetch };
}
