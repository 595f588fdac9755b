/** A clock that stands still until the test moves it. */
import type { TestContext } from 'node:test';
import { watchClock } from '../../src/clock.ts';

/**
 * A process whose clock and timers the test moves: `setTimeout` and `setInterval`, but not the timers of `node:timers`.
 * `run` is time in which it runs, in steps of `stepMs`; `stop` is time in which it does not.
 */
export function machine(t: TestContext) {
  let now = Math.ceil(performance.now());
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  t.mock.method(performance, 'now', () => now);
  const unwatch = watchClock();
  t.after(unwatch);
  return {
    run: (ms: number, stepMs = 500) => {
      for (let passed = 0; passed < ms; passed += stepMs) {
        now += stepMs;
        t.mock.timers.tick(stepMs);
      }
    },
    // Timers that became due fire as soon as the process runs again.
    stop: (ms: number) => {
      now += ms;
      t.mock.timers.tick(ms);
    },
  };
}
