/** A journal file that the user names may be anything; only a journal is ever replaced, moved or removed. */
import { lstat } from 'node:fs/promises';
import { checkpointNotOurs } from '../messages.ts';
import { readJournal } from './file.ts';
import { isLegacyCheckpoint } from './legacy.ts';

/** @throws ColdsnapError class `usage`, code `CHECKPOINT_NOT_OURS`, for a path that exists and is not a journal */
export async function checkNamedJournal(path: string | undefined): Promise<void> {
  if (path === undefined || (await lstat(path).catch(() => undefined)) === undefined) return;
  const reading = await readJournal(path);
  const ours = reading.kind === 'present' && (reading.sealed || isLegacyCheckpoint(reading.content));
  if (reading.kind !== 'absent' && !ours) throw checkpointNotOurs(path);
}
