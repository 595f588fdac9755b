/** How properties are tried: briefly, unless COLDSNAP_LONG=n asks for n runs; COLDSNAP_SEED repeats those of a failure. */
import type { TestContext } from 'node:test';
import fc from 'fast-check';

const asked = Number(process.env.COLDSNAP_LONG ?? 0);
const numRuns = (short: number) => (asked === 0 ? short : asked > 1 ? asked : 2_000);
const seed = process.env.COLDSNAP_SEED === undefined ? {} : { seed: Number(process.env.COLDSNAP_SEED) };

/** On failure the message has the seed, and in long runs the values made as simple as they can be. */
export async function assertProperty<Values>(
  t: TestContext,
  property: fc.IAsyncProperty<Values>,
  short: number,
): Promise<void> {
  const started = performance.now();
  await fc.assert(property, {
    numRuns: numRuns(short),
    ...seed,
    endOnFailure: asked === 0,
    includeErrorInReport: true,
  });
  t.diagnostic(`${numRuns(short)} runs in ${Math.round(performance.now() - started)} ms`);
}
