/** Keeps two emulators from using one data directory. */

import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { ColdsnapError } from '../errors.ts';
import { tryLock } from '../native/index.ts';

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/**
 * Locks a directory, which it creates if necessary, and returns the function that unlocks it. The end of the process
 * unlocks it too. The lock file stays: removing it would let two emulators lock two different files.
 *
 * @throws ColdsnapError (`refused`, `DATA_DIRECTORY_IN_USE`), or the error of a system call
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const file = openSync(join(directory, 'lock'), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o666);
  try {
    if (tryLock(file)) return () => closeSync(file);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  closeSync(file);
  throw new ColdsnapError(
    'refused',
    'DATA_DIRECTORY_IN_USE',
    `the data directory ${directory} is in use by another emulator`,
    { path: directory, hint: 'Stop the other emulator, or choose another directory.' },
  );
}
