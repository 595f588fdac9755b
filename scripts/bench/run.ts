/** `npm run bench`: measures coldsnap and its peers in interleaved runs and prints tables (see docs/performance.md). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { type Contender, chooseContenders } from './contenders.ts';
import { diskTable, runDisk } from './disk.ts';
import { describeMachine, machineText } from './machine.ts';
import { memoryTable, runMemory } from './memory.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { OUTPUT } from './programs.ts';
import { ceilingTable, problemList, relativeTable, transferTable } from './report.ts';
import { runTransfers } from './scenarios.ts';
import { runStartup, startupTable } from './startup.ts';
import { sweepPlot } from './sweep-plot.ts';
import { say, Workbench } from './workbench.ts';

async function runBench(bench: Workbench, contenders: Contender[], options: BenchOptions) {
  const wants = (name: BenchOptions['scenarios'][number]) => options.scenarios.includes(name);
  const { gib, workers } = options;
  return {
    transfers: await runTransfers(bench, contenders, options),
    memory: wants('memory') ? await runMemory(bench, contenders, gib, workers) : [],
    disk: wants('disk') ? await runDisk(bench, contenders, gib, workers) : [],
    startup: wants('startup') ? await runStartup(bench, contenders, options.peer) : [],
  };
}

function report(results: Awaited<ReturnType<typeof runBench>>): string {
  const { transfers, memory, disk, startup } = results;
  return [
    transfers.length > 0 ? transferTable(transfers) : undefined,
    relativeTable(transfers),
    ceilingTable(transfers),
    memory.length > 0 ? memoryTable(memory) : undefined,
    disk.length > 0 ? diskTable(disk) : undefined,
    startup.length > 0 ? startupTable(startup) : undefined,
    problemList(transfers),
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

async function main(argv: string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const contenders = chooseContenders(options);
  const results = await Workbench.use(options, (bench) => runBench(bench, contenders, options));
  const machine = describeMachine(options.peer);
  const json = options.json ?? join(OUTPUT, 'bench.json');
  // Local paths are omitted from the published figures.
  const { directory, json: _, svg: __, peer: ___, ...shown } = options;
  writeFileSync(json, `${JSON.stringify({ machine, options: shown, ...results }, undefined, 1)}\n`);
  const picture = sweepPlot(results.transfers);
  const svg = options.svg ?? join(OUTPUT, 'sweep.svg');
  if (picture !== undefined) writeFileSync(svg, picture);
  process.stdout.write(
    `${report(results)}\n\n${machineText(machine)}; ${options.rounds} interleaved rounds of ${options.gib} GiB.\n`,
  );
  say(`bench: figures in ${json}${picture === undefined ? '' : `, plot in ${svg}`}`);
  return results.transfers.some(({ runs }) => runs.some(({ problems }) => problems.length > 0)) ? 1 : 0;
}

await runCommand(USAGE, () => main(process.argv.slice(2)));
