/** Warns where a file system has less free space than is to be written. Blocks of zeros need none, so that is no error. */
import { freeBytes } from '../../image/free-space.ts';
import type { ImageTarget } from '../../image/target.ts';
import { warnings } from '../warnings.ts';
import type { Run } from './run.ts';

/** @param toWrite gives the bytes, at the time when the free space is known */
export async function checkSpace(run: Run, target: ImageTarget, toWrite: () => number): Promise<void> {
  const free = await freeBytes(target);
  const bytes = toWrite();
  if (free === undefined || bytes <= free) return;
  run.meter.onPlan = undefined;
  run.warn(...warnings.spaceLow(target.label, free, bytes));
}

/** Warns as soon as what is planned shows it. */
export function watchSpace(run: Run, target: ImageTarget): void {
  const { meter } = run;
  let checking = false;
  meter.onPlan = async () => {
    if (checking) return;
    checking = true;
    await checkSpace(run, target, () => meter.bytesToMove - meter.bytesTransferred);
    checking = false;
  };
}
