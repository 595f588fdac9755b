/** Compares two snapshots of one volume by the list of blocks that differ. */
import type { ChangedBlock } from '../ebs/api.ts';
import { listBlocks, listChangedBlocks } from '../ebs/list/block-list.ts';
import type { CheckedPage, ListEntry } from '../ebs/list/pages.ts';
import { type EbsConnection, Service } from '../ebs/service.ts';
import { costOfReading } from './cost.ts';
import { BlockMap, blockRuns, byteRange, checkMapCells, watchedPages } from './inspect.ts';
import { noList } from './messages.ts';
import { takeOptions } from './option-types.ts';
import type { BlockCount, DiffOptions, DiffResult } from './reports.ts';
import { readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { warnings } from './warnings.ts';

/**
 * Compares two snapshots of one volume, in either order. Only lists: no block is read, so blocks with the same contents that
 * were written again count as changed. Memory does not depend on the size of the volume.
 *
 * @throws ColdsnapError class `usage` for a malformed ID, code `UNRELATED_SNAPSHOTS` for snapshots of different volumes,
 *   and whatever listing fails with
 */
export async function diffSnapshots(options: DiffOptions): Promise<DiffResult> {
  options = takeOptions(options);
  const ids = { first: readableSnapshotId(options.first), second: readableSnapshotId(options.second) };
  checkMapCells(options.mapCells);
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  return run.carryOut(async () => {
    try {
      return { ...ids, ...(await compare(run, await run.connect(service), options)) };
    } finally {
      service.close();
    }
  });
}

type Kind = 'changed' | 'added' | 'gone';

function kindOf({ firstBlockToken, secondBlockToken }: ChangedBlock): Kind {
  if (secondBlockToken === undefined) return 'gone';
  return firstBlockToken === undefined ? 'added' : 'changed';
}

async function compare(
  run: Run,
  ebs: EbsConnection,
  { first, second, mapCells, onRange }: DiffOptions,
): Promise<Omit<DiffResult, 'first' | 'second'>> {
  let volume: CheckedPage<ListEntry> | undefined;
  let map: BlockMap | undefined;
  const pages = watchedPages(run, second, changedPages(run, ebs, first, second), (page) => {
    volume = page;
    if (mapCells !== undefined) map = new BlockMap(mapCells, page);
  });
  const counts: Record<Kind, number> = { changed: 0, added: 0, gone: 0 };
  const counted = (entry: ChangedBlock) => {
    const kind = kindOf(entry);
    counts[kind]++;
    return kind === 'gone' ? 'gone' : 'changed';
  };
  for await (const found of blockRuns(run, pages, counted)) {
    map?.add(found);
    await run.callBack(onRange?.(found.kind, byteRange(found, volume!)));
  }
  if (volume === undefined) throw noList(second);
  const { volumeSize, blockSize } = volume;
  const count = (blocks: number): BlockCount => ({ blocks, bytes: blocks * blockSize });
  const { changed, added, gone } = counts;
  return {
    volumeSize,
    blockSize,
    changed: count(changed),
    added: count(added),
    gone: count(gone),
    cost: costOfReading(changed + added, changed + added + gone),
    ...(map === undefined ? {} : { map: map.shares() }),
  };
}

/** The pages of changed blocks. The service compares no snapshot with itself, which differs in nothing. */
async function* changedPages(
  run: Run,
  ebs: EbsConnection,
  first: string,
  second: string,
): AsyncGenerator<CheckedPage<ChangedBlock>, void, undefined> {
  const { signal } = run;
  const onUnordered = () => run.warn(...warnings.listUnordered(second));
  if (first !== second) {
    yield* listChangedBlocks(ebs.api, first, second, { signal, onUnordered });
    return;
  }
  for await (const page of listBlocks(ebs.api, second, { signal, below: 0 })) {
    yield { ...page, entries: [] };
  }
}
