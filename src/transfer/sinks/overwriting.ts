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
  const refusal = force && !resuming ? await refusalOf(target) : undefined;
  await target.checkOverwrite({ force, resuming });
  if (refusal !== undefined) run.warn(...warnings.overwriting(refusal.message));
}

/** The error for a target that is not overwritten without force. */
async function refusalOf(target: ImageTarget): Promise<ColdsnapError | undefined> {
  try {
    await target.checkOverwrite({ force: false, resuming: false });
    return undefined;
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'refused') throw error;
    return error;
  }
}
