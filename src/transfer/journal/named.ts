/** A journal file that the user names may be anything; only a journal is ever replaced, moved or removed. */
import { lstat } from 'node:fs/promises';
import { partialName } from '../../image/names.ts';
import { findSameFile } from '../../image/same-file.ts';
import {
  checkpointNameEmpty,
  checkpointNotOurs,
  checkpointOfOther,
  checkpointOverFile,
} from '../journal-messages.ts';
import { readJournal } from './file.ts';
import { isLegacyCheckpoint } from './legacy.ts';

/**
 * @param kind of the transfer
 * @param files the other files of the transfer, which it must not replace; not all need be paths
 * @throws ColdsnapError class `usage`, code `CHECKPOINT_NOT_OURS`, for a path that is one of them, or exists and is not a
 *   journal of such a transfer; `BAD_OPTION` for an empty one
 */
export async function checkNamedJournal(
  path: string | undefined,
  kind: 'download' | 'upload',
  files: readonly unknown[] = [],
): Promise<void> {
  if (path === undefined) return;
  if (path === '') throw checkpointNameEmpty();
  const file = await findSameFile([path], files.flatMap(withPartial));
  if (file !== undefined) throw checkpointOverFile(path, file);
  if ((await lstat(path).catch(() => undefined)) === undefined) return;
  const reading = await readJournal(path);
  if (reading.kind === 'absent') return;
  const found = reading.kind === 'present' ? kindOf(reading, kind) : undefined;
  if (found === undefined) throw checkpointNotOurs(path);
  // It may be all that a later run of the other transfer can resume from.
  if (found !== kind) throw checkpointOfOther(path, String(found));
}

/** @param unnamed the kind of a journal that names none */
function kindOf({ content, sealed }: { content: unknown; sealed: boolean }, unnamed: string): unknown {
  if (isLegacyCheckpoint(content)) return 'download';
  const { kind = unnamed } = content as { kind?: unknown };
  return sealed ? kind : undefined;
}

function withPartial(file: unknown): unknown[] {
  return typeof file === 'string' ? [file, partialName(file)] : [];
}
