/** Copies a snapshot to another region, account or key. */
import { destinationOf } from '../destination.ts';
import { slowest } from '../ebs/pacing.ts';
import { Service } from '../ebs/service.ts';
import { blockSizesDiffer, copyBusy, copyWarnings } from './copy-messages.ts';
import {
  checkCopyOptions,
  copiedSnapshot,
  copyJournal,
  inheritedFrom,
  openCopySource,
  zerosToPut,
} from './copy-plan.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { Journal } from './journal/journal.ts';
import { checkNamedJournal } from './journal/named.ts';
import type { UploadJournal } from './journal/upload.ts';
import { checkOptionTypes } from './option-types.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import { Run } from './run/run.ts';
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
  checkOptionTypes(options);
  checkCopyOptions(options);
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile);
    const source = new Service({ ...options, side: 'source' }, run.workers, run.meter.retry);
    try {
      return await copyFrom(run, source, options);
    } finally {
      source.close();
    }
  });
}

async function copyFrom(run: Run, sourceService: Service, options: CopyOptions): Promise<CopyResult> {
  const { snapshotId: sourceId, skipUnlisted = false } = options;
  let sink: SnapshotSink | undefined;
  let journal: Journal<UploadJournal> | undefined;
  const service: Service = new Service(
    { ...destinationOf(options, options.to), side: 'destination' },
    run.workers,
    (notice) => {
      sink?.noteRetry(notice);
      run.meter.retry(notice);
    },
  );
  try {
    const from = await run.connect(sourceService);
    const to = await run.connect(service);
    run.meter.pacer = slowest([from.pacer, to.pacer]);
    const { source, geometry, baseBlocks } = await sourceService.naming(() =>
      openCopySource(run, from, options),
    );
    if (options.checkpoint !== false)
      journal = new Journal(run, 'copy', copyJournal(options, from.identity, to.identity));
    await journal?.lock((lock) => copyBusy(sourceId, lock));
    const inherited = await inheritedFrom(run, sourceService, options, journal?.location);
    sink = new SnapshotSink(run, service, copiedSnapshot(options, geometry, inherited), journal);
    sink.label = `the destination region ${to.identity.region}`;
    // A snapshot does not change, so what was put is right.
    await sink.claim(to.identity, options.fresh === true, async () => true);
    const snapshot = await sink.open();
    const { snapshotId, blockSize } = snapshot;
    if (blockSize !== geometry.blockSize) throw blockSizesDiffer(geometry, blockSize);
    const sides = {
      source: { snapshotId: sourceId, region: from.identity.region },
      region: to.identity.region,
    };
    const bytesResumed = sink.blocks.done * blockSize;
    run.begin({ operation: 'copy', ...sides, snapshotId, ...geometry, bytesResumed });
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
    if (sink.status === 'pending') await copyBlocks(run, blocks, sink, geometry);
    else await sink.finish();
    const { status: last, resumed } = sink;
    const status = await waitUntilUsable(run, service, options, { snapshotId, status: last, resumed });
    const counted = { zerosSent: blocks.zerosSent, blocksSkipped: run.meter.bytesSkipped / blockSize };
    return { ...sides, snapshotId, status, ...geometry, ...counted, ...run.done(snapshotId) };
  } catch (error) {
    throw (await sink?.abandon(error)) ?? error;
  } finally {
    service.close();
    await journal?.release();
  }
}
