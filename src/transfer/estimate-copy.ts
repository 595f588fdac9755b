/** Dry run of a copy: everything that it does before it starts a snapshot, then what it would do and cost. */
import type { EbsConnection, Service } from '../ebs/service.ts';
import { copyBusy } from './copy-messages.ts';
import {
  checkParent,
  copiedSnapshot,
  copyJournal,
  inheritedFrom,
  warnIfUnchanged,
  zerosToPut,
} from './copy-plan.ts';
import { type CopySides, runBetween } from './copy-sides.ts';
import { costOfCopying } from './cost.ts';
import type { Step } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import { countBlocks } from './estimate.ts';
import { peekJournal } from './journal/journal.ts';
import { isLocked, lockOf } from './journal/lock.ts';
import { findUploadJournal, type UploadJournal } from './journal/upload.ts';
import type { CopyOptions } from './options.ts';
import type { DryRun } from './reports.ts';
import type { Run } from './run/run.ts';
import { describeSnapshot } from './snapshot/describe.ts';
import { asksForEncryption } from './snapshot/request.ts';
import { chooseJournal } from './snapshot/resume.ts';
import { warnings } from './warnings.ts';

/**
 * Tells what {@link copySnapshot} would do with the same options. Connects to both sides and lists blocks of the source;
 * starts no snapshot, reads and sends no block and writes no journal. Encryption by default at the destination is not known
 * before a snapshot is started: zeros that it would require are not counted.
 *
 * @throws ColdsnapError what the copy would throw before it starts a snapshot
 */
export async function estimateCopy(options: CopyOptions): Promise<DryRun> {
  return runBetween(options, estimate);
}

async function estimate(run: Run, sides: CopySides, options: CopyOptions): Promise<DryRun> {
  const { snapshotId: sourceId, parentSnapshotId, skipUnlisted = false } = options;
  const { sourceService, service } = sides;
  const { from, to, source, geometry, baseBlocks } = await sides.open();
  warnIfUnchanged(run, options, from.identity, to.identity);
  const baseSize = baseBlocks * geometry.blockSize;
  await checkParent(run, { service, to }, options, {
    volumeSize: geometry.volumeSize,
    baseSize,
    required: true,
  });
  const location = copyJournal(options, from.identity, to.identity);
  const journalled = options.checkpoint !== false;
  if (journalled && (await isLocked(location.path))) throw copyBusy(sourceId, lockOf(location.path));
  const inherited = await inheritedFrom(run, sourceService, options, journalled ? location : undefined);
  const { parameters } = copiedSnapshot(options, geometry, inherited);
  const earlier = journalled ? await earlierCopy(run, location, to, options, parameters) : undefined;
  const larger = geometry.volumeSize > baseBlocks * geometry.blockSize;
  const encrypted =
    asksForEncryption(options) ||
    (larger && parentSnapshotId !== undefined && (await mayBeEncrypted(run, service, parentSnapshotId)));
  const putsAll = encrypted && !inherited.sourceEncrypted && !skipUnlisted;
  const done = new RangeSet(earlier?.done);
  const zeros = zerosToPut(geometry, baseBlocks, putsAll);
  let gets = 0;
  const toSend = async function* (): AsyncGenerator<Step> {
    for await (const step of source.steps(done)) {
      if (step.kind === 'block') gets++;
      if (step.kind !== 'zeros') yield step;
      else yield { ...step, start: Math.max(step.start, zeros.start), end: Math.min(step.end, zeros.end) };
    }
  };
  const blocks = await countBlocks(run, toSend(), geometry, true);
  return {
    dryRun: true,
    operation: 'copy',
    source: { snapshotId: sourceId, region: from.identity.region },
    region: to.identity.region,
    ...(earlier === undefined || earlier.snapshotId === '' ? {} : { snapshotId: earlier.snapshotId }),
    volumeSize: geometry.volumeSize,
    blocks,
    bytes: blocks * geometry.blockSize,
    ...costOfCopying(gets, blocks),
    bytesResumed: done.size * geometry.blockSize,
  };
}

/** A child is encrypted as its parent is. */
async function mayBeEncrypted(run: Run, service: Service, parentId: string): Promise<boolean> {
  const parent = await run.watch(`EC2 to describe ${parentId}`, 'service', () =>
    describeSnapshot(run, service, parentId),
  );
  return parent?.encrypted !== false;
}

async function earlierCopy(
  run: Run,
  location: { readonly path: string; readonly identity: string },
  { identity: service }: EbsConnection,
  { fresh = false }: CopyOptions,
  parameters: string,
): Promise<UploadJournal | undefined> {
  const found = await findUploadJournal(peekJournal(location), parameters);
  const chosen = await chooseJournal(found, {
    service,
    fresh,
    prove: async () => true,
    onDiscarded: (reason, earlier) => run.warn(...warnings.ignoringUploadJournal(reason, earlier)),
  });
  return chosen.kind === 'usable' ? chosen.journal : undefined;
}
