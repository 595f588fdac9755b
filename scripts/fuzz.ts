/**
 * Feeds every parser with damaged input: reply heads (compared with Node's own parser), lists, fault files, journals and
 * qemu maps.
 * Usage: npm run test:fuzz -- [--inputs 1000000] [--seed N]; a failure names the seed that repeats it with `--inputs 1`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz, fuzzers } from '../test/property/fuzz.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const [count, seed] = [Number(values.inputs), Number(values.seed)];
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed))
  throw new Error('--inputs must be a whole number from 1, --seed a whole number');

const directory = mkdtempSync(join(tmpdir(), 'coldsnap-fuzz-'));
try {
  for (const fuzzer of fuzzers) {
    const { inputs, accepted } = await fuzz(fuzzer, count, seed, directory);
    process.stdout.write(`${fuzzer.name}: ${inputs} inputs from seed ${seed}, ${accepted} accepted\n`);
  }
} finally {
  rmSync(directory, { recursive: true });
}
