/** Progress of reading back what an earlier run has done. */
import type { RangeSet } from '../engine/range-set.ts';
import type { Run } from './run.ts';

/** Often enough for a display, rare enough to cost nothing. */
const INTERVAL_MS = 200;

/** The signal and the listener for {@link findChangedChunks}. */
export function verifying(
  run: Run,
  { done, blockSize }: { readonly done: RangeSet; readonly blockSize: number },
): { signal: AbortSignal; onRead: (blocks: number) => void } {
  const bytesTotal = done.size * blockSize;
  let bytesDone = 0;
  let last = Number.NEGATIVE_INFINITY;
  const report = () => {
    if (performance.now() - last < INTERVAL_MS && bytesDone < bytesTotal) return;
    last = performance.now();
    run.phase('verifying', { bytesDone, bytesTotal });
  };
  if (bytesTotal > 0) report();
  const onRead = (blocks: number) => {
    bytesDone += blocks * blockSize;
    report();
  };
  return { signal: run.signal, onRead };
}
