/** The bench's command line. */
import { parseArgs } from 'node:util';

export const SCENARIOS = [
  'download',
  'upload',
  'copy',
  'paced',
  'zeros90',
  'fanout',
  'verify',
  'since',
  'incremental',
  'ceiling',
  'sweep',
  'memory',
  'disk',
  'startup',
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export const CONTENDERS = ['fast', 'sdk', 'peer', 'reference'] as const;
export type ContenderKey = (typeof CONTENDERS)[number];

export interface BenchOptions {
  peer: string | undefined;
  contenders: ContenderKey[];
  scenarios: ScenarioName[];
  /** Data per run, GiB; may be a fraction. */
  gib: number;
  rounds: number;
  workers: number;
  /** Each scenario over TLS, plain HTTP, or both. */
  wires: ('tls' | 'plain')[];
  /** Directory for the images. Default: a new temporary directory. */
  directory: string | undefined;
  useLoop: boolean;
  json: string | undefined;
  svg: string | undefined;
}

export const USAGE = `usage: npm run bench -- [options]

  --peer PATH         a coldsnap 0.12 binary to compare with
  --contenders LIST   of ${CONTENDERS.join(', ')} (default: all that are there)
  --scenarios LIST    of ${SCENARIOS.join(', ')} (default: download,upload)
  --sweep             adds the sweep scenario: workers 1 … 256, for the plot
  --gib N             data moved by a run, GiB (default 2)
  --rounds N          interleaved rounds (default 5)
  --workers N         requests in flight (default 64)
  --wire W            tls, plain or both (default tls)
  --quick             0.25 GiB, 1 round: to see that everything runs, not to quote
  --dir DIR           where the images go (default: a new temporary directory)
  --file              move to and from regular files even as root, instead of loop devices
  --json FILE         where the figures go (default scripts/bench/build/bench.json)
  --svg FILE          where the sweep's plot goes (default scripts/bench/build/sweep.svg)
  --help
`;

export class UsageError extends Error {}

function positive(name: string, text: string, least = 1): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < least)
    throw new UsageError(`--${name} ${text}: not a number from ${least}`);
  return value;
}

function whole(name: string, text: string): number {
  const value = positive(name, text);
  if (!Number.isInteger(value)) throw new UsageError(`--${name} ${text}: not a whole number`);
  return value;
}

function listOf<T extends string>(name: string, text: string, allowed: readonly T[]): T[] {
  return text.split(',').map((word) => {
    const known = allowed.find((one) => one === word);
    if (known === undefined) throw new UsageError(`--${name} ${word}: not one of ${allowed.join(', ')}`);
    return known;
  });
}

/** @returns undefined for --help. @throws UsageError */
export function parseOptions(argv: string[]): BenchOptions | undefined {
  const { values } = parse(argv);
  if (values.help) return undefined;
  const contenders = listOf('contenders', values.contenders ?? CONTENDERS.join(','), CONTENDERS);
  if (values.contenders?.includes('peer') && values.peer === undefined)
    throw new UsageError('peer: requires --peer PATH');
  const scenarios = listOf('scenarios', values.scenarios ?? 'download,upload', SCENARIOS);
  if (values.sweep && !scenarios.includes('sweep')) scenarios.push('sweep');
  const wire = values.wire ?? 'tls';
  return {
    peer: values.peer,
    contenders: contenders.filter((key) => key !== 'peer' || values.peer !== undefined),
    scenarios,
    gib: positive('gib', values.gib ?? (values.quick ? '0.25' : '2'), 1 / 2048),
    rounds: whole('rounds', values.rounds ?? (values.quick ? '1' : '5')),
    workers: whole('workers', values.workers ?? '64'),
    wires: wire === 'both' ? ['tls', 'plain'] : listOf('wire', wire, ['tls', 'plain']),
    directory: values.dir,
    useLoop: !values.file,
    json: values.json,
    svg: values.svg,
  };
}

function parse(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({
      args,
      options: {
        peer: text,
        contenders: text,
        scenarios: text,
        sweep: flag,
        gib: text,
        rounds: text,
        workers: text,
        wire: text,
        quick: flag,
        dir: text,
        file: flag,
        json: text,
        svg: text,
        help: flag,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
