/**
 * The file that a restore to a file writes until it is whole: `<target>.partial`, locked against other runs, and given
 * its final name only when everything in it is on stable storage.
 */
import { constants, fstat, fstatSync, openSync, type Stats } from 'node:fs';
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { preload, syncAll } from '../native/index.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import {
  partialNotOurs,
  partialReplaced,
  targetAppeared,
  targetBetween,
  targetBusy,
} from './messages/targets.ts';
import { takeBack } from './ownership.ts';
import { isBetween, isMarked, mayBeOurs, removeMark, setBetween, setMark } from './partial-mark.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const fstatFd = promisify(fstat);

/** Longer than a run needs to mark the file that it has created. */
const markDelayMs = 200;

/** Errors of a file system without hard links. */
export const noLinks = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EINVAL'];

export class PartialFile {
  readonly path: string;
  /** The target as the user named it, for messages. */
  readonly #target: string;
  readonly descriptor: Descriptor;

  private constructor(target: string, path: string, descriptor: Descriptor) {
    this.#target = target;
    this.path = path;
    this.descriptor = descriptor;
  }

  /**
   * Creates and locks the file, empty, readable by its owner alone.
   * @throws ColdsnapError `TARGET_BUSY` when another run has one
   */
  static async create(target: string, path: string): Promise<PartialFile> {
    // A kill between creation and mark leaves a file that no later run may remove, so nothing slow happens there.
    preload();
    let descriptor: Descriptor;
    try {
      // Marked in the same turn, and before the lock: a run that takes
      // the lock in between must see whose file it is.
      const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      descriptor = new Descriptor(fd, path);
      setMark(fd, fstatSync(fd).ino);
    } catch (error) {
      if (isErrno(error, 'EEXIST')) throw targetBusy(target, path);
      throw localError(error, `create ${path}`, target);
    }
    return PartialFile.#lock(target, path, descriptor);
  }

  /**
   * Opens and locks the partial file of an earlier run; undefined when there is none.
   * @throws ColdsnapError `TARGET_BUSY` when that run is still active, `PARTIAL_FOREIGN` when it is not a regular file
   */
  static async adopt(target: string, path: string): Promise<PartialFile | undefined> {
    let descriptor: Descriptor;
    try {
      // Not through a symbolic link, and without waiting for the other end should it be a FIFO.
      descriptor = await Descriptor.open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      if (isErrno(error, 'ELOOP')) throw partialNotOurs(target, path, 'a symbolic link');
      if (isErrno(error, 'EISDIR')) throw partialNotOurs(target, path, 'a directory');
      if (isErrno(error, 'ENXIO')) throw partialNotOurs(target, path, 'a special file');
      throw localError(error, `open ${path}`, target);
    }
    const partial = await PartialFile.#lock(target, path, descriptor);
    if ((await partial.stat()).isFile()) return partial;
    await partial.close();
    throw partialNotOurs(target, path, 'a special file');
  }

