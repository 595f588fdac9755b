/**
 * Journals: what a transfer has finished, kept beside it so that the next run goes on from there. A journal is replaced
 * atomically (temporary name, fsync, rename, fsync of the directory), readable by its owner alone, and never opened
 * through a symlink. One that cannot be understood is set aside, never trusted.
 */
import { constants } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Ranges and samples of the largest journal stay far below this; what is larger is not one of ours. */
const MAX_JOURNAL_BYTES = 16 * 1024 * 1024;

export type JournalReading =
  | { readonly kind: 'absent' }
  /** Exists but is not a journal: too large, not JSON, a symlink. */
  | { readonly kind: 'corrupt'; readonly reason: string }
  | { readonly kind: 'present'; readonly content: unknown };

/** Reads a journal; what it says is for the caller to check. */
export async function readJournal(path: string): Promise<JournalReading> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return { kind: 'absent' };
    return {
      kind: 'corrupt',
      reason: code === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened (${code})`,
    };
  }
  try {
    const { size } = await file.stat();
    if (size > MAX_JOURNAL_BYTES) return { kind: 'corrupt', reason: `it has ${size} bytes` };
    return { kind: 'present', content: JSON.parse(await file.readFile('utf8')) };
  } catch (error) {
    return { kind: 'corrupt', reason: (error as Error).message };
  } finally {
    await file.close();
  }
}

/** Replaces the journal atomically; when this resolves, the new one is on stable storage. */
export async function writeJournal(path: string, content: object): Promise<void> {
  const temporary = `${path}.new`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(temporary, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(temporary, flags, 0o600);
  try {
    await file.writeFile(JSON.stringify(content));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

export async function removeJournal(path: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  await rm(path, { force: true });
}

/** Moves a journal that cannot be trusted out of the way, for somebody to look at. Returns where it is now. */
export async function setJournalAside(path: string): Promise<string> {
  const aside = `${path}.corrupt`;
  await rename(path, aside);
  return aside;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
