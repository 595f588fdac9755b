/** Runs properties: a few runs, or n with COLDSNAP_LONG=n; COLDSNAP_SEED repeats the runs of a failure. */
import type { TestContext } from 'node:test';
import fc from 'fast-check';

const longRuns = Number(process.env.COLDSNAP_LONG ?? 0);
const numRuns = (short: number) => (longRuns === 0 ? short : longRuns > 1 ? longRuns : 2_000);
const seed = process.env.COLDSNAP_SEED === undefined ? {} : { seed: Number(process.env.COLDSNAP_SEED) };

/** The message of a failure has the seed, and in long runs the shrunk values. */
export async function assertProperty<Values>(
  t: TestContext,
  property: fc.IAsyncProperty<Values>,
  short: number,
): Promise<void> {
  const started = performance.now();
  await fc.assert(property, {
    numRuns: numRuns(short),
    ...seed,
    endOnFailure: longRuns === 0,
    includeErrorInReport: true,
  });
  t.diagnostic(`${numRuns(short)} runs in ${Math.round(performance.now() - started)} ms`);
}
