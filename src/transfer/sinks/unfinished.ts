/** Says where an interrupted restore is kept. */
import type { ImageTarget } from '../../image/target.ts';
import type { Journal } from '../journal/journal.ts';
import type { RestoreJournal } from '../journal/restore.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/**
 * Warns, where a later run can find what this one has done. It cannot find a file that another program has moved.
 * @param options with the snapshot that the target held, where it is changed in place
 */
export function warnUnfinished(
  run: Run,
  { label, resumable }: ImageTarget,
  journal: Journal<RestoreJournal> | undefined,
  { base }: { readonly base?: string | undefined },
  error: unknown,
): void {
  const moved = base === undefined && (error as { code?: unknown } | null)?.code === 'PARTIAL_REPLACED';
  if (journal === undefined || moved) return;
  const { partialPath } = resumable ?? {};
  if (base !== undefined) run.warn(...warnings.changeUnfinished(run.sameCommand, label, partialPath));
  else run.warn(...warnings.downloadUnfinished(run.sameCommand, label, partialPath, journal.location.path));
}
