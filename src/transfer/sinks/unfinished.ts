/** Says where an interrupted restore is kept. */
import type { ImageTarget } from '../../image/target.ts';
import type { Journal } from '../journal/journal.ts';
import type { RestoreJournal } from '../journal/restore.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/**
 * Warns only if a later run can find what this one has done.
 * @param inPlace whether the target held another snapshot
 */
export function warnUnfinished(
  run: Run,
  { label, resumable }: ImageTarget,
  journal: Journal<RestoreJournal> | undefined,
  inPlace: boolean,
): void {
  if (journal?.written !== true) return;
  const { partialPath } = resumable ?? {};
  if (inPlace) run.warn(...warnings.changeUnfinished(label, partialPath));
  else run.warn(...warnings.downloadUnfinished(label, partialPath, journal.location.path));
}
