/** Names what a download with force overwrites, and refuses what must not be overwritten. */
import { ColdsnapError } from '../../errors.ts';
import type { ImageTarget } from '../../image/target.ts';
import type { DownloadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/**
 * Warns of what the target holds, if force overwrites it.
 * @throws ColdsnapError class `refused`
 */
export async function checkOverwrite(
  run: Run,
  target: ImageTarget,
  { force = false }: Pick<DownloadOptions, 'force'>,
  resuming: boolean,
): Promise<void> {
  if (force && !resuming) await warnOfOverwriting(run, target);
  await target.checkOverwrite({ force, resuming });
}

async function warnOfOverwriting(run: Run, target: ImageTarget): Promise<void> {
  try {
    await target.checkOverwrite({ force: false, resuming: false });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'refused') throw error;
    run.warn(...warnings.overwriting(error.message));
  }
}
