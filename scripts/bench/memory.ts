/** Peak memory by volume size: sparse volumes of 1 GiB … 64 TiB with the same number of blocks to fetch. */
import { existsSync, rmSync } from 'node:fs';
import type { Contender, Direction } from './contenders.ts';
import { BLOCKS_PER_GIB, layoutOf } from './layout.ts';
import type { ContenderKey } from './options.ts';
import { figure, markdownTable } from './report.ts';
import { runTransfer, type TransferPlan, type TransferRun } from './transfer.ts';
import { Volume } from './volume.ts';
import { say, type Workbench } from './workbench.ts';

export const SIZES_GIB = [1, 64, 1024, 16_384, 65_536];
/** tmpfs, because it allows sparse files of 64 TiB (ext4: 16). */
const TMPFS = '/dev/shm';

export interface MemoryResult {
  contender: ContenderKey;
  contenderTitle: string;
  volumeGib: number;
  run: TransferRun;
}

interface MemoryCase {
  contender: Contender;
  targets: number;
  /** One after another, with the same volumes. */
  directions: Direction[];
}

/** Each contender with one target; coldsnap also with several, and what only it does. */
function casesOf(contenders: Contender[]): MemoryCase[] {
  return contenders
    .filter(({ key }) => key !== 'reference')
    .flatMap((contender): MemoryCase[] => {
      if (contender.key !== 'fast') return [{ contender, targets: 1, directions: ['download'] }];
      return [
        { contender, targets: 1, directions: ['download', 'verify', 'incremental', 'since'] },
        { contender, targets: 3, directions: ['download'] },
        { contender, targets: 1, directions: ['copy'] },
      ];
    });
}

/** @param gib data to fetch from each volume, GiB */
export async function runMemory(
  bench: Workbench,
  contenders: Contender[],
  gib: number,
  workers: number,
): Promise<MemoryResult[]> {
  const results: MemoryResult[] = [];
  if (!existsSync(TMPFS)) throw new Error(`the memory scenario requires ${TMPFS}`);
  // At most the smallest volume.
  const listed = Math.min(BLOCKS_PER_GIB, Math.round(gib * BLOCKS_PER_GIB));
  for (const volumeGib of SIZES_GIB) {
    const layout = layoutOf(volumeGib, { every: Math.floor((volumeGib * BLOCKS_PER_GIB) / listed) });
    const server = await bench.startServer('tls', { layout });
    const volumeOf = (at: number) =>
      Volume.create(TMPFS, `coldsnap-bench-${process.pid}-${at}.img`, 0, false);
    for (const { contender, targets, directions } of casesOf(contenders)) {
      const volumes = Array.from({ length: targets }, (_, at) => volumeOf(at));
      const [volume, ...more] = volumes as [Volume, ...Volume[]];
      try {
        const where = { wire: 'tls' as const, layout, server, volume, more, workers };
        let holds: string | undefined;
        for (const direction of directions) {
          const plan: TransferPlan = { ...where, direction, ...(holds === undefined ? {} : { holds }) };
          const run = await runTransfer(bench, contender, plan);
          holds = plan.holds;
          const how =
            direction === 'download' ? (targets === 1 ? '' : `, ${targets} targets`) : `, ${direction}`;
          const contenderTitle = `${contender.title}${how}`;
          results.push({ contender: contender.key, contenderTitle, volumeGib, run });
          const problems = run.problems.join('; ');
          say(`memory  ${volumeGib} GiB  ${contenderTitle}: ${run.peakMib.toFixed(0)} MiB ${problems}`);
        }
      } finally {
        for (const { path } of volumes)
          for (const end of ['.partial', '.coldsnap-progress']) rmSync(`${path}${end}`, { force: true });
        for (const one of volumes) one.remove();
      }
    }
  }
  return results;
}

export function sizeText(gib: number): string {
  return gib >= 1024 ? `${gib / 1024} TiB` : `${gib} GiB`;
}

export function memoryTable(results: MemoryResult[]): string {
  const titles = [...new Set(results.map((one) => one.contenderTitle))];
  const cell = (title: string, gib: number) => {
    const result = results.find((one) => one.contenderTitle === title && one.volumeGib === gib);
    const wrong = result !== undefined && result.run.problems.length > 0;
    return `${figure(result?.run.peakMib, 0)}${wrong ? ' WRONG' : ''}`;
  };
  const rows = titles.map((title) => [title, ...SIZES_GIB.map((gib) => cell(title, gib))]);
  return markdownTable(['peak MiB, sparse volume of', ...SIZES_GIB.map(sizeText)], rows);
}
