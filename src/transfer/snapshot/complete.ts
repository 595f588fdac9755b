/** Ends a snapshot: completes it, or deletes it after a failure. */
import type { CompleteRequest } from '../../ebs/api.ts';
import type { Service } from '../../ebs/service.ts';
import { ColdsnapError } from '../../errors.ts';
import type { UploadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { completionUnknown } from '../snapshot-messages.ts';
import { NOT_FOUND_MS, type WaitServices, waitServices, waitUntil } from '../wait.ts';
import { warnings } from '../warnings.ts';

/** How long EC2 may call a completed snapshot pending before a refused completion counts as a failure. */
const CONFIRM_MS = 300_000;
/** How long to wait for the service to accept a resumed upload. */
const ACCEPT_MS = 60_000;
/** Between questions whether a snapshot exists. */
const ASK_AGAIN_MS = 2_000;
/** How long the last request after a failure may take, which nothing else can interrupt. */
const LAST_MS = 10_000;

/**
 * Completes a snapshot. When a reply was lost, a repeated completion may be refused though the first one counted: then
 * EC2's state decides.
 *
 * @param repeated whether an earlier request may have counted
 * @returns the snapshot's state
 */
export async function completeSnapshot(
  run: Run,
  service: Service,
  request: CompleteRequest,
  repeated: () => boolean,
): Promise<string> {
  const { signal, meter } = run;
  const { api } = await service.ebs();
  try {
    return await api.completeSnapshot(request, { signal });
  } catch (refusal) {
    if (!repeated() || !(refusal instanceof ColdsnapError) || refusal.class !== 'permanent') throw refusal;
    const conditions = { successesRequired: 1, timeoutMs: CONFIRM_MS, signal };
    try {
      await waitUntil(request.snapshotId, conditions, meter.emit, waitServices(service));
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.class === 'aborted') throw error;
      const answered = error.class === 'permanent' || error.code === 'WAIT_TIMED_OUT';
      throw answered ? refusal : completionUnknown(request.snapshotId, refusal, error);
    }
    return 'completed';
  }
}

/**
 * Whether a snapshot that an earlier run has completed has neither failed nor been deleted, though its token may still
 * answer for it. True where EC2 may not be asked, or does not answer.
 */
export async function isAlive(
  snapshotId: string,
  signal: AbortSignal,
  { describe, now, pause }: Pick<WaitServices, 'describe' | 'now' | 'pause'>,
): Promise<boolean> {
  const start = now();
  try {
    for (;;) {
      const found = await describe(snapshotId, { signal });
      if (found !== undefined) return found.state !== 'recoverable' && found.state !== 'error';
      if (now() - start >= NOT_FOUND_MS) return false;
      await pause(ASK_AGAIN_MS, signal);
    }
  } catch (error) {
    if (!(error instanceof ColdsnapError) || !['config', 'gave-up'].includes(error.class)) throw error;
    return true;
  }
}

/**
 * Waits, after a resumed upload, until the service has verified the checksum over what both runs have put. Gives up with a
 * warning where EC2 may not be asked, or takes longer.
 * @returns the snapshot's state
 */
async function confirmAccepted(
  run: Run,
  service: Service,
  snapshotId: string,
  status: string,
): Promise<string> {
  const conditions = { successesRequired: 1, timeoutMs: ACCEPT_MS, signal: run.signal };
  try {
    return (await waitUntil(snapshotId, conditions, run.meter.emit, waitServices(service))).status;
  } catch (error) {
    if (!(error instanceof ColdsnapError) || !['config', 'gave-up'].includes(error.class)) throw error;
    run.warn(...warnings.notConfirmed(snapshotId, error));
    return status;
  }
}

/**
 * Deletes an unfinished snapshot. Runs after a failure, perhaps an abort, so it does not listen to the run's signal.
 * @returns why it could not be deleted, if so
 */
export async function deleteSnapshot(service: Service, snapshotId: string): Promise<Error | undefined> {
  const last = service.impatient(LAST_MS);
  try {
    const ec2 = await last.ec2();
    await ec2.delete(snapshotId, { justStarted: true, signal: AbortSignal.timeout(LAST_MS) });
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    last.close();
  }
}

/** Whether EC2 lists a snapshot, or does not answer. Runs after a failure, like {@link deleteSnapshot}. */
export async function isListed(service: Service, snapshotId: string): Promise<boolean> {
  const last = service.impatient(LAST_MS);
  try {
    const ec2 = await last.ec2();
    return (await ec2.describe(snapshotId, { signal: AbortSignal.timeout(LAST_MS) })) !== undefined;
  } catch {
    return true;
  } finally {
    last.close();
  }
}

/** Waits as requested, and after a resumed upload in any case. Returns the snapshot's state. */
export async function waitUntilUsable(
  run: Run,
  service: Service,
  { wait = false, signal }: Pick<UploadOptions, 'wait' | 'signal'>,
  { snapshotId, status, resumed }: { snapshotId: string; status: string; resumed: boolean },
): Promise<string> {
  if (wait === false) return resumed ? confirmAccepted(run, service, snapshotId, status) : status;
  run.phase('waiting');
  const conditions = { ...(wait === true ? {} : wait), signal };
  return (await waitUntil(snapshotId, conditions, run.meter.emit, waitServices(service))).status;
}
