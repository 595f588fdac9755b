/** Lists the snapshots of the account in one region. */
import { Service } from '../ebs/service.ts';
import type { ListOptions, SnapshotInfo } from './options.ts';
import { Run } from './run/run.ts';

/**
 * Lists the snapshots that the account owns in the region, oldest first.
 *
 * @throws ColdsnapError class `config` without permission for ec2:DescribeSnapshots
 */
export async function listSnapshots(options: ListOptions = {}): Promise<SnapshotInfo[]> {
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  const snapshots: SnapshotInfo[] = [];
  try {
    const states = await service.ec2();
    for await (const found of states.list({ tags: options.tags }, { signal: run.signal })) {
      const { snapshotId, state, progressPercent, volumeSizeGiB, encrypted, startTime, description, tags } =
        found;
      const percent = progressPercent === undefined ? {} : { progressPercent };
      snapshots.push({
        snapshotId,
        status: state,
        ...percent,
        volumeSizeGiB,
        encrypted,
        startTime,
        description,
        tags,
      });
    }
  } finally {
    service.close();
    run.close();
  }
  return snapshots.sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
}
