/** Tells what a snapshot holds, from its list of blocks and from EC2. */
import type { BlockReference } from '../ebs/api.ts';
import { listBlocks } from '../ebs/list/block-list.ts';
import type { CheckedPage } from '../ebs/list/pages.ts';
import { type EbsConnection, Service } from '../ebs/service.ts';
import type { Geometry } from '../geometry.ts';
import { readLayout } from '../image/layout/layout.ts';
import { costOfReading } from './cost.ts';
import { BlockMap, blockRuns, byteRange, checkMapCells, watchedPages } from './inspect.ts';
import { noList } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { InfoOptions, InfoResult } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { blockBytes } from './snapshot/block-bytes.ts';
import { describeSnapshot } from './snapshot/describe.ts';
import { warnings } from './warnings.ts';

/**
 * Tells what a snapshot holds and what a download of it costs. Lists its blocks, and describes it in EC2 where that is
 * permitted. Memory does not depend on the size of the volume.
 *
 * @throws ColdsnapError class `usage` for a malformed ID, and whatever listing fails with. A failure of EC2 is only a
 *   warning.
 */
export async function snapshotInfo(options: InfoOptions): Promise<InfoResult> {
  options = takeOptions(options);
  const snapshotId = readableSnapshotId(options.snapshotId);
  checkMapCells(options.mapCells);
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  return run.carryOut(async () => {
    try {
      const ebs = await run.connect(service);
      // EC2 is asked beside the list, once that shows that the snapshot exists.
      let described: Promise<Described> | undefined;
      const listed = await list(run, ebs, options, () => {
        described = describe(run, service, snapshotId);
        described.catch(() => {});
      });
      return { snapshotId, ...listed, ...(await described) };
    } finally {
      service.close();
    }
  });
}

async function list(
  run: Run,
  ebs: EbsConnection,
  { snapshotId, mapCells, onRange, readLayout: wantsLayout = false }: InfoOptions,
  onFirst: () => void,
): Promise<Omit<InfoResult, 'snapshotId'>> {
  let first: CheckedPage<BlockReference> | undefined;
  let map: BlockMap | undefined;
  const all = listBlocks(ebs.api, snapshotId, {
    signal: run.signal,
    onUnordered: () => run.warn(...warnings.listUnordered(snapshotId)),
  });
  const pages = watchedPages(run, snapshotId, all, (page) => {
    first = page;
    if (mapCells !== undefined) map = new BlockMap(mapCells, page);
    onFirst();
  });
  let blocks = 0;
  let ranges = 0;
  for await (const found of blockRuns(run, pages, () => 'present')) {
    blocks += found.end - found.start;
    ranges++;
    map?.add(found);
    await run.callBack(onRange?.(byteRange(found, first!)));
  }
  if (first === undefined) throw noList(snapshotId);
  const { volumeSize, blockSize }: Geometry = first;
  const layout = wantsLayout ? await layoutOf(run, ebs, snapshotId, first) : undefined;
  return {
    volumeSize,
    blockSize,
    blocks,
    bytes: blocks * blockSize,
    ranges,
    cost: costOfReading(blocks),
    ...(map === undefined ? {} : { map: map.shares() }),
    ...(layout === undefined ? {} : { layout }),
  };
}

async function layoutOf(
  run: Run,
  ebs: EbsConnection,
  snapshotId: string,
  first: CheckedPage<BlockReference>,
): Promise<InfoResult['layout']> {
  try {
    return await readLayout(blockBytes(run, ebs.reader(snapshotId, run.signal), first));
  } catch (error) {
    if (run.signal.aborted) throw error;
    run.warn(...warnings.layoutNotRead(snapshotId, error));
    return undefined;
  }
}

type Described = Pick<InfoResult, 'state' | 'encrypted' | 'description' | 'tags' | 'startTime'>;

async function describe(run: Run, service: Service, snapshotId: string): Promise<Described> {
  const found = await describeSnapshot(run, service, snapshotId);
  if (found === undefined) return {};
  const { state, encrypted, description, tags, startTime } = found;
  return { state, encrypted, description, tags, startTime };
}
