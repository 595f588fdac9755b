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
  const code = (error as { code?: unknown } | null)?.code;
  const moved = base === undefined && code === 'PARTIAL_REPLACED';
  if (journal === undefined || moved) return;
  const { partialPath } = resumable ?? {};
  const [warning, message] =
    base === undefined
      ? warnings.downloadUnfinished(run.sameCommand, label, partialPath, journal.location.path)
      : warnings.changeUnfinished(run.sameCommand, label, partialPath);
  run.warn(warning, code === 'SNAPSHOT_NOT_FOUND' ? `${message} ${warnings.ifDeleted}` : message);
}
