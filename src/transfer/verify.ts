/** Compares an image with a snapshot. */
import { Service } from '../ebs/service.ts';
import { GIB, MAX_VOLUME_GIB } from '../geometry.ts';
import { holdErrors } from '../image/early-errors.ts';
import { openSource } from '../image/open-source.ts';
import type { ImageSource } from '../image/source.ts';
import { copyBlocks } from './engine/copy-blocks.ts';
import { OutsideSample } from './engine/sample.ts';
import { imageTooShort } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { VerifyOptions, VerifyResult } from './options.ts';
import { checkSample, readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { checkFinished } from './run/unfinished-source.ts';
import { CompareSink } from './sinks/compare-sink.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';
import { warnings } from './warnings.ts';

/** More than the largest volume, to notice that a stream is longer. */
const MAX_STREAM_BYTES = MAX_VOLUME_GIB * GIB + 1;

/**
 * Compares a file, block device or stream with a snapshot: every listed block is fetched and checked against its SHA-256,
 * and the rest must read as zeros. Only reads: a device may be mounted read-only. Bytes beyond the volume are not compared.
 *
 * Resolves also when they differ: see `equal`.
 *
 * @throws ColdsnapError class `integrity`, code `IMAGE_TOO_SHORT`, for an image smaller than the volume, before any block is
 *   fetched (for a stream, when it ends); class `refused` for a device that may be written meanwhile
 */
export async function verifySnapshot(options: VerifyOptions): Promise<VerifyResult> {
  options = takeOptions(options, 'target');
  const snapshotId = readableSnapshotId(options.snapshotId);
  const skipped = new OutsideSample(checkSample(options.samplePercent));
  const run = new Run(options);
  holdErrors(options.target);
  return run.carryOut(async () => {
    const image = await openSource(options.target, {
      signal: run.signal,
      format: 'raw',
      role: 'target',
      streamSize: MAX_STREAM_BYTES,
    });
    try {
      return await compare(run, image, { ...options, snapshotId }, skipped);
    } finally {
      await image.close();
    }
  });
}

async function compare(
  run: Run,
  image: ImageSource,
  options: VerifyOptions,
  skipped: OutsideSample,
): Promise<VerifyResult> {
  const { snapshotId, skipUnlisted = false } = options;
  for (const warning of image.warnings) run.warn(...warning);
  await checkFinished(run, image, true);
  const service = new Service(options, run.workers, run.meter.retry);
  try {
    const source = await SnapshotBlocks.open(run, await run.connect(service), snapshotId);
    const { geometry } = source;
    const { volumeSize, blockSize } = geometry;
    if (image.sizeBytes < volumeSize) throw imageTooShort(image.label, image.sizeBytes, volumeSize);
    const sink = new CompareSink(run, image, geometry, { skipped, skipZeros: skipUnlisted });
    run.begin(
      { operation: 'verify', snapshotId, path: image.path, ...geometry, bytesResumed: 0 },
      skipped.sampledBelow(volumeSize / blockSize) * blockSize,
    );
    await copyBlocks(run, source, sink, geometry);
    const { differences, bytesCompared, zerosDiffer } = sink;
    if (sink.imageIsLonger) run.warn(...warnings.largerThanVolume(image.label, volumeSize));
    return {
      snapshotId,
      equal: differences.total === 0,
      ...geometry,
      bytesCompared,
      differences: differences.first,
      differencesTotal: differences.total,
      differsUnlisted: zerosDiffer,
      ...run.done(snapshotId),
    };
  } finally {
    service.close();
  }
}
