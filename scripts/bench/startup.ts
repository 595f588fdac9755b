/** Measures the start-up time of --version and --help. */
import { type Contender, ours } from './contenders.ts';
import type { Measurement } from './measure.ts';
import { figure, markdownTable } from './report.ts';
import { median } from './statistics.ts';
import { failureOf } from './transfer.ts';
import type { Workbench } from './workbench.ts';

const TIMES = 10;

export interface StartupResult {
  command: string;
  runs: Measurement[];
}

/** Includes `node -e 0`, the lower bound for any program on Node. */
export async function runStartup(
  bench: Workbench,
  contenders: Contender[],
  peer: string | undefined,
): Promise<StartupResult[]> {
  const commands: [string, string[]][] = [['node -e 0', [process.execPath, '-e', '0']]];
  if (contenders.some(({ key }) => key === 'fast' || key === 'sdk')) {
    commands.push(['coldsnap --version', ours('--version')], ['coldsnap --help', ours('--help')]);
  }
  if (peer !== undefined) commands.push(['Rust coldsnap 0.12 --help', [peer, '--help']]);
  const results: StartupResult[] = commands.map(([command]) => ({ command, runs: [] }));
  for (let time = 0; time < TIMES; time++) {
    for (const [index, [name, command]] of commands.entries()) {
      const run = await bench.measure(command, { connects: false });
      const failure = failureOf(run);
      if (failure !== undefined) throw new Error(`${name}: ${failure}`);
      results[index]?.runs.push(run);
    }
  }
  return results;
}

export function startupTable(results: StartupResult[]): string {
  const rows = results.map(({ command, runs }) => [
    command,
    figure(median(runs.map((run) => run.wallS * 1000)), 0),
    figure(median(runs.map((run) => (run.userS + run.sysS) * 1000)), 0),
    figure(median(runs.map((run) => run.peakKiB / 1024)), 0),
  ]);
  return markdownTable([`median of ${TIMES}`, 'ms', 'CPU ms', 'peak MiB'], rows);
}
