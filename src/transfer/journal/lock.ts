/** One writer at a time: a lock beside a journal, held for as long as a run may write it. */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, unlink } from 'node:fs/promises';
import { pause } from '../../cancel.ts';
import { tryLock } from '../../native/index.ts';
import { besideJournal, makeJournalDirectory, whyForeign } from './file.ts';

/** {@link isLocked} holds a lock for a moment, which must not look like another run, to another of its kind either. */
const ATTEMPTS = 4;
const PAUSE_MS = 25;

const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export class JournalLock {
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Takes the lock {@link lockOf}, waiting no longer than a tenth of a second. The end of the process gives it back, however it
   * comes.
   * @returns undefined while another run holds it
   * @throws the system call's error where no lock can be had (no such file made, no locks on this file system)
   */
  static async take(journal: string): Promise<JournalLock | undefined> {
    const path = lockOf(journal);
    await makeJournalDirectory(path);
    for (let attempt = 1; ; ) {
      const file = await open(path, FLAGS, 0o600);
      const foreign = whyForeign(await file.stat());
      if (foreign !== undefined) {
        await file.close();
        throw new Error(foreign);
      }
      try {
        if (!tryLock(file.fd)) {
          await file.close();
          if (attempt++ === ATTEMPTS) return undefined;
          await pause(PAUSE_MS);
          continue;
        }
        // Another run may have ended, and removed the file, after it was opened here.
        if (await hasName(file, path)) return new JournalLock(path, file);
      } catch (error) {
        await unlink(path).catch(() => {});
        await file.close();
        throw error;
      }
      await file.close();
    }
  }

  /** Removes the file while it is still locked. Never throws: a leftover file does no harm. */
  async release(): Promise<void> {
    await unlink(this.#path).catch(() => {});
    await this.#file.close().catch(() => {});
  }
}

/** Whether a run holds the lock of a journal. A lock that cannot be tried counts as held. */
export async function isLocked(journal: string): Promise<boolean> {
  for (let attempt = 1; await isHeld(journal); attempt++) {
    if (attempt === ATTEMPTS) return true;
    await pause(PAUSE_MS);
  }
  return false;
}

async function isHeld(journal: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(lockOf(journal), FLAGS & ~constants.O_CREAT);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
  try {
    return !tryLock(file.fd);
  } catch {
    return true;
  } finally {
    await file.close();
  }
}

/** Where the lock of a journal is. */
export function lockOf(journal: string): string {
  return besideJournal(journal, 'lock');
}

async function hasName(file: FileHandle, path: string): Promise<boolean> {
  const opened = await file.stat({ bigint: true });
  const named = await lstat(path, { bigint: true }).catch(() => undefined);
  return named?.ino === opened.ino && named.dev === opened.dev;
}
