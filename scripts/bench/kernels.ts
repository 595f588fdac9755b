/**
 * Compares the SHA-256 kernels of two builds of the addon: CPU time to hash blocks of 512 KiB, 16 at once, the builds in turn.
 *
 *   node --import tsx scripts/bench/kernels.ts [--rounds N] ADDON BASE
 *
 * For each kernel of this processor it prints a line of a Markdown table: GB/s of CPU time, best and median of the rounds, and
 * the median of the ratios within each round (above 1: ADDON is faster).
 */
import { randomFillSync } from 'node:crypto';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { figure, markdownTable } from './report.ts';
import { median, pairedRatio } from './statistics.ts';

interface Kernels {
  sha256(...buffers: Uint8Array[]): Promise<Uint8Array[]>;
  sha256Kernels(): { available: string[] };
  useKernel(name: string): boolean;
}

const BLOCKS = 16;
const BLOCK_BYTES = 524_288;
/** About 50 ms of a fast kernel: long enough for the clock of getrusage, short enough to interleave. */
const REPEATS = 12;

function load(path: string): Kernels {
  const module: { exports: Partial<Kernels> } = { exports: {} };
  process.dlopen(module, resolve(path));
  return module.exports as Kernels;
}

/** GB per second of CPU time. */
async function speed(addon: Kernels, kernel: string, blocks: Uint8Array[]): Promise<number> {
  if (!addon.useKernel(kernel)) throw new Error(`one of the addons does not select ${kernel}`);
  await addon.sha256(...blocks);
  const before = process.cpuUsage();
  for (let count = 0; count < REPEATS; count++) await addon.sha256(...blocks);
  const { user, system } = process.cpuUsage(before);
  return (REPEATS * BLOCKS * BLOCK_BYTES) / (user + system) / 1000;
}

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '25' } },
  allowPositionals: true,
});
const [path, basePath] = positionals;
const rounds = Number(values.rounds);
if (path === undefined || basePath === undefined || positionals.length > 2 || !(rounds >= 1)) {
  throw new Error('usage: kernels.ts [--rounds N] ADDON BASE');
}
const [addon, base] = [load(path), load(basePath)];
const blocks = Array.from({ length: BLOCKS }, () => randomFillSync(new Uint8Array(BLOCK_BYTES)));
const kernels = base.sha256Kernels().available;
const speeds = new Map(kernels.map((kernel) => [kernel, { addon: [] as number[], base: [] as number[] }]));
for (let round = 0; round < rounds; round++) {
  for (const [kernel, measured] of speeds) {
    // In turn, so that neither always runs first.
    const first = round % 2 === 0;
    if (first) measured.addon.push(await speed(addon, kernel, blocks));
    measured.base.push(await speed(base, kernel, blocks));
    if (!first) measured.addon.push(await speed(addon, kernel, blocks));
  }
}
console.log(
  markdownTable(
    ['kernel', 'ADDON, GB/s: best', 'median', 'BASE, GB/s: best', 'median', 'ratio'],
    [...speeds].map(([kernel, measured]) => [
      kernel,
      figure(Math.max(...measured.addon), 2),
      figure(median(measured.addon), 2),
      figure(Math.max(...measured.base), 2),
      figure(median(measured.base), 2),
      figure(pairedRatio(measured.addon, measured.base), 2),
    ]),
  ),
);
