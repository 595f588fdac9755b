/** Plots the sweep over the number of workers. */
import { type Panel, plotSvg, type Series } from './plot.ts';
import { goodRuns } from './report.ts';
import type { TransferResult } from './scenarios.ts';
import { median } from './statistics.ts';
import type { TransferRun } from './transfer.ts';

/** CPU and throughput of each contender by number of workers; undefined if no sweep was run. */
export function sweepPlot(results: TransferResult[]): string | undefined {
  // Only the first wire is plotted.
  const sweep = results.filter((one) => one.scenario === 'sweep' && one.wire === results[0]?.wire);
  if (sweep.length === 0) return undefined;
  const titles = [...new Set(sweep.map((one) => one.contenderTitle))];
  const panel = (title: string, of: (run: TransferRun, gib: number) => number): Panel => ({
    title,
    series: titles.map((name): Series => {
      const mine = sweep.filter((one) => one.contenderTitle === name && goodRuns(one).length > 0);
      const points = mine.map((one): [number, number] => [
        one.workers,
        median(goodRuns(one).map((run) => of(run, one.gib))),
      ]);
      return { name, points: points.sort(([a], [b]) => a - b) };
    }),
  });
  const panels = [
    panel('CPU, s/GiB', (run, gib) => run.cpuS / gib),
    panel('throughput, MiB/s', (run, gib) => (gib * 1024) / run.wallS),
  ];
  return plotSvg(panels, 'workers');
}
