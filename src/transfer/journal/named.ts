/** A journal file that the user names may be anything; only a journal is ever replaced, moved or removed. */
import { lstat } from 'node:fs/promises';
import { partialName } from '../../image/names.ts';
import { findSameFile } from '../../image/same-file.ts';
import { checkpointNotOurs, checkpointOverFile } from '../messages.ts';
import { readJournal } from './file.ts';
import { isLegacyCheckpoint } from './legacy.ts';

/**
 * @param files the other files of the transfer, which it must not replace; not all need be paths
 * @throws ColdsnapError class `usage`, code `CHECKPOINT_NOT_OURS`, for a path that is one of them, or exists and is not a
 *   journal
 */
export async function checkNamedJournal(
  path: string | undefined,
  files: readonly unknown[] = [],
): Promise<void> {
  if (path === undefined) return;
  const file = await findSameFile([path], files.flatMap(withPartial));
  if (file !== undefined) throw checkpointOverFile(path, file);
  if ((await lstat(path).catch(() => undefined)) === undefined) return;
  const reading = await readJournal(path);
  const ours = reading.kind === 'present' && (reading.sealed || isLegacyCheckpoint(reading.content));
  if (reading.kind !== 'absent' && !ours) throw checkpointNotOurs(path);
}

function withPartial(file: unknown): unknown[] {
  return typeof file === 'string' ? [file, partialName(file)] : [];
}
