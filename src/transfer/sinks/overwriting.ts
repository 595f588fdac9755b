/** Names what a download with force overwrites. */
import { ColdsnapError } from '../../errors.ts';
import type { ImageTarget } from '../../image/target.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/** Warns of what the target holds, if it would be refused without force. */
export async function warnOfOverwriting(run: Run, target: ImageTarget): Promise<void> {
  try {
    await target.checkOverwrite({ force: false, resuming: false });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'refused') throw error;
    run.warn(...warnings.overwriting(error.message));
  }
}
