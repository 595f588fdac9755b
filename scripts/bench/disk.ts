/** Measures the page cache used by a download and how often it writes each byte. Not timed, because measuring adds load. */
import { closeSync, openSync } from 'node:fs';
import type { Contender } from './contenders.ts';
import { layoutOf, SOURCE_SNAPSHOT } from './layout.ts';
import type { ContenderKey } from './options.ts';
import { figure, markdownTable } from './report.ts';
import { gibMoved, runTransfer } from './transfer.ts';
import { say, type Workbench } from './workbench.ts';

export interface DiskResult {
  contender: ContenderKey;
  contenderTitle: string;
  cachedMib: number;
  /** Undefined if the target is a file: the kernel counts per device. */
  writtenRatio: number | undefined;
  problems: string[];
}

export async function runDisk(
  bench: Workbench,
  contenders: Contender[],
  gib: number,
  workers: number,
): Promise<DiskResult[]> {
  // Whole GiB, because the kernel also counts the zeroing of the rest of a larger volume.
  const layout = layoutOf(Math.ceil(gib));
  const server = await bench.startServer('tls', { layout });
  const volume = bench.createVolume('disk.img', layout.volumeGib * 2 ** 30);
  volume.fill(SOURCE_SNAPSHOT, layout);
  const results: DiskResult[] = [];
  for (const contender of contenders) {
    const before = volume.bytesWritten();
    // The last close of a device empties its page cache, so this descriptor stays open until after the run.
    const holder = openSync(volume.path, 'r');
    const cachedBefore = volume.cachedBytes();
    let cached = 0;
    const plan = { direction: 'download' as const, wire: 'tls' as const, layout, server, volume, workers };
    const afterRun = () => {
      cached = volume.cachedBytes() - cachedBefore;
    };
    try {
      const { problems } = await runTransfer(bench, contender, { ...plan, afterRun });
      const after = volume.bytesWritten();
      const writtenRatio =
        before === undefined || after === undefined
          ? undefined
          : (after - before) / (gibMoved(layout) * 2 ** 30);
      const who = { contender: contender.key, contenderTitle: contender.title };
      results.push({ ...who, cachedMib: cached / 2 ** 20, writtenRatio, problems });
      say(
        `disk  ${contender.title}: ${(cached / 2 ** 20).toFixed(0)} MiB cached, × ${figure(writtenRatio, 3)}`,
      );
    } finally {
      closeSync(holder);
    }
  }
  return results;
}

export function diskTable(results: DiskResult[]): string {
  const rows = results.map((one) => [
    one.contenderTitle,
    figure(one.writtenRatio, 3),
    figure(one.cachedMib, 0),
    one.problems.length === 0 ? 'right' : 'WRONG',
  ]);
  return markdownTable(['tool', 'written ÷ needed', 'page cache, MiB', 'contents'], rows);
}
