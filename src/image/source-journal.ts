/** Where the journal of an upload belongs, and the identity of its source. */
import { type BigIntStats, constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { deviceIdentity } from './device/identity.ts';
import { exactRealpath } from './exact-path.ts';
import { journalPath, stateFile } from './state-files.ts';

/** The identity tells this file or device from others, whatever its path. */
export interface SourceJournal {
  readonly path: string;
  readonly identity: string;
}

export async function deviceJournal(stats: BigIntStats, sizeBytes: number): Promise<SourceJournal> {
  const identity = `${await deviceIdentity(stats.rdev, sizeBytes)}:${sizeBytes}`;
  return { path: stateFile(identity, 'coldsnap-upload'), identity };
}

/** Beside the source, if files can be created there under such a name; else in the state directory. */
export async function fileJournal(path: string, stats: BigIntStats): Promise<SourceJournal> {
  const identity = `file:${stats.dev}:${stats.ino}`;
  const file = await exactRealpath(path).catch(() => undefined);
  if (file === undefined) return { path: stateFile(identity, 'coldsnap-upload'), identity };
  const writable = await access(dirname(file), constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  const named = `file:${file}`;
  const journal = writable
    ? journalPath(`${file}.coldsnap-upload`, named)
    : stateFile(named, 'coldsnap-upload');
  return { path: journal, identity };
}
