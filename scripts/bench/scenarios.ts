/** The transfers that are compared, round by round. */
import type { Contender, Direction } from './contenders.ts';
import { BLOCK_SIZE, type Layout, layoutOf, SOURCE_SNAPSHOT } from './layout.ts';
import type { BenchOptions, ContenderKey, ScenarioName } from './options.ts';
import { runTransfer, type TransferPlan, type TransferRun } from './transfer.ts';
import type { Volume } from './volume.ts';
import { say, type Wire, type Workbench } from './workbench.ts';

/** A connection like one to AWS: 8 MB/s and 10 ms to the first byte. */
const PACED = { pace: 8_000_000, delayMs: 10 };
/** The service's ceiling for one snapshot. */
const CEILING = { rate: 1000, delayMs: 10 };
/** Latency only, so that throughput grows with the number of workers. */
const DISTANT = { delayMs: 10 };
export const SWEEP_WORKERS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

export interface TransferResult {
  scenario: string;
  title: string;
  wire: Wire;
  workers: number;
  contender: ContenderKey;
  contenderTitle: string;
  /** GiB of the volume that a run covers. */
  gib: number;
  /** One for each round. */
  runs: TransferRun[];
}

interface Case {
  scenario: string;
  title: string;
  direction: Direction;
  change?: Partial<Layout>;
  /**
   * Fill the target with the data of another snapshot before each run: so that no run profits from zeros of the one before,
   * or as what a comparison and an incremental download start from.
   */
  refill?: boolean;
  serving?: { pace?: number; delayMs?: number; rate?: number };
  workers?: number;
  /** Targets of a download, 1 unless given. */
  targets?: number;
  /** Contenders to skip: the reference client does not zero gaps, and only coldsnap copies. */
  without?: ContenderKey[];
}

function casesOf(options: BenchOptions): Case[] {
  const wanted = new Set(options.scenarios);
  const cases: Case[] = [];
  const oursOnly: ContenderKey[] = ['peer', 'reference'];
  // The full download is also the baseline of other cases.
  if (
    wanted.has('download') ||
    ['zeros90', 'fanout', 'verify', 'since', 'incremental'].some((name) => wanted.has(name as ScenarioName))
  ) {
    cases.push({ scenario: 'download', title: 'download', direction: 'download' });
  }
  if (wanted.has('upload')) cases.push({ scenario: 'upload', title: 'upload', direction: 'upload' });
  if (wanted.has('copy')) {
    cases.push({ scenario: 'copy', title: 'copy', direction: 'copy', without: oursOnly });
  }
  if (wanted.has('paced')) {
    for (const direction of ['download', 'upload'] as const) {
      cases.push({ scenario: `${direction}-paced`, title: `${direction}, paced`, direction, serving: PACED });
    }
  }
  if (wanted.has('zeros90')) {
    const common = { direction: 'download' as const, refill: true, without: ['reference' as const] };
    cases.push({
      ...common,
      scenario: 'zeros90',
      title: 'download, 90 % zero blocks',
      change: { zerosPercent: 90 },
    });
    cases.push({
      ...common,
      scenario: 'sparse90',
      title: 'download, 90 % not listed',
      change: { every: 10 },
    });
  }
  if (wanted.has('fanout')) {
    const title = 'download to 3 targets';
    cases.push({ scenario: 'fanout', title, direction: 'download', targets: 3, without: oursOnly });
  }
  if (wanted.has('verify')) {
    cases.push({ scenario: 'verify', title: 'verify', direction: 'verify', refill: true, without: oursOnly });
  }
  if (wanted.has('since')) {
    const title = 'download --since, 1 % changed';
    cases.push({ scenario: 'since', title, direction: 'since', refill: true, without: oursOnly });
  }
  if (wanted.has('incremental')) {
    const title = 'upload --incremental, nothing changed';
    cases.push({
      scenario: 'incremental',
      title,
      direction: 'incremental',
      refill: true,
      without: oursOnly,
    });
  }
  if (wanted.has('ceiling')) {
    for (const direction of ['download', 'upload'] as const) {
      const title = `${direction}, 1,000 blocks/s`;
      cases.push({ scenario: `${direction}-ceiling`, title, direction, serving: CEILING });
    }
  }
  if (wanted.has('sweep')) {
    for (const workers of SWEEP_WORKERS) {
      const title = `download, ${workers} workers`;
      cases.push({ scenario: 'sweep', title, direction: 'download', serving: DISTANT, workers });
    }
  }
  return cases;
}

