/** Formats the figures as Markdown tables. */
import type { ContenderKey } from './options.ts';
import type { TransferResult } from './scenarios.ts';
import { median, pairedRatio } from './statistics.ts';
import type { TransferRun } from './transfer.ts';

/** @param words number of leading columns that hold words */
export function markdownTable(head: string[], rows: string[][], words = 1): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column < words ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** A figure, or a dash. */
export function figure(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(digits);
}

/** The runs without problems: only these give figures. */
export function goodRuns(result: TransferResult): TransferRun[] {
  return result.runs.filter((run) => run.problems.length === 0);
}

/** CPU s/GiB of each round; undefined for a failed run. */
function cpuByRound(result: TransferResult): (number | undefined)[] {
  return result.runs.map((run) => (run.problems.length === 0 ? run.cpuS / result.gib : undefined));
}

function other(results: TransferResult[], like: TransferResult, change: Partial<TransferResult>) {
  const wanted = {
    scenario: like.scenario,
    wire: like.wire,
    workers: like.workers,
    contender: like.contender,
    ...change,
  };
  return results.find(
    (one) =>
      one.scenario === wanted.scenario &&
      one.wire === wanted.wire &&
      one.workers === wanted.workers &&
      one.contender === wanted.contender,
  );
}

function ratioTo(results: TransferResult[], result: TransferResult, contender: ContenderKey): string {
  if (contender === result.contender) return '';
  const base = other(results, result, { contender });
  return figure(pairedRatio(cpuByRound(result), base && cpuByRound(base)), 2);
}

function transferRow(results: TransferResult[], result: TransferResult): string[] {
  const runs = goodRuns(result);
  const perGib = runs.map((run) => run.cpuS / result.gib);
  const of = (pick: (run: TransferRun) => number) => median(runs.map(pick));
  const range =
    runs.length > 1 ? ` (${figure(Math.min(...perGib), 2)}–${figure(Math.max(...perGib), 2)})` : '';
  const bad = result.runs.length - runs.length;
  return [
    `${result.title}, ${result.wire === 'tls' ? 'TLS' : 'plain'}`,
    result.contenderTitle,
    runs.length === 0 ? '–' : `**${figure(median(perGib), 2)}**${range}`,
    figure(
      of((run) => run.userS / result.gib),
      2,
    ),
    figure(
      of((run) => run.sysS / result.gib),
      2,
    ),
    figure(
      of((run) => (result.gib * 1024) / run.wallS),
      0,
    ),
    runs.length === 0 ? '–' : figure(Math.max(...runs.map((run) => run.peakMib)), 0),
    ratioTo(results, result, 'peer'),
    ratioTo(results, result, 'reference'),
    bad === 0 ? 'right' : `${bad} of ${result.runs.length} WRONG`,
  ];
}

export function transferTable(results: TransferResult[]): string {
  const head = [
    '',
    'tool',
    'CPU s/GiB (min–max)',
    'user',
    'sys',
    'MiB/s',
    'peak MiB',
    '÷ peer',
    '÷ reference',
    'contents',
  ];
  return markdownTable(
    head,
    results.map((result) => transferRow(results, result)),
    2,
  );
}

/** CPU of some cases relative to the same tool's full download; undefined if they were not run. */
export function relativeTable(results: TransferResult[]): string | undefined {
  const rows: string[][] = [];
  for (const result of results) {
    if (!['zeros90', 'sparse90', 'fanout'].includes(result.scenario)) continue;
    const full = other(results, result, { scenario: 'download' });
    const ratio = pairedRatio(cpuByRound(result), full && cpuByRound(full));
    rows.push([`${result.title}, ${result.wire}`, result.contenderTitle, figure(ratio, 2)]);
  }
  return rows.length === 0 ? undefined : markdownTable(['', 'tool', 'CPU ÷ full download'], rows, 2);
}

/** Cores used at the service's ceiling; undefined if it was not run. */
export function ceilingTable(results: TransferResult[]): string | undefined {
  const rows: string[][] = [];
  for (const result of results) {
    if (!result.scenario.endsWith('-ceiling')) continue;
    const runs = goodRuns(result);
    const cores = median(runs.map((run) => run.cpuS / run.wallS));
    const rate = median(runs.map((run) => run.blocksPerS));
    rows.push([`${result.title}, ${result.wire}`, result.contenderTitle, figure(rate, 0), figure(cores, 2)]);
  }
  return rows.length === 0 ? undefined : markdownTable(['', 'tool', 'blocks/s', 'cores'], rows, 2);
}

/** One line for each failed run. */
export function problemList(results: TransferResult[]): string | undefined {
  const lines = results.flatMap((result) =>
    result.runs.flatMap((run, round) =>
      run.problems.map(
        (problem) =>
          `- ${result.title}, ${result.wire}, ${result.contenderTitle}, round ${round + 1}: ${problem}`,
      ),
    ),
  );
  return lines.length === 0 ? undefined : lines.join('\n');
}
