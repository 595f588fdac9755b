/** The two services of a copy, and what it reads. */
import { destinationOf } from '../destination.ts';
import type { RetryNotice } from '../ebs/retry.ts';
import { type EbsConnection, Service } from '../ebs/service.ts';
import type { Geometry } from '../geometry.ts';
import { checkCopyOptions } from './copy-plan.ts';
import { checkNamedJournal } from './journal/named.ts';
import { takeOptions } from './option-types.ts';
import type { CopyOptions } from './options.ts';
import { Run } from './run/run.ts';
import { ChangedBlocks } from './sources/changed-blocks.ts';
import { SnapshotBlocks } from './sources/snapshot-blocks.ts';

interface CopySource {
  readonly source: SnapshotBlocks | ChangedBlocks;
  readonly geometry: Geometry;
  /** Blocks in the volume of the base; 0 without one. */
  readonly baseBlocks: number;
}

interface Opened extends CopySource {
  readonly from: EbsConnection;
  readonly to: EbsConnection;
}

/**
 * Calls `work` in a run with both sides, which are closed at its end.
 * @throws ColdsnapError class `usage` for options that no copy can have
 */
export async function runBetween<T>(
  options: CopyOptions,
  work: (run: Run, sides: CopySides, options: CopyOptions) => Promise<T>,
): Promise<T> {
  options = takeOptions(options);
  checkCopyOptions(options);
  const run = new Run(options);
  return run.carryOut(async () => {
    await checkNamedJournal(options.checkpointFile, 'upload');
    const sides = new CopySides(run, options);
    try {
      return await work(run, sides, options);
    } finally {
      sides.close();
    }
  });
}

export class CopySides {
  /** Where the copy is read from. */
  readonly sourceService: Service;
  /** Where it is made. */
  readonly service: Service;
  /** Called when a request to the destination is repeated. */
  onRetry: ((notice: RetryNotice) => void) | undefined;
  readonly #run: Run;
  readonly #options: CopyOptions;

  constructor(run: Run, options: CopyOptions) {
    const { workers, meter } = run;
    this.#run = run;
    this.#options = options;
    this.sourceService = new Service({ ...options, side: 'source' }, workers, meter.retry);
    const destination = { ...destinationOf(options, options.to), side: 'destination' } as const;
    this.service = new Service(destination, workers, (notice) => {
      this.onRetry?.(notice);
      meter.retry(notice);
    });
  }

  /** Connects to both, and lists the first page of the source, or of its changes. */
  async open(): Promise<Opened> {
    const from = await this.#run.connect(this.sourceService);
    const to = await this.#run.connect(this.service);
    const opened = await this.sourceService.naming(() => openSource(this.#run, from, this.#options));
    return { from, to, ...opened };
  }

  close(): void {
    this.sourceService.close();
    this.service.close();
  }
}

async function openSource(
  run: Run,
  ebs: EbsConnection,
  { snapshotId, since: baseId }: CopyOptions,
): Promise<CopySource> {
  if (baseId === undefined) {
    const source = await SnapshotBlocks.open(run, ebs, snapshotId);
    return { source, geometry: source.geometry, baseBlocks: 0 };
  }
  const source = await ChangedBlocks.open(run, ebs, { baseId, snapshotId });
  const { geometry, baseGeometry } = source;
  return { source, geometry, baseBlocks: baseGeometry.volumeSize / baseGeometry.blockSize };
}
