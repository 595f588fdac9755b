/** What EC2 knows of a snapshot, where it may be asked. */
import { abortable } from '../../cancel.ts';
import type { SnapshotState } from '../../ebs/ec2.ts';
import type { Service } from '../../ebs/service.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/** How long EC2 is asked; it only adds to what the list says. */
const DESCRIBE_MS = 10_000;

/** Whether EC2 may be asked, and answers, though not now. */
export function isBusy(error: unknown): boolean {
  return error instanceof ColdsnapError && (error.code === 'THROTTLED' || error.code === 'SERVICE_ERROR');
}

/**
 * Describes the snapshot. Where that is denied or fails, warns and returns undefined.
 * @param options.required throw instead
 * @param options.decisive wait for an EC2 that is busy as long as for anything else, and throw if it stays so: without an
 *   answer more is sent
 */
export async function describeSnapshot(
  run: Run,
  service: Service,
  snapshotId: string,
  { required = false, decisive = false }: { required?: boolean; decisive?: boolean } = {},
): Promise<SnapshotState | undefined> {
  const ask = async (asked: Service) =>
    (await abortable(asked.ec2(), run.signal)).describe(snapshotId, { signal: run.signal });
  let failure: Error = new Error('EC2 does not list it');
  const brief = service.impatient(Math.min(DESCRIBE_MS, service.retryForMs));
  try {
    const found = await ask(required ? service : brief).catch((error: unknown) => {
      if (decisive && !required && isBusy(error)) return ask(service);
      throw error;
    });
    if (found !== undefined) return found;
    if (required) throw notListed(snapshotId);
  } catch (error) {
    const final = required || (decisive && isBusy(error));
    if (!(error instanceof ColdsnapError) || run.signal.aborted || final) throw error;
    failure = error;
  } finally {
    brief.close();
  }
  run.warn(...warnings.notDescribed(snapshotId, failure));
  return undefined;
}

const notListed = (snapshotId: string) =>
  new ColdsnapError('permanent', 'SNAPSHOT_NOT_FOUND', `EC2 does not list ${snapshotId}`, { snapshotId });
