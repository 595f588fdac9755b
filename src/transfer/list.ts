/** Lists the snapshots of the account in one region. */
import type { SnapshotState } from '../ebs/ec2.ts';
import { Service } from '../ebs/service.ts';
import { takeOptions } from './option-types.ts';
import type { ListOptions, SnapshotInfo } from './options.ts';
import { Run } from './run/run.ts';

/**
 * Lists the snapshots that the account owns in the region, oldest first.
 *
 * @throws ColdsnapError class `config` without permission for ec2:DescribeSnapshots
 */
export async function listSnapshots(options: ListOptions = {}): Promise<SnapshotInfo[]> {
  options = takeOptions(options);
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  const snapshots: SnapshotInfo[] = [];
  await run.carryOut(async () => {
    try {
      const states = await run.waitFor('region and credentials', 'service', () => service.ec2());
      for await (const found of states.list({ tags: options.tags }, { signal: run.signal })) {
        snapshots.push(listed(found));
      }
    } finally {
      service.close();
    }
  });
  return snapshots.sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
}

function listed(found: SnapshotState): SnapshotInfo {
  const { state: status, progressPercent, snapshotId, volumeSizeGiB, encrypted } = found;
  const { startTime, description, tags } = found;
  const percent = progressPercent === undefined ? {} : { progressPercent };
  return { snapshotId, status, ...percent, volumeSizeGiB, encrypted, startTime, description, tags };
}
