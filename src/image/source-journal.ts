/** Where the journal of an upload belongs, and the identity of its source. */
import { type BigIntStats, constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { deviceIdentity } from './device/identity.ts';
import { exactRealpath } from './exact-path.ts';
import { fitsJournal } from './names.ts';
import { stateFile } from './state-files.ts';

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
  const beside = file === undefined ? undefined : `${file}.coldsnap-upload`;
  const writable =
    beside !== undefined &&
    fitsJournal(beside) &&
    (await access(dirname(beside), constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    ));
  return {
    path: writable ? beside : stateFile(`file:${file ?? identity}`, 'coldsnap-upload'),
    identity,
  };
}
