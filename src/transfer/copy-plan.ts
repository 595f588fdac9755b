/** Plans a copy: checks its options, and decides on its journal, its snapshot and the zeros to put. */
import type { SnapshotTag } from '../ebs/api.ts';
import { type EbsConnection, isSameService, type Service, type ServiceIdentity } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import { type Geometry, GIB } from '../geometry.ts';
import { stateFile } from '../image/state-files.ts';
import {
  baseIsSnapshot,
  baseNeedsParent,
  copyOntoItself,
  copyWarnings,
  parentIsNoCopy,
  smallerThanBase,
} from './copy-messages.ts';
import { type JournalLocation, peekJournal } from './journal/journal.ts';
import type { UploadJournal } from './journal/upload.ts';
import type { CopyOptions } from './options.ts';
import { checkWaitConditions, readableSnapshotId } from './run/checks.ts';
import type { Run } from './run/run.ts';
import { describeSnapshot } from './snapshot/describe.ts';
import { UPLOAD_MARKER_TAG } from './snapshot/marker.ts';
import { asksForEncryption, checkUploadOptions, type NewSnapshot, newSnapshot } from './snapshot/request.ts';
import { geometryOf } from './sources/changed-blocks.ts';

/** @throws ColdsnapError class `usage` */
export function checkCopyOptions(options: CopyOptions): void {
  const { snapshotId, since, parentSnapshotId, wait } = options;
  readableSnapshotId(snapshotId);
  if ((since === undefined) !== (parentSnapshotId === undefined)) throw baseNeedsParent();
  if (since !== undefined) readableSnapshotId(since);
  if (parentSnapshotId !== undefined) readableSnapshotId(parentSnapshotId);
  if (since === snapshotId) throw baseIsSnapshot(snapshotId);
  checkUploadOptions(withoutSource(options));
  if (typeof wait === 'object') checkWaitConditions(wait);
  if (!differs(options)) throw copyOntoItself();
}

function differs(options: CopyOptions): boolean {
  const elsewhere = Object.values(options.to ?? {}).some((value) => value !== undefined);
  return elsewhere || asksForChange(options);
}

/** Whether the copy is to differ from its source in more than its place. */
function asksForChange({ description, tags = [], copyTags = false, ...encryption }: CopyOptions): boolean {
  return description !== undefined || tags.length > 0 || copyTags || asksForEncryption(encryption);
}

/** Warns of a copy like its source in the same region and account, which may be a mistake. */
export function warnIfUnchanged(
  run: Run,
  options: CopyOptions,
  source: ServiceIdentity,
  destination: ServiceIdentity,
): void {
  const { profile, ebsClient } = options.to ?? {};
  const ownCredentials = profile !== undefined || ebsClient !== undefined;
  const mayBeOther = ownCredentials && (source.account ?? destination.account) === undefined;
  if (asksForChange(options) || mayBeOther || !isSameService(source, destination)) return;
  run.warn(...copyWarnings.unchanged(options.snapshotId, destination.region));
}

/**
 * Compares the volume of the parent with that of the base, where the parent may be listed.
 * @param volumeSize bytes of the volume
 * @param baseSize bytes of the volume of the base
 * @param required whether the parent must exist; else that is for the service to say when the snapshot is started
 * @throws ColdsnapError `CHILD_TOO_SMALL` when the copy would be smaller, `PARENT_MISMATCH` when they differ
 */
export async function checkParent(
  run: Run,
  { service, to }: { readonly service: Service; readonly to: EbsConnection },
  { snapshotId, since: baseId, parentSnapshotId: parentId }: CopyOptions,
  {
    volumeSize,
    baseSize,
    required,
  }: { readonly volumeSize: number; readonly baseSize: number; readonly required: boolean },
): Promise<void> {
  if (baseId === undefined || parentId === undefined) return;
  if (volumeSize < baseSize) throw smallerThanBase(snapshotId, volumeSize, baseId, baseSize);
  let found: Geometry;
  try {
    found = await service.naming(() => geometryOf(run, to, parentId));
  } catch (error) {
    if (!(error instanceof ColdsnapError) || run.signal.aborted) throw error;
    if (error.code === 'ACCESS_DENIED') {
      if (required) run.warn(...copyWarnings.parentNotChecked(parentId, error.message));
    } else if (required || error.class !== 'permanent') throw error;
    return;
  }
  if (found.volumeSize !== baseSize) throw parentIsNoCopy(parentId, found.volumeSize, baseId, baseSize);
}

