/** Statistics, reports and option checks of the bench. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { parseOptions, UsageError } from '../../scripts/bench/options.ts';
import { plotSvg, tickStep } from '../../scripts/bench/plot.ts';
import { problemList, transferTable } from '../../scripts/bench/report.ts';
import type { TransferResult } from '../../scripts/bench/scenarios.ts';
import { median, pairedRatio } from '../../scripts/bench/statistics.ts';
import type { TransferRun } from '../../scripts/bench/transfer.ts';

function run(cpuS: number, problems: string[] = []): TransferRun {
  const rest = { userS: cpuS, sysS: 0, wallS: 2, peakMib: 100, switches: 0, firstBlockS: 0, blocksPerS: 0 };
  return { cpuS, problems, ...rest };
}

function result(contender: TransferResult['contender'], runs: TransferRun[]): TransferResult {
  const about = { scenario: 'download', title: 'download', wire: 'tls' as const, workers: 64, gib: 1 };
  return { ...about, contender, contenderTitle: contender, runs };
}

test('The median of an even number of values is the mean of the middle two', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([5, 1, 3]), 3);
  assert.ok(Number.isNaN(median([])));
});

test('A ratio is the median over the rounds, so a round that is slow for both does not change it', () => {
  assert.equal(pairedRatio([1, 10, 1], [2, 20, 2]), 0.5);
  assert.equal(pairedRatio([1, undefined, 3], [2, 20, undefined]), 0.5);
  assert.equal(pairedRatio([1], undefined), undefined);
});

test('A failed run gives no figure and is listed', () => {
  const results = [result('fast', [run(1), run(9, ['7 blocks wrong'])]), result('peer', [run(2), run(2)])];
  const [, , fast] = transferTable(results).split('\n');
  assert.match(fast ?? '', /\*\*1\.00\*\* .* 0\.50 .* 1 of 2 WRONG/);
  assert.match(problemList(results) ?? '', /fast, round 2: 7 blocks wrong/);
});

test('A table of failed runs has no figures', () => {
  assert.match(transferTable([result('sdk', [run(1, ['exit 1'])])]), /\| sdk \| – \|/);
});

test('The plot has one line and one legend entry for each series, and its text is escaped', () => {
  const series = (name: string) => ({ name, points: [1, 2, 256].map((x): [number, number] => [x, x]) });
  const svg = plotSvg([{ title: 'a < b', series: [series('one'), series('two')] }], 'workers');
  assert.equal(svg.match(/fill="none"/g)?.length, 2);
  assert.equal(svg.match(/<circle/g)?.length, 6);
  assert.match(svg, />a &lt; b</);
  assert.match(svg, />256</);
});

test('Axis steps are round and reach the largest value', () => {
  assert.equal(tickStep(4.9), 1);
  assert.equal(tickStep(8.5), 2);
  assert.equal(tickStep(500), 100);
  assert.equal(tickStep(0), 1);
});

test('An invalid option is rejected by name', () => {
  for (const [argv, name] of [
    [['--gib', '0'], /--gib 0/],
    [['--rounds', '1.5'], /--rounds 1\.5/],
    [['--scenarios', 'downlod'], /downlod: not one of/],
    [['--contenders', 'peer'], /requires --peer/],
    [['--colour'], /--colour/],
  ] as const) {
    assert.throws(
      () => parseOptions([...argv]),
      (error) => error instanceof UsageError && name.test(error.message),
    );
  }
});

test('Without a peer the others are measured, and quick runs are small', () => {
  const options = parseOptions(['--quick', '--sweep', '--wire', 'both']);
  assert.deepEqual(options?.contenders, ['fast', 'sdk', 'reference']);
  assert.deepEqual(options?.scenarios, ['download', 'upload', 'sweep']);
  assert.deepEqual(options?.wires, ['tls', 'plain']);
  assert.equal(options?.gib, 0.25);
  assert.equal(parseOptions(['--help']), undefined);
});
