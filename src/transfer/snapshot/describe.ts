/** What EC2 knows of a snapshot, where it may be asked. */
import { abortable } from '../../cancel.ts';
import type { SnapshotState } from '../../ebs/ec2.ts';
import type { Service } from '../../ebs/service.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/** How long EC2 is asked; it only adds to what the list says. */
const DESCRIBE_MS = 10_000;

/**
 * Describes the snapshot. Where that is denied or fails, warns and returns undefined.
 * @param required throw instead
 */
export async function describeSnapshot(
  run: Run,
  service: Service,
  snapshotId: string,
  { required = false }: { required?: boolean } = {},
): Promise<SnapshotState | undefined> {
  const asked = required ? service : service.impatient(Math.min(DESCRIBE_MS, service.retryForMs));
  let failure: Error = new Error('EC2 does not list it');
  try {
    const ec2 = await abortable(asked.ec2(), run.signal);
    const found = await ec2.describe(snapshotId, { signal: run.signal });
    if (found !== undefined) return found;
    if (required) throw notListed(snapshotId);
  } catch (error) {
    if (!(error instanceof ColdsnapError) || run.signal.aborted || required) throw error;
    failure = error;
  } finally {
    if (asked !== service) asked.close();
  }
  run.warn(...warnings.notDescribed(snapshotId, failure));
  return undefined;
}

const notListed = (snapshotId: string) =>
  new ColdsnapError('permanent', 'SNAPSHOT_NOT_FOUND', `EC2 does not list ${snapshotId}`, { snapshotId });
