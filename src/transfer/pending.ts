/**
 * Uploads that were begun and never completed: finds their snapshots, by the tag that every upload sets and by the upload
 * journals of this machine, and deletes them.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SNAPSHOT_ID } from '../ebs/api.ts';
import type { SnapshotState, SnapshotStates } from '../ebs/ec2.ts';
import { Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import { stateDirectory } from '../image/state-files.ts';
import { readJournal, removeJournal } from './journal/file.ts';
import { isLocked, JournalLock } from './journal/lock.ts';
import { notPendingUpload, uploadRunning } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { ClientOptions, DeletePendingResult, ListPendingOptions, PendingSnapshot } from './options.ts';
import type { PlannedDeletionOptions } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { UPLOAD_MARKER_TAG } from './snapshot/marker.ts';
import { warnings } from './warnings.ts';

/** A running upload saves its journal every few seconds; the longest silence is that of retries that give up at last. */
const IDLE_JOURNAL_MS = 3_600_000;

interface UploadJournalFile {
  readonly path: string;
  /** Whether a running upload holds its lock, however old the journal is. */
  readonly running: boolean;
  /** Whether no running upload can be keeping it. */
  readonly idle: boolean;
}

/**
 * Finds the snapshots that this tool started, on this or another machine, and that never completed, oldest first. They
 * include those that are being uploaded now.
 *
 * Only one region is looked at. A snapshot without the tag (tagging was not allowed, or its 50 tags were taken) is found
 * only where its journal lies in this machine's state directory.
 *
 * @throws ColdsnapError class `config` without permission for ec2:DescribeSnapshots
 */
export async function listPendingSnapshots(options: ListPendingOptions = {}): Promise<PendingSnapshot[]> {
  options = takeOptions(options);
  const wanted = options.snapshotIds?.map(readableSnapshotId);
  const found = await withStates(options, findPending);
  return wanted === undefined ? found : found.filter(({ snapshotId }) => wanted.includes(snapshotId));
}

/**
 * Deletes snapshots that this tool started and that never completed: those named; otherwise all that have failed or whose
 * upload on this machine has been idle for an hour, and with `force` every one. A snapshot that a run on this machine is
 * uploading, as its journal's lock shows, is deleted only when it is named and with `force`. Their journals are removed, too.
 *
 * @throws ColdsnapError class `refused`, before anything is deleted, when a snapshot that is named is none of these
 *   (`NOT_A_PENDING_UPLOAD`) or is being uploaded (`UPLOAD_RUNNING`); the
 *   service's error when one cannot be deleted; a warning names each that was deleted before
 */
export async function deletePendingSnapshots(
  options: PlannedDeletionOptions = {},
): Promise<DeletePendingResult> {
  options = takeOptions(options);
  const { force = false, dryRun = false } = options;
  const snapshotIds = options.snapshotIds && [...new Set(options.snapshotIds.map(readableSnapshotId))];
  return withStates(options, async (states, run) => {
    const found = await findPending(states, run);
    const running = new Set<string>();
    for (const { snapshotId, journal } of found) {
      if (journal !== undefined && (await isLocked(journal))) running.add(snapshotId);
    }
    const wanted = snapshotIds === undefined ? found : snapshotIds.map((id) => named(id, found));
    const busy = wanted.find(({ snapshotId }) => running.has(snapshotId));
    if (busy !== undefined && snapshotIds !== undefined && !force) throw uploadRunning(busy.snapshotId);
    const deleted: PendingSnapshot[] = [];
    const kept: PendingSnapshot[] = [];
    try {
      for (const snapshot of wanted) {
        const chosen =
          snapshotIds !== undefined || snapshot.abandoned || (force && !running.has(snapshot.snapshotId));
        const always = snapshotIds !== undefined && force;
        const gone = chosen && (dryRun || (await deleteUnused(states, snapshot, always, run)));
        (gone ? deleted : kept).push(snapshot);
      }
    } catch (error) {
      // No result names them.
      for (const { snapshotId } of dryRun ? [] : deleted) run.warn(...warnings.snapshotDeleted(snapshotId));
      throw error;
    }
    return { deleted, kept };
  });
}

async function withStates<T>(
  options: ClientOptions,
  work: (states: SnapshotStates, run: Run) => Promise<T>,
): Promise<T> {
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  return run.carryOut(async () => {
    try {
      const states = await run.waitFor('region and credentials', 'service', () => service.ec2());
      return await work(states, run);
    } finally {
      service.close();
    }
  });
}

