/** One measured transfer, with a check of its result. */
import type { Contender, Direction } from './contenders.ts';
import { BLOCK_SIZE, type Layout, listedBlocks, SOURCE_SNAPSHOT } from './layout.ts';
import type { LoadServer, ServerStats } from './load-server.ts';
import type { Measurement } from './measure.ts';
import type { Volume } from './volume.ts';
import type { Wire, Workbench } from './workbench.ts';

export interface TransferPlan {
  direction: Direction;
  wire: Wire;
  layout: Layout;
  server: LoadServer;
  /** Target or source. */
  volume: Volume;
  /** The snapshot that the volume holds: what a comparison compares, and the base of an incremental download. */
  holds?: string;
  /** Further targets. */
  more?: readonly Volume[];
  workers: number;
  /** Called after the process has ended, before the checks. */
  afterRun?: () => void;
}

export interface TransferRun {
  cpuS: number;
  userS: number;
  sysS: number;
  wallS: number;
  peakMib: number;
  switches: number;
  /** From the start of the process to the first block request the server saw. */
  firstBlockS: number;
  /** Blocks a second between the first block request and the last block's reply. */
  blocksPerS: number;
  /** Errors in the result; empty if it is right. */
  problems: string[];
}

export function runOf(measured: Measurement, stats: ServerStats, problems: string[]): TransferRun {
  const { userS, sysS, wallS, switches } = measured;
  const moving = stats.lastBlockAt - stats.firstBlockAt;
  return {
    ...{ cpuS: userS + sysS, userS, sysS, wallS, switches, problems },
    peakMib: measured.peakKiB / 1024,
    firstBlockS: stats.firstBlockAt === 0 ? 0 : stats.firstBlockAt - measured.startedAt,
    blocksPerS: moving > 0 ? (stats.gets + stats.puts) / moving : 0,
  };
}

/** Describes a command's failure; undefined if it succeeded. */
export function failureOf(measured: Measurement): string | undefined {
  if (measured.exitCode === 0) return undefined;
  const how = measured.signal ? `ended by signal ${measured.signal}` : `exit ${measured.exitCode}`;
  return `${how}: ${measured.stderr.trim().split('\n').slice(-3).join(' / ').slice(-300)}`;
}

function uploadProblems(stats: ServerStats, expected: number): string[] {
  const problems: string[] = [];
  if (stats.puts !== expected) problems.push(`put ${stats.puts} blocks, not ${expected}`);
  if (stats.wrongPuts > 0) problems.push(`${stats.wrongPuts} puts with the wrong contents`);
  if (stats.completes !== 1 || !stats.countRight) problems.push('the count of blocks was wrong');
  if (stats.linearGiven && !stats.linearRight) problems.push('the LINEAR checksum was wrong');
  return problems;
}

/** Blocks that an incremental download may fetch beside the changed ones: the proof of the base, and the ends of a disk. */
const PROOF_BLOCKS = 64 + 1 + 64 + 8;
/** Every n-th listed block differs between two snapshots of the load server. */
const CHANGED_EVERY = 100;

/** Runs one contender through `plan`; the checks are not timed. */
export async function runTransfer(
  bench: Workbench,
  contender: Contender,
  plan: TransferPlan,
): Promise<TransferRun> {
  const { direction, layout, server, volume, more = [], workers } = plan;
  const { holds: baseId = SOURCE_SNAPSHOT } = plan;
  const receives = direction === 'download' || direction === 'since';
  const snapshotId = receives ? bench.nextSnapshotId() : baseId;
  const command = contender.command({
    ...{ direction, server, snapshotId, baseId, workers, ca: bench.caFor(plan.wire) },
    ...{ path: volume.path, more: more.map(({ path }) => path), blocks: layout.blocks },
  });
  await server.takeStats();
  const measured = await bench.measure(command);
  plan.afterRun?.();
  const stats = await server.takeStats();
  const failure = failureOf(measured);
  if (failure !== undefined) return runOf(measured, stats, [failure]);
  const expected = listedBlocks(layout);
  const sends = direction === 'upload' || direction === 'copy';
  const problems = sends ? uploadProblems(stats, expected) : [];
  if (direction === 'upload') return runOf(measured, stats, problems);
  if (direction === 'incremental' && stats.puts > 0) problems.push(`put ${stats.puts} blocks, not 0`);
  if (direction === 'since') {
    const most = Math.ceil(expected / CHANGED_EVERY) + PROOF_BLOCKS;
    if (stats.gets > most) problems.push(`fetched ${stats.gets} blocks, more than ${most}`);
    return runOf(measured, stats, problems);
  }
  if (stats.gets !== expected) problems.push(`fetched ${stats.gets} blocks, not ${expected}`);
  if (direction !== 'download') return runOf(measured, stats, problems);
  plan.holds = snapshotId;
  for (const target of [volume, ...more]) {
    const wrong = target.check(snapshotId, layout);
    if (wrong !== undefined) problems.push(wrong);
  }
  return runOf(measured, stats, problems);
}

/** Data that a transfer of this layout moves, GiB. */
export function gibMoved(layout: Layout): number {
  return (listedBlocks(layout) * BLOCK_SIZE) / 2 ** 30;
}
