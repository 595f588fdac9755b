/** Starts an upload's snapshot, or takes up the one that an earlier run left unfinished. */
import { randomUUID } from 'node:crypto';
import type { EbsDirectApi, StartedSnapshot, StartRequest } from '../ebs/api.ts';
import { ColdsnapError } from '../errors.ts';
import { LinearDigest } from './linear-digest.ts';
import { RangeSet } from './range-set.ts';
import type { UploadLookup, UploadToken } from './upload-checkpoint.ts';

export interface StartOptions {
  readonly found: UploadLookup;
  /** The same token and parameters give the same snapshot again. */
  readonly request: (token: UploadToken) => StartRequest;
  /** Whether the user gave tags, which need the permission to tag anyway. */
  readonly tagged: boolean;
  readonly signal: AbortSignal;
  /** Called with a new token before it is sent: if the reply never arrives, a later run finds the snapshot by it. */
  readonly before: (token: UploadToken) => Promise<void>;
  /** Told why an earlier run's snapshot is not used, and which it is. */
  readonly onDiscarded: (reason: string, leftover?: string) => void;
}

/** A snapshot to put blocks into, with what is in it already. */
export interface OpenSnapshot {
  readonly snapshot: StartedSnapshot;
  readonly token: UploadToken;
  readonly done: RangeSet;
  readonly linear: LinearDigest;
  /** An earlier run has put everything, and may have completed it. */
  readonly completing: boolean;
}

/** @throws ColdsnapError when no snapshot can be started */
export async function startSnapshot(api: EbsDirectApi, options: StartOptions): Promise<OpenSnapshot> {
  if (options.found.kind === 'fits') {
    const earlier = await takeUp(api, options.found, options);
    if (earlier !== undefined) return earlier;
  }
  const start = async (marked: boolean): Promise<OpenSnapshot> => {
    const token = { clientToken: randomUUID(), marked };
    await options.before(token);
    const snapshot = await api.startSnapshot(options.request(token), { signal: options.signal });
    return emptySnapshot(snapshot, token);
  };
  try {
    return await start(true);
  } catch (error) {
    // Tagging needs a permission (ec2:CreateTags) that an upload does not; without tags of the user's, go unmarked.
    if (options.tagged || !(error instanceof ColdsnapError) || error.code !== 'ACCESS_DENIED') throw error;
    return start(false);
  }
}

async function takeUp(
  api: EbsDirectApi,
  { journal, prefix }: UploadLookup & { kind: 'fits' },
  options: StartOptions,
): Promise<OpenSnapshot | undefined> {
  const token = { clientToken: journal.clientToken, marked: journal.marked };
  let snapshot: StartedSnapshot;
  try {
    snapshot = await api.startSnapshot(options.request(token), { signal: options.signal });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'permanent') throw error;
    options.onDiscarded(`its snapshot cannot be taken up (${error.message})`);
    return undefined;
  }
  if (snapshot.status === 'error') {
    options.onDiscarded(`its snapshot ${snapshot.snapshotId} has failed`, snapshot.snapshotId);
    return undefined;
  }
  // Nobody but an upload that has put everything may complete it: what is missing there would read as zeros.
  if (snapshot.status === 'completed' && journal.completing !== true) {
    options.onDiscarded(`its snapshot ${snapshot.snapshotId} was completed before everything was put`);
    return undefined;
  }
  // The earlier run ended before it heard which snapshot it had started; whichever it is, this is the one.
  if (journal.snapshotId === '') return emptySnapshot(snapshot, token);
  if (snapshot.snapshotId !== journal.snapshotId || snapshot.blockSize !== journal.blockSize) {
    // The service has forgotten the token: this is a new and empty snapshot, good to be used from the beginning.
    options.onDiscarded(`its snapshot ${journal.snapshotId} is gone`);
    return emptySnapshot(snapshot, token);
  }
  const done = new RangeSet(journal.done);
  return { snapshot, token, done, linear: new LinearDigest(prefix), completing: journal.completing === true };
}

function emptySnapshot(snapshot: StartedSnapshot, token: UploadToken): OpenSnapshot {
  return { snapshot, token, done: new RangeSet(), linear: new LinearDigest(), completing: false };
}
