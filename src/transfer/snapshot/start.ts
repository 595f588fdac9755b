/** Starts an upload's snapshot, or resumes the one that an earlier run started. */
import { randomUUID } from 'node:crypto';
import type { EbsDirectApi, StartedSnapshot, StartRequest } from '../../ebs/api.ts';
import { ColdsnapError } from '../../errors.ts';
import { RangeSet } from '../engine/range-set.ts';
import { ChunkDigests } from '../journal/chunk-digests.ts';
import {
  type EarlierSnapshot,
  restoredPrefix,
  savedPrefix,
  type UploadJournal,
  type UploadLookup,
  type UploadToken,
} from '../journal/upload.ts';
import { LinearDigest } from './linear-digest.ts';

interface StartOptions {
  readonly found: UploadLookup;
  /** The same token and parameters give the same snapshot again. */
  readonly request: (token: UploadToken) => StartRequest;
  /** Whether the user gave tags, which need the permission to tag anyway. */
  readonly tagged: boolean;
  /** Bytes. */
  readonly volumeSize: number;
  readonly signal: AbortSignal;
  /** Called with a new token before it is sent: if the reply never arrives, a later run finds the snapshot by it. */
  readonly before: (token: UploadToken) => Promise<void>;
  /** Whether a snapshot that an earlier run has completed has neither failed nor been deleted. */
  readonly isAlive: (snapshotId: string) => Promise<boolean>;
  /** Called with the reason why an earlier run's snapshot is not used, and that snapshot. */
  readonly onDiscarded: (reason: string, earlier?: EarlierSnapshot) => void;
}

/** A snapshot to put blocks into, with what is in it already. */
export interface OpenSnapshot {
  readonly snapshot: Pick<StartedSnapshot, 'snapshotId' | 'blockSize'>;
  readonly token: UploadToken;
  /** Blocks that are put, or skipped. */
  readonly done: RangeSet;
  /** Digests of the blocks that are put and not zeros. */
  readonly digests: ChunkDigests;
  readonly linear: LinearDigest;
  readonly resumed: boolean;
  /** Everything is put, and the completion may have been requested. */
  completing: boolean;
  /** The service has accepted the completion. */
  accepted: boolean;
  /** As the service gave it last. */
  status: string;
}

/** @throws ColdsnapError when no snapshot can be started */
export async function startSnapshot(
  api: EbsDirectApi,
  options: StartOptions,
): Promise<OpenSnapshot & { snapshot: StartedSnapshot }> {
  if (options.found.kind === 'usable') {
    const earlier = await resumeSnapshot(api, options.found.journal, options);
    if (earlier !== undefined) return earlier;
  }
  const { volumeSize } = options;
  const start = async (marked: boolean) => {
    const token = { clientToken: randomUUID(), marked };
    await options.before(token);
    const snapshot = await api.startSnapshot(options.request(token), { signal: options.signal });
    return emptySnapshot(snapshot, token, volumeSize);
  };
  try {
    return await start(true);
  } catch (error) {
    // Tagging needs a permission (ec2:CreateTags) that an upload does not; without tags of the user's, go unmarked.
    if (options.tagged || !(error instanceof ColdsnapError) || error.code !== 'ACCESS_DENIED') throw error;
    return start(false);
  }
}

async function resumeSnapshot(
  api: EbsDirectApi,
  journal: UploadJournal,
  { request, signal, volumeSize, isAlive, onDiscarded }: StartOptions,
): Promise<(OpenSnapshot & { snapshot: StartedSnapshot }) | undefined> {
  const token = { clientToken: journal.clientToken, marked: journal.marked };
  let snapshot: StartedSnapshot;
  try {
    snapshot = await api.startSnapshot(request(token), { signal });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'permanent') throw error;
    onDiscarded(`its snapshot cannot be resumed (${error.message})`);
    return undefined;
  }
  const { snapshotId, status, blockSize } = snapshot;
  if (status === 'error') {
    onDiscarded(`its snapshot ${snapshotId} is in state "error"`, { snapshotId });
    return undefined;
  }
  // Only an upload that has put everything may complete it: what is missing would read as zeros.
  if (status === 'completed' && journal.completing !== true) {
    onDiscarded(`its snapshot ${snapshotId} was completed before everything was put`);
    return undefined;
  }
  // The earlier run ended before the reply to its start; whichever snapshot it is, it is this one.
  if (journal.snapshotId === '') return emptySnapshot(snapshot, token, volumeSize);
  if (snapshotId !== journal.snapshotId || blockSize !== journal.blockSize) {
    // The service has forgotten the token: this is a new and empty snapshot, good to be used from the beginning.
    onDiscarded(`its snapshot ${journal.snapshotId} no longer exists`);
    return emptySnapshot(snapshot, token, volumeSize);
  }
  const { completing = false, accepted = status === 'completed' } = journal;
  if (accepted && !(await isAlive(snapshotId))) {
    onDiscarded(`its snapshot ${snapshotId} no longer exists, or is in state "error"`);
    return undefined;
  }
  const linear = new LinearDigest(restoredPrefix(journal.linear));
  const done = new RangeSet(journal.done);
  const digests = new ChunkDigests(volumeSize / blockSize, journal.digests);
  return { snapshot, token, done, digests, linear, completing, accepted, resumed: true, status };
}

/** @param volumeSize in bytes */
export function emptySnapshot<Snapshot extends { snapshotId: string; blockSize: number; status?: string }>(
  snapshot: Snapshot,
  token: UploadToken,
  volumeSize: number,
) {
  const { status = 'pending', blockSize } = snapshot;
  // Before StartSnapshot has answered there are no blocks.
  const digests = new ChunkDigests(blockSize === 0 ? 0 : volumeSize / blockSize);
  const linear = new LinearDigest();
  return {
    snapshot,
    token,
    done: new RangeSet(),
    digests,
    linear,
    completing: false,
    accepted: false,
    resumed: false,
    status,
  };
}

type JournalHeader = Pick<UploadJournal, 'service' | 'source' | 'parameters'> & {
  readonly stamp: string | undefined;
};

/** The journal of a snapshot as it is now. */
export function uploadJournal(
  { snapshot, token, done, digests, linear, completing, accepted }: OpenSnapshot,
  { stamp, ...header }: JournalHeader,
): UploadJournal {
  const { snapshotId, blockSize } = snapshot;
  return {
    version: 2,
    kind: 'upload',
    ...header,
    ...(stamp === undefined ? {} : { stamp }),
    snapshotId,
    blockSize,
    ...token,
    ...(completing ? { completing } : {}),
    ...(accepted ? { accepted } : {}),
    done: done.ranges(),
    digests: digests.save(),
    linear: savedPrefix(linear.prefix()),
  };
}