/** The parts of the options that are those of any new snapshot. */
function withoutSource({
  description,
  tags,
  kmsKeyId,
  encrypted,
  parentSnapshotId,
  keepCheckpoint,
}: CopyOptions) {
  return { description, tags, kmsKeyId, encrypted, parentSnapshotId, keepCheckpoint };
}

/** The journal of this copy. Other options are another copy, which does not disturb it. */
export function copyJournal(
  options: CopyOptions,
  source: ServiceIdentity,
  destination: ServiceIdentity,
): JournalLocation {
  const { snapshotId, since, to, copyTags = false, skipUnlisted = false, checkpointFile } = options;
  const { keepCheckpoint: _, ...given } = withoutSource(options);
  const decisive = {
    base: since,
    endpoint: source.endpoint,
    destination,
    profile: to?.profile,
    ...given,
    copyTags,
    skipUnlisted,
  };
  const identity = `copy ${snapshotId} ${source.region} to ${destination.region} ${JSON.stringify(decisive)}`;
  return { path: checkpointFile ?? stateFile(identity, 'coldsnap-upload'), identity };
}

/** The parts of the copy that come from the source's description in EC2. */
interface Inherited {
  readonly description?: string | undefined;
  readonly tags: readonly SnapshotTag[];
  /** Whether the source is known to be encrypted. */
  readonly sourceEncrypted: boolean;
}

/**
 * The copy as an earlier run began it, or else as EC2 describes the source now: a snapshot is resumed by the very parameters
 * that started it.
 * @throws ColdsnapError when the source's tags are to be copied and EC2 does not give them
 */
export async function inheritedFrom(
  run: Run,
  service: Service,
  options: CopyOptions,
  journal: JournalLocation | undefined,
): Promise<Inherited> {
  const earlier = journal === undefined || options.fresh ? undefined : await readEarlier(journal);
  if (earlier !== undefined) return earlier;
  const { snapshotId, copyTags: required = false, tags: own = [] } = options;
  const described = await run.watch(`EC2 to describe ${snapshotId}`, 'service', () =>
    describeSnapshot(run, service, snapshotId, { required, decisive: true }),
  );
  const description = options.description ?? (described?.description || undefined);
  const tags = [...own];
  for (const [key, value] of Object.entries(required ? (described?.tags ?? {}) : {})) {
    const isOurs = /^aws:/i.test(key) || key === UPLOAD_MARKER_TAG.key;
    if (!isOurs && !own.some((tag) => tag.key === key)) tags.push({ key, value });
  }
  return { description, tags, sourceEncrypted: described?.encrypted === true };
}

async function readEarlier(journal: JournalLocation): Promise<Inherited | undefined> {
  const reading = await peekJournal(journal).read();
  if (reading.kind !== 'found' || !reading.sealed) return undefined;
  const { source, parameters } = reading.content as Partial<UploadJournal>;
  if (source !== journal.identity || typeof parameters !== 'string') return undefined;
  const { description, tags = [], sourceEncrypted } = JSON.parse(parameters) as Partial<Inherited>;
  return { description, tags, sourceEncrypted: sourceEncrypted === true };
}

/** @throws ColdsnapError class `usage` for tags that a snapshot cannot have */
export function copiedSnapshot(
  options: CopyOptions,
  { volumeSize }: Geometry,
  { description, tags, sourceEncrypted }: Inherited,
): NewSnapshot {
  const wanted = { ...withoutSource(options), description, tags, volumeSizeGiB: volumeSize / GIB };
  checkUploadOptions(wanted);
  const spec = newSnapshot(wanted, { stamp: undefined }, options.checkpoint !== false);
  return {
    ...spec,
    parameters: JSON.stringify({ ...(JSON.parse(spec.parameters) as object), sourceEncrypted }),
    // The source turns into blocks what has to be put.
    hasParent: false,
  };
}

/**
 * Where ranges of zeros have to be put: what the parent holds and the source does not, and what would read as random data.
 * @param baseBlocks blocks in the volume of the base; 0 without one
 * @param random whether what the copy does not list may read as something else than it does in the source
 */
export function zerosToPut(
  { volumeSize, blockSize }: Geometry,
  baseBlocks: number,
  random: boolean,
): { start: number; end: number } {
  return { start: 0, end: random ? volumeSize / blockSize : baseBlocks };
}
