/** A journal file that the user names may be anything; only a journal is ever replaced, moved or removed. */
import { lstat } from 'node:fs/promises';
import { partialName } from '../../image/names.ts';
import { findSameFile } from '../../image/same-file.ts';
import {
  checkpointNameEmpty,
  checkpointNotOurs,
  checkpointOfOther,
  checkpointOverFile,
  journalBusy,
} from '../journal-messages.ts';
import type { CheckpointOptions } from '../options.ts';
import { readJournal } from './file.ts';
import { isLegacyCheckpoint } from './legacy.ts';
import { JournalLock, lockOf } from './lock.ts';

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

/**
 * Carries out a download, whose target excludes other runs, while no other run uses the journal that was named for it.
 * @throws ColdsnapError what {@link checkNamedJournal} throws, and class `refused`, code `TARGET_BUSY`
 */
export async function withNamedJournal<T>(
  { checkpoint, checkpointFile }: CheckpointOptions,
  files: readonly unknown[],
  download: () => Promise<T>,
): Promise<T> {
  await checkNamedJournal(checkpointFile, 'download', files);
  const lock = checkpoint === false ? undefined : await lockNamed(checkpointFile);
  try {
    return await download();
  } finally {
    await lock?.release();
  }
}

async function lockNamed(path: string | undefined): Promise<JournalLock | undefined> {
  if (path === undefined) return undefined;
  let lock: JournalLock | undefined;
  try {
    lock = await JournalLock.take(path);
  } catch {
    // No locks on this file system, or no journal either, of which saving it warns.
    return undefined;
  }
  if (lock === undefined) throw journalBusy(path, lockOf(path));
  return lock;
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
