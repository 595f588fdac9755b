/** `npm run bench:list`: measures listing a huge snapshot (see docs/performance.md). */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runCommand } from './command.ts';
import { type Contender, chooseContenders, oursIsBuilt } from './contenders.ts';
import { layoutOf, listedBlocks } from './layout.ts';
import type { ServerStats } from './load-server.ts';
import { describeMachine, machineText } from './machine.ts';
import type { Measurement } from './measure.ts';
import { sizeText } from './memory.ts';
import { UsageError } from './options.ts';
import { OUTPUT } from './programs.ts';
import { figure, markdownTable } from './report.ts';
import { failureOf, runOf } from './transfer.ts';
import { Volume } from './volume.ts';
import { say, Workbench } from './workbench.ts';

const USAGE = `usage: npm run bench:list -- [options]

Two things with a snapshot that lists every one of its blocks:
the whole list, read as a download reads it, and the first seconds of a download.

  --gib N          size of the volume, GiB (default 65536: 64 TiB, 134,217,728 blocks)
  --seconds N      how long a download runs before it is stopped (default 15)
  --peer PATH      a coldsnap 0.12 binary to compare with; it holds the whole list in memory
  --peer-gib N     the largest volume it is asked for (default 1024: about 0.6 GiB of memory)
  --workers N      requests in flight (default 64)
`;

/** Slow enough that the blocks received before the stop fit into memory. */
const BLOCKS_PER_SECOND = 100;
const TARGET_DIRECTORY = '/dev/shm';
const LIST_READER = fileURLToPath(new URL('read-list.js', import.meta.url));

interface ListResult {
  what: string;
  volumeGib: number;
  pages: number;
  wallS: number;
  cpuS: number;
  peakMib: number;
  /** Undefined if no block was requested. */
  firstBlockS: number | undefined;
  problem: string | undefined;
}

interface ListOptions {
  gib: number;
  seconds: number;
  workers: number;
  peer: string | undefined;
  peerGib: number;
}

function resultOf(
  what: string,
  volumeGib: number,
  measured: Measurement,
  stats: ServerStats,
  problem?: string,
): ListResult {
  const run = runOf(measured, stats, []);
  const { wallS, cpuS, peakMib } = run;
  const firstBlockS = stats.gets > 0 ? run.firstBlockS : undefined;
  const result = { what, volumeGib, pages: stats.lists, wallS, cpuS, peakMib, firstBlockS, problem };
  say(
    `${what} (${sizeText(volumeGib)}): ${wallS.toFixed(1)} s, ${peakMib.toFixed(0)} MiB, ${stats.lists} pages ${problem ?? ''}`,
  );
  return result;
}

async function wholeList(bench: Workbench, gib: number): Promise<ListResult> {
  const layout = layoutOf(gib);
  const server = await bench.startServer('tls', { layout });
  const command = [process.execPath, LIST_READER, bench.nextSnapshotId(), server.url];
  const measured = await bench.measure(command);
  const stats = await server.takeStats();
  await server.stop();
  let problem = failureOf(measured);
  const count = String(listedBlocks(layout));
  if (problem === undefined && !measured.stdout.includes(count)) problem = `it did not count ${count} blocks`;
  return resultOf("coldsnap's lister, the whole list", gib, measured, stats, problem);
}

/** Stops the download after `seconds`, so it is expected to fail. */
async function firstBlocks(
  bench: Workbench,
  contender: Contender,
  gib: number,
  options: ListOptions,
): Promise<ListResult> {
  const layout = layoutOf(gib);
  const server = await bench.startServer('tls', { layout, rate: BLOCKS_PER_SECOND });
  const volume = Volume.create(TARGET_DIRECTORY, `coldsnap-bench-list-${process.pid}.img`, 0, false);
  try {
    const command = contender.command({
      ...{ direction: 'download', server, snapshotId: bench.nextSnapshotId(), path: volume.path },
      ...{ ca: bench.caFor('tls'), workers: options.workers, blocks: layout.blocks },
    });
    const measured = await bench.measure(command, { stopAfterS: options.seconds });
    const stats = await server.takeStats();
    const problem = stats.gets === 0 ? (failureOf(measured) ?? 'no block was requested') : undefined;
    return resultOf(`${contender.title}, ${options.seconds} s of a download`, gib, measured, stats, problem);
  } finally {
    await server.stop();
    volume.remove();
    for (const left of ['.partial', '.coldsnap-progress']) rmSync(`${volume.path}${left}`, { force: true });
  }
}

async function runList(bench: Workbench, options: ListOptions): Promise<ListResult[]> {
  const results: ListResult[] = [];
  if (oursIsBuilt()) results.push(await wholeList(bench, options.gib));
  for (const contender of chooseContenders({ contenders: ['fast', 'peer'], peer: options.peer })) {
    const most = contender.key === 'peer' ? options.peerGib : Number.POSITIVE_INFINITY;
    results.push(await firstBlocks(bench, contender, Math.min(options.gib, most), options));
  }
  return results;
}

function table(results: ListResult[]): string {
  const head = ['', 'volume', 'pages read', 's', 'CPU s', 'peak MiB', 'first block after, s'];
  const rows = results.map((one) => [
    one.problem === undefined ? one.what : `${one.what}: FAILED, ${one.problem}`,
    sizeText(one.volumeGib),
    String(one.pages),
    ...[figure(one.wallS, 1), figure(one.cpuS, 1), figure(one.peakMib, 0), figure(one.firstBlockS, 2)],
  ]);
  return markdownTable(head, rows);
}

function parseOptions(args: string[]): ListOptions | undefined {
  const values = parseFlags(args);
  if (values.help) return undefined;
  const whole = (name: 'gib' | 'seconds' | 'peer-gib' | 'workers') => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new UsageError(`--${name} ${values[name]}: not a whole number from 1`);
  };
  const { peer } = values;
  const sizes = { gib: whole('gib'), peerGib: whole('peer-gib') };
  return { ...sizes, seconds: whole('seconds'), workers: whole('workers'), peer };
}

function parseFlags(args: string[]) {
  const text = (fallback: string) => ({ type: 'string', default: fallback }) as const;
  try {
    return parseArgs({
      args,
      options: {
        gib: text('65536'),
        seconds: text('15'),
        peer: { type: 'string' },
        'peer-gib': text('1024'),
        workers: text('64'),
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (!existsSync(TARGET_DIRECTORY))
    throw new Error(`${TARGET_DIRECTORY} is required, for sparse files of 64 TiB`);
  const results = await Workbench.use({ useLoop: false }, (bench) => runList(bench, options));
  const machine = describeMachine(options.peer);
  const json = join(OUTPUT, 'bench-list.json');
  writeFileSync(json, `${JSON.stringify({ machine, results }, undefined, 1)}\n`);
  process.stdout.write(`${table(results)}\n\n${machineText(machine)}.\n`);
  say(`bench: figures in ${json}`);
  return results.some(({ problem }) => problem !== undefined) ? 1 : 0;
}

await runCommand(USAGE, main);
