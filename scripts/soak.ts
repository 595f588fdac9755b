/**
 * Runs transfers under faults in one process for half an hour and checks that memory and descriptors do not grow. See
 * test/faults/soak.ts.
 * Usage: npm run test:soak -- [--minutes N]
 */
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { assertFlat, formatSample, soak } from '../test/faults/soak.ts';
import { Scratch } from '../test/support/loop.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' } } });
const minutes = Number(values.minutes);
/** The time until all code is compiled and the heap has its size. */
const WARM_SECONDS = 60;
if (!(minutes >= 2)) throw new Error('--minutes must be at least 2: the first minute is warm-up');

test(`${minutes} minutes of transfers under faults do not grow memory or descriptors`, async (t) => {
  const scratch = await Scratch.for(t);
  let nextReport = 0;
  const result = await soak(scratch, {
    milliseconds: minutes * 60_000,
    onSample: (sample) => {
      if (sample.seconds < nextReport) return;
      nextReport = sample.seconds + 30;
      process.stdout.write(`${formatSample(sample)}\n`);
    },
  });
  const { samples, bytesMoved, interruptions, retries } = result;
  const moved = `${samples.length} rounds, ${Math.round(bytesMoved / 2 ** 20)} MiB moved`;
  process.stdout.write(`${moved}, ${interruptions} interruptions, ${retries} retries\n`);
  assertFlat(samples.filter(({ seconds }) => seconds > WARM_SECONDS));
});
