/** Lists a snapshot as any client would. */
import { listBlocks } from '../../src/ebs/list/block-list.ts';
import { Service } from '../../src/ebs/service.ts';
import type { Emulator } from '../../src/emulator/index.ts';
import { until } from './until.ts';

/** The blocks that the service lists, ascending, once the snapshot is completed. */
export async function listedBlocks(emulator: Emulator, snapshotId: string): Promise<number[]> {
  const { url, region } = emulator;
  await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
  const service = new Service({ endpoint: url, region }, 4, () => {});
  const blocks: number[] = [];
  try {
    const { api } = await service.ebs();
    for await (const { entries } of listBlocks(api, snapshotId))
      blocks.push(...entries.map(({ blockIndex }) => blockIndex));
  } finally {
    service.close();
  }
  return blocks;
}
