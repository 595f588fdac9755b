/**
 * Journal files record what a transfer has done, so that the next run resumes from there. A journal is replaced
 * atomically (temporary name, fsync, rename, fsync of the directory), readable by its owner alone, and never opened
 * through a symlink. It ends with a digest of itself; one that is damaged or cannot be understood is set aside, never
 * trusted. A file that no run of this user can have made is not touched.
 */
import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isErrno, localError } from '../../image/errno.ts';

/** Ranges and samples of the largest journal stay far below this; what is larger is not one of ours. */
const MAX_JOURNAL_BYTES = 16 * 1024 * 1024;

export type JournalReading =
  | { readonly kind: 'absent' }
  /** Exists but is not a journal: too large, not JSON, damaged, a symlink, another user's. */
  | { readonly kind: 'corrupt'; readonly reason: string }
  /** `sealed`: it has the digest of itself that {@link writeJournal} gives; other tools' files have none. */
  | { readonly kind: 'present'; readonly content: unknown; readonly sealed: boolean };

/** The end of a journal. */
const SEAL = /,"digest":"([0-9a-f]{64})"}$/;

/** Reads a journal; the caller checks its content. */
export async function readJournal(path: string): Promise<JournalReading> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // A FIFO would be waited for without O_NONBLOCK.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return { kind: 'absent' };
    return {
      kind: 'corrupt',
      reason: code === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened (${code})`,
    };
  }
  try {
    const stats = await file.stat();
    const { size } = stats;
    const foreign = whyForeign(stats);
    if (foreign !== undefined) return { kind: 'corrupt', reason: foreign };
    if (size > MAX_JOURNAL_BYTES) return { kind: 'corrupt', reason: `it has ${size} bytes` };
    return unsealed(await file.readFile('utf8'));
  } catch (error) {
    // A parser's message repeats what is in the file.
    const reason = error instanceof SyntaxError ? 'it is not valid JSON' : (error as Error).message;
    return { kind: 'corrupt', reason };
  } finally {
    await file.close();
  }
}

function unsealed(text: string): JournalReading {
  const seal = SEAL.exec(text);
  if (seal === null) return { kind: 'present', content: JSON.parse(text), sealed: false };
  const body = `${text.slice(0, seal.index)}}`;
  if (digestOf(body) !== seal[1]) return { kind: 'corrupt', reason: 'it is damaged' };
  return { kind: 'present', content: JSON.parse(body), sealed: true };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Why a file was not made by this user's runs; undefined for one that may have been. */
export function whyForeign(stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return 'it is a symbolic link';
  if (!stats.isFile()) return 'it is no regular file';
  return stats.uid === process.geteuid?.() ? undefined : 'it belongs to another user';
}

/**
 * Checks that a journal of this name may be replaced, renamed or removed.
 * @throws Error that says why the file there is not of this user's runs
 */
async function checkOurs(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  const foreign = stats === undefined ? undefined : whyForeign(stats);
  if (foreign !== undefined) throw new Error(foreign);
}

/** Makes a journal's directory, for its owner alone, unless it exists. */
export async function makeJournalDirectory(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
}

/**
 * Replaces the journal atomically; when this resolves, the new one is on stable storage. Its directory must be there: one
 * that was moved away during a run must not be made again.
 */
export async function writeJournal(path: string, content: object): Promise<void> {
  const temporary = besideJournal(path, 'new');
  await checkOurs(temporary);
  await rm(temporary, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(temporary, flags, 0o600);
  try {
    try {
      const body = JSON.stringify(content);
      await file.writeFile(`${body.slice(0, -1)},"digest":"${digestOf(body)}"}`);
      await file.sync();
    } finally {
      await file.close();
    }
    await checkOurs(path);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** A file beside a journal. Beside one that --checkpoint-file names, `x.new` and `x.lock` may be a user's files. */
export function besideJournal(path: string, what: 'new' | 'lock'): string {
  return basename(path).includes('coldsnap') ? `${path}.${what}` : `${path}.coldsnap-${what}`;
}

export async function removeJournal(path: string): Promise<void> {
  const temporary = besideJournal(path, 'new');
  await checkOurs(path);
  await checkOurs(temporary);
  await rm(temporary, { force: true });
  await rm(path, { force: true });
}

/**
 * Takes a journal away for good, before what it speaks of is overwritten: not even a power cut brings it back.
 * @throws ColdsnapError class `local` when it cannot be removed
 */
export async function invalidateJournal(path: string): Promise<void> {
  try {
    // A file system that is mounted read-only refuses to remove even what is not there.
    if (whyForeign(await lstat(path)) !== undefined) return;
    await unlink(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw localError(error, `remove ${path}`, path);
  }
}

/** Renames a journal that cannot be trusted, so that it can be inspected. Returns the new path. */
export async function setJournalAside(path: string): Promise<string> {
  const aside = `${path}.corrupt`;
  await checkOurs(path);
  await checkOurs(aside);
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
