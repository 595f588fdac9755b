/** Copies a snapshot to another region, account or key. */
import { slowest } from '../ebs/pacing.ts';
import { blockSizesDiffer, copyBusy, copyWarnings } from './copy-messages.ts';
import {
  checkParent,
  copiedSnapshot,
  copyJournal,
  inheritedFrom,
  warnIfUnchanged,
  zerosToPut,
} from './copy-plan.ts';
import { type CopySides, runBetween } from './copy-sides.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { RangeSet } from './engine/range-set.ts';
import { Journal } from './journal/journal.ts';
import type { UploadJournal } from './journal/upload.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import type { Run } from './run/run.ts';
import { waitUntilUsable } from './snapshot/complete.ts';
import { isEncrypted } from './snapshot/request.ts';
import { SnapshotSink } from './snapshot/snapshot-sink.ts';
import { CopiedBlocks } from './sources/copied-blocks.ts';

/**
 * Copies a snapshot, block by block through memory: to another region or account, or with another key. Each block's checksum
 * is verified when it arrives, and is the checksum that is sent. Blocks that the source does not list stay unlisted, unless
 * they would read as random data: see `skipUnlisted`. With `since` and `parentSnapshotId` only changes are sent.
 *
 * The event `snapshot` carries the ID as soon as the copy exists. An interrupted copy resumes when it is called again with
 * the same options.
 *
 * @throws ColdsnapError class `usage` when the copy would not differ from the source; else its `class` says what kind of failure
 *   it is, and its message names the side. A warning names the snapshot that remains at the destination
 */
export async function copySnapshot(options: CopyOptions): Promise<CopyResult> {
  return runBetween(options, copyBetween);
}

async function copyBetween(run: Run, sides: CopySides, options: CopyOptions): Promise<CopyResult> {
  const { snapshotId: sourceId, skipUnlisted = false } = options;
  let sink: SnapshotSink | undefined;
  let journal: Journal<UploadJournal> | undefined;
  const { sourceService, service } = sides;
  try {
    const { from, to, source, geometry, baseBlocks } = await sides.open();
    run.meter.pacer = slowest([from.pacer, to.pacer]);
    if (options.checkpoint !== false)
      journal = new Journal(run, 'copy', copyJournal(options, from.identity, to.identity));
    await journal?.lock((lock) => copyBusy(sourceId, lock));
    warnIfUnchanged(run, options, from.identity, to.identity);
    const baseSize = baseBlocks * geometry.blockSize;
    await checkParent(run, { service, to }, options, {
      volumeSize: geometry.volumeSize,
      baseSize,
      required: false,
    });
    const inherited = await inheritedFrom(run, sourceService, options, journal?.location);
    sink = new SnapshotSink(run, service, copiedSnapshot(options, geometry, inherited), journal);
    sides.onRetry = sink.lostReplies.note;
    sink.label = `the destination region ${to.identity.region}`;
    // A snapshot does not change, so what was put is right.
    const resumes = await sink.claim(to.identity, options.fresh === true, async () => true);
    if (!resumes) await sourceService.naming(() => source.readFirst(new RangeSet()));
    const snapshot = await sink.open();
    const { snapshotId, blockSize } = snapshot;
    if (blockSize !== geometry.blockSize) throw blockSizesDiffer(geometry, blockSize);
    const regions = {
      source: { snapshotId: sourceId, region: from.identity.region },
      region: to.identity.region,
    };
    const bytesResumed = sink.blocks.done * blockSize;
    run.begin({ operation: 'copy', ...regions, snapshotId, ...geometry, bytesResumed });
    const mayDiffer = geometry.volumeSize > baseBlocks * blockSize;
    const random = mayDiffer && isEncrypted(options, snapshot) && !inherited.sourceEncrypted;
    if (random) run.warn(...copyWarnings[skipUnlisted ? 'zerosNotSent' : 'zerosSent'](snapshotId, sourceId));
    const all = random && !skipUnlisted && 'transferAll' in source;
    if (all) source.transferAll();
    const blocks = new CopiedBlocks(run, source, geometry, {
      label: `the source region ${from.identity.region}`,
      naming: (work) => sourceService.naming(work),
      zeros: zerosToPut(geometry, baseBlocks, random && !skipUnlisted),
      zerosPlanned: all,
    });
    if (!sink.state.accepted) await copyBlocks(run, blocks, sink, geometry);
    else await sink.finish();
    const { status: last, resumed } = sink.state;
    const status = await waitUntilUsable(run, service, options, { snapshotId, status: last, resumed });
    const counted = { zerosSent: blocks.zerosSent, blocksSkipped: run.meter.bytesSkipped / blockSize };
    const result = { ...regions, snapshotId, status, ...geometry, ...counted, ...run.done(snapshotId) };
    await run.report(result, options);
    await sink.forget();
    return result;
  } catch (error) {
    throw (await sink?.abandon(error)) ?? error;
  } finally {
    await journal?.release();
  }
}