/** The two images of all cases: the target of downloads and the source of uploads. */
class Volumes {
  readonly #bench: Workbench;
  readonly #full: Layout;
  #target: Volume | undefined;
  #source: Volume | undefined;
  readonly #more: Volume[] = [];

  constructor(bench: Workbench, full: Layout) {
    this.#bench = bench;
    this.#full = full;
  }

  /** A copy uses none, so that any will do. */
  for(direction: Direction): Volume {
    return direction === 'upload' || direction === 'copy' ? this.#uploadSource() : this.#downloadTarget();
  }

  #downloadTarget(): Volume {
    if (this.#target === undefined) {
      this.#target = this.#bench.createVolume('target.img', this.#full.volumeGib * 2 ** 30);
      this.#target.fill(this.#bench.nextSnapshotId(), this.#full);
    }
    return this.#target;
  }

  /** Targets of a download beside the first. */
  more(count: number): Volume[] {
    while (this.#more.length < count) {
      const volume = this.#bench.createVolume(
        `target-${this.#more.length}.img`,
        this.#full.volumeGib * 2 ** 30,
      );
      volume.fill(this.#bench.nextSnapshotId(), this.#full);
      this.#more.push(volume);
    }
    return this.#more.slice(0, count);
  }

  #uploadSource(): Volume {
    if (this.#source === undefined) {
      this.#source = this.#bench.createVolume('source.img', this.#full.blocks * BLOCK_SIZE);
      this.#source.fill(SOURCE_SNAPSHOT, this.#full);
    }
    return this.#source;
  }
}

interface Group {
  plan: TransferPlan;
  /** Called before each run; not measured. */
  prepare: () => void;
  entries: { contender: Contender; result: TransferResult }[];
}

async function groupsOf(bench: Workbench, contenders: Contender[], options: BenchOptions): Promise<Group[]> {
  const full = layoutOf(options.gib);
  const volumes = new Volumes(bench, full);
  const groups: Group[] = [];
  for (const wire of options.wires) {
    for (const one of casesOf(options)) {
      const { scenario, title, direction, workers = options.workers } = one;
      const layout = { ...full, ...one.change };
      const server = await bench.startServer(wire, { layout, ...one.serving });
      const volume = volumes.for(direction);
      const more = volumes.more((one.targets ?? 1) - 1);
      const about = { scenario, title, wire, workers, gib: options.gib };
      const entries = contenders
        .filter((contender) => !one.without?.includes(contender.key))
        .map((contender) => {
          const who = { contender: contender.key, contenderTitle: contender.title };
          return { contender, result: { ...about, ...who, runs: [] } };
        });
      const plan: TransferPlan = { direction, wire, layout, server, volume, more, workers };
      const prepare = () => {
        if (!one.refill) return;
        plan.holds = bench.nextSnapshotId();
        volume.fill(plan.holds, full);
      };
      groups.push({ plan, prepare, entries });
    }
  }
  return groups;
}

/**
 * Runs all cases in each round, with the contenders in a different order each time, so that changes in the machine's load
 * affect all of them.
 */
export async function runTransfers(
  bench: Workbench,
  contenders: Contender[],
  options: BenchOptions,
): Promise<TransferResult[]> {
  const groups = await groupsOf(bench, contenders, options);
  for (let round = 0; round < options.rounds; round++) {
    for (const { plan, prepare, entries } of groups) {
      for (const { contender, result } of rotated(entries, round)) {
        prepare();
        const run = await runTransfer(bench, contender, plan);
        result.runs.push(run);
        const where = `round ${round + 1}/${options.rounds}  ${result.title} (${result.wire})`;
        say(`${where}  ${contender.title}: ${inWords(run)}`);
      }
    }
  }
  return groups.flatMap(({ entries }) => entries.map(({ result }) => result));
}

function inWords({ cpuS, wallS, peakMib, problems }: TransferRun): string {
  const outcome = problems.length === 0 ? 'right' : problems.join('; ');
  return `${cpuS.toFixed(2)} s CPU, ${wallS.toFixed(2)} s, ${peakMib.toFixed(0)} MiB, ${outcome}`;
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const from = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}