  static async #lock(target: string, path: string, descriptor: Descriptor): Promise<PartialFile> {
    const partial = new PartialFile(target, path, descriptor);
    try {
      // Without locks the check in publish() still finds that another run has taken the name.
      const locked = await descriptor.lock();
      // Another run may have removed the file, as a stale one, before this run got the lock.
      if (!locked || !(await partial.#hasName())) throw targetBusy(target, path);
      return partial;
    } catch (error) {
      await descriptor.close();
      throw error;
    }
  }

  /**
   * Checks that the file was made by this tool, for this user, and has no second name, so that it may be removed. An image
   * that was being changed in place may be, with force.
   * @throws ColdsnapError `PARTIAL_FOREIGN`, `TARGET_BETWEEN`
   */
  async checkOurs({ force }: { force: boolean }): Promise<void> {
    const { uid, nlink, ino, size } = await this.stat();
    const between = await this.descriptor.use(`examine ${this.path}`, async (fd) => isBetween(fd, ino));
    if (between && !force) throw targetBetween(this.#target, this.path);
    let marked = between || (await this.#isMarked(ino));
    if (!marked && size === 0) {
      // Another run may have created it at this moment.
      await delay(markDelayMs);
      marked = await this.#isMarked(ino);
    }
    const why =
      uid !== process.geteuid?.()
        ? 'a file of another user'
        : nlink !== 1
          ? 'a file with a second name'
          : marked
            ? undefined
            : 'a file of another program';
    if (why !== undefined) throw partialNotOurs(this.#target, this.path, why);
  }

  async #isMarked(ino: number): Promise<boolean> {
    return this.descriptor.use(`examine ${this.path}`, async (fd) => isMarked(fd, ino));
  }

  /** Whether this tool may have made the file; false where a mark that it would have is missing. */
  async mayBeOurs(): Promise<boolean> {
    const { ino } = await this.stat();
    return this.descriptor.use(`examine ${this.path}`, async (fd) => mayBeOurs(fd, ino));
  }

  /** Removes the mark before the file becomes the image. */
  removeMark(): Promise<void> {
    return this.descriptor.use(`unmark ${this.path}`, async (fd) => removeMark(fd));
  }

  /** Takes the file back, with its mark, after a commit that ended before the file got its final name. */
  async reclaim({ inPlace }: { inPlace: boolean }): Promise<void> {
    const { ino, nlink } = await this.stat();
    if (nlink !== 1 || !(await this.#hasName())) return;
    const set = inPlace ? setBetween : setMark;
    await this.descriptor.use(`mark ${this.path}`, async (fd) => set(fd, ino));
    if (!inPlace) await takeBack(this.descriptor);
  }

  stat(): Promise<Stats> {
    return this.descriptor.use(`examine ${this.path}`, (fd) => fstatFd(fd));
  }

  /**
   * Detects early that the file was moved or replaced, since it can no longer become the target.
   * @throws ColdsnapError `PARTIAL_REPLACED`
   */
  async checkName(): Promise<void> {
    if (!(await this.#hasName())) throw partialReplaced(this.#target, this.path);
  }

  /** Whether the path still refers to the open file. */
  async #hasName(): Promise<boolean> {
    const opened = await this.stat();
    try {
      const named = await lstat(this.path);
      return named.ino === opened.ino && named.dev === opened.dev;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw localError(error, `examine ${this.path}`, this.#target);
    }
  }

  /**
   * Gives the file its final name and makes that durable. With `replace` by rename(), which replaces a file atomically;
   * else by link(), which, unlike a check and a rename(), cannot replace a file that is created at that moment.
   * (renameat2 with RENAME_NOREPLACE would do it in one call; Node does not offer it.) A kill between link and unlink
   * leaves both names on the finished file, which does no harm.
   * @throws ColdsnapError `TARGET_EXISTS`, `PARTIAL_REPLACED`
   */
  async publish(file: string, options: { replace: boolean }): Promise<void> {
    await this.checkName();
    try {
      if (options.replace) {
        await rename(this.path, file);
      } else if (await this.#linkTo(file)) {
        await unlink(this.path);
      } else {
        // A file system without hard links (FAT, some network ones): the gap between check and rename stays.
        if (await exists(file)) throw targetAppeared(this.#target);
        await rename(this.path, file);
      }
    } catch (error) {
      throw localError(error, `rename ${this.path} to ${file}`, this.#target);
    }
    await syncDirectory(dirname(file), this.#target);
  }

  /** Finishes a `publish()` that was killed: removes the partial name, if it is still there, and syncs the directory. */
  static async finishPublishing(target: string, path: string, file: string): Promise<void> {
    try {
      const [partial, published] = await Promise.all([lstat(path), lstat(file)]);
      if (partial.ino === published.ino && partial.dev === published.dev) await unlink(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw localError(error, `remove ${path}`, target);
    }
    await syncDirectory(dirname(file), target);
  }

  async #linkTo(file: string): Promise<boolean> {
    try {
      await link(this.path, file);
      return true;
    } catch (error) {
      if (isErrno(error, 'EEXIST')) throw targetAppeared(this.#target);
      if (isErrno(error, ...noLinks)) return false;
      throw error;
    }
  }

  /** Removes the file (still holding its lock), then closes. */
  async remove(): Promise<void> {
    try {
      if (await this.#hasName()) await unlink(this.path);
    } catch (error) {
      throw localError(error, `remove ${this.path}`, this.#target);
    } finally {
      await this.close();
    }
  }

  close(): Promise<void> {
    return this.descriptor.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** A new name is durable only when its directory is. */
export async function syncDirectory(directory: string, target: string): Promise<void> {
  let descriptor: Descriptor | undefined;
  try {
    descriptor = await Descriptor.open(directory, O_RDONLY | O_DIRECTORY);
    await descriptor.use(`sync the directory ${directory}`, (fd) => syncAll(fd));
  } catch (error) {
    // Some network file systems cannot sync directories, and then need not.
    if (!isErrno(error, 'EINVAL')) throw localError(error, `sync the directory ${directory}`, target);
  } finally {
    await descriptor?.close();
  }
}
