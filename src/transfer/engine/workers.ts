/** Runs a stream of steps by a fixed number of workers that take them in order. */

/**
 * Each worker takes the next step as soon as it is done with its last; so the lowest unfinished step is always being
 * worked on, which targets that need their blocks in order rely on.
 *
 * @param work is given the step and the worker's number, 0 … count-1 (a worker's own buffer hangs on it)
 * @param stop is called with the first failure, to stop the others
 * @throws the first failure, after every worker has ended
 */
export async function runWorkers<Step>(
  count: number,
  steps: AsyncGenerator<Step, void, undefined>,
  work: (step: Step, worker: number) => Promise<void>,
  stop: (failure: unknown) => void,
): Promise<void> {
  let failed = false;
  let failure: unknown;
  const run = async (worker: number) => {
    try {
      while (!failed) {
        const next = await steps.next();
        if (next.done || failed) return;
        await work(next.value, worker);
      }
    } catch (error) {
      if (failed) return;
      failed = true;
      failure = error;
      stop(error);
    }
  };
  await Promise.all(Array.from({ length: count }, (_, worker) => run(worker)));
  if (failed) throw failure;
}