async function findPending(states: SnapshotStates, run: Run): Promise<PendingSnapshot[]> {
  const call = { signal: run.signal };
  const journals = await uploadJournals(run);
  const found = new Map<string, PendingSnapshot>();
  const query = { tags: [{ key: UPLOAD_MARKER_TAG.key }], states: ['pending', 'error'] } as const;
  for await (const state of states.list(query, call)) {
    if (isUnfinished(state)) found.set(state.snapshotId, pendingSnapshot(state, journals));
  }
  for (const snapshotId of journals.keys()) {
    if (found.has(snapshotId)) continue;
    // One that is not found is of another region or account, or gone; the next upload from its source will see to that.
    const state = await states.describe(snapshotId, call);
    if (state !== undefined && isUnfinished(state)) found.set(snapshotId, pendingSnapshot(state, journals));
  }
  return [...found.values()].sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
}

function isUnfinished({ state }: SnapshotState): boolean {
  return state === 'pending' || state === 'error';
}

function pendingSnapshot(
  snapshot: SnapshotState,
  journals: ReadonlyMap<string, UploadJournalFile>,
): PendingSnapshot {
  const { snapshotId, state, stateMessage, progressPercent, volumeSizeGiB, description, startTime } =
    snapshot;
  const journal = journals.get(snapshotId);
  return {
    snapshotId,
    status: state,
    ...(stateMessage === undefined ? {} : { statusMessage: stateMessage }),
    ...(progressPercent === undefined ? {} : { progressPercent }),
    volumeSizeGiB,
    description,
    startTime,
    ...(journal === undefined ? {} : { journal: journal.path }),
    abandoned: journal?.running !== true && (state === 'error' || journal?.idle === true),
  };
}

/** The upload journals in the state directory, by snapshot ID. Those that lie beside a source cannot be found from here. */
async function uploadJournals(run: Run): Promise<Map<string, UploadJournalFile>> {
  const directory = stateDirectory();
  const journals = new Map<string, UploadJournalFile>();
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.coldsnap-upload')) continue;
      const path = join(directory, entry.name);
      const snapshotId = await journalledSnapshot(path);
      if (snapshotId === undefined) continue;
      const { mtimeMs } = await stat(path);
      const running = await isLocked(path);
      const idle = !running && Date.now() - mtimeMs > IDLE_JOURNAL_MS;
      journals.set(snapshotId, { path, running, idle });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      run.warn(...warnings.journalsNotRead(directory, error));
  }
  return journals;
}

async function journalledSnapshot(path: string): Promise<string | undefined> {
  const reading = await readJournal(path);
  if (reading.kind !== 'present') return undefined;
  const { kind, snapshotId } = (reading.content ?? {}) as { kind?: unknown; snapshotId?: unknown };
  const known = kind === 'upload' && typeof snapshotId === 'string' && SNAPSHOT_ID.test(snapshotId);
  return known ? snapshotId : undefined;
}

function named(snapshotId: string, found: readonly PendingSnapshot[]): PendingSnapshot {
  const snapshot = found.find((candidate) => candidate.snapshotId === snapshotId);
  if (snapshot !== undefined) return snapshot;
  throw notPendingUpload(snapshotId);
}

/**
 * Deletes the snapshot and its journal, whose lock keeps an upload from resuming it meanwhile.
 * @param always also while an upload has it
 * @returns whether it is gone
 */
async function deleteUnused(
  states: SnapshotStates,
  snapshot: PendingSnapshot,
  always: boolean,
  run: Run,
): Promise<boolean> {
  const { snapshotId, journal } = snapshot;
  if (journal === undefined) return deleteUnfinished(states, snapshot, run.signal);
  // Where no lock can be had, no upload has one either.
  const lock = await JournalLock.take(journal).catch(() => null);
  if (lock === undefined && !always) return false;
  try {
    if (!(await deleteUnfinished(states, snapshot, run.signal))) return false;
    // A run that has started over since may have put another snapshot there.
    if ((await journalledSnapshot(journal)) === snapshotId) await removeStaleJournal(journal, run);
    return true;
  } finally {
    await lock?.release();
  }
}

/** Deletes the snapshot unless it was completed since it was found. Returns whether it is gone. */
async function deleteUnfinished(
  states: SnapshotStates,
  { snapshotId }: PendingSnapshot,
  signal: AbortSignal,
): Promise<boolean> {
  const call = { signal };
  const state = await states.describe(snapshotId, call);
  if (state !== undefined && !isUnfinished(state)) return false;
  try {
    await states.delete(snapshotId, call);
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.code !== 'SNAPSHOT_NOT_FOUND') throw error;
  }
  return true;
}

async function removeStaleJournal(path: string, run: Run): Promise<void> {
  try {
    await removeJournal(path);
  } catch (error) {
    run.warn(...warnings.journalNotRemoved(path, error));
  }
}
