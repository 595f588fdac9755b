/** Waits for a state that sends no event, such as the contents of a file. */
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Resolves when the condition holds, or when `ended` settles, after which it cannot change any more. There is no time
 * limit but that of the test.
 */
export async function until(condition: () => boolean, ended?: Promise<unknown>): Promise<void> {
  let over = false;
  const stop = () => {
    over = true;
  };
  ended?.then(stop, stop);
  while (!over && !condition()) await pause(5);
}
