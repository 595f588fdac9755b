/**
 * The file that a restore to a file writes until it is whole: `<target>.partial`, locked against other runs, and given
 * its final name only when everything in it is on stable storage.
 */
import { type BigIntStats, constants, fstat, fstatSync, type Stats } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { throwIfAborted } from '../cancel.ts';
import { preload } from '../native/index.ts';
import { createMarked } from './create-file.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import {
  partialNotOurs,
  partialReplaced,
  partialResized,
  targetBetween,
  targetBusy,
} from './messages/targets.ts';
import { setOwnerAndMode, takeBack } from './ownership.ts';
import { isBetween, isMarked, mayBeOurs, removeMark, setBetween, setMark } from './partial-mark.ts';
import { publishFile } from './publish.ts';
import { statIfExists } from './stat.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
const fstatFd = promisify(fstat);

/** Longer than a run needs to mark the file that it has created. */
const markDelayMs = 200;

/** The file that an earlier run left, as far as it is known. */
interface EarlierFile {
  /** Absent in journals of files that are not told apart by it. */
  readonly inode: string | undefined;
  /** Bytes. */
  readonly size: number;
  /** Absent if it may be anybody's. */
  readonly owners: readonly (number | undefined)[] | undefined;
  /** Whether it still has its mark, on a file system that can keep one. */
  readonly marked: boolean;
}

interface PublishOptions {
  /** The file that may be replaced. */
  readonly replaceable: BigIntStats | undefined;
  /** Whether the file was changed in place, and keeps its owner and permissions. */
  readonly inPlace: boolean;
  readonly signal: AbortSignal | undefined;
}

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
    // Where a file gets its name before its mark, nothing slow may happen in between.
    preload();
    let inode = 0;
    try {
      createMarked(path, (fd) => {
        inode = fstatSync(fd).ino;
        setMark(fd, inode);
      });
    } catch (error) {
      if (isErrno(error, 'EEXIST')) throw targetBusy(target, path);
      throw localError(error, `create ${path}`, target);
    }
    const partial = await PartialFile.adopt(target, path);
    if (partial !== undefined && (await partial.stat()).ino === inode) return partial;
    // Another run took the lock first, and removed or replaced the file.
    await partial?.close();
    throw targetBusy(target, path);
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

  /** Why the file is not the one that an earlier run left; undefined if it is. */
  async whyOther(expected: EarlierFile): Promise<string | undefined> {
    const { size, nlink, uid, ino } = await this.stat();
    if (expected.inode !== undefined && expected.inode !== String(ino)) return 'is another file';
    if (size !== expected.size) return `has ${size} bytes and not ${expected.size}`;
    if (nlink !== 1) return 'has a second name';
    if (expected.owners?.includes(uid) === false) return 'belongs to another user';
    if (!expected.marked) return undefined;
    // Where marks cannot be kept, a file without one may be ours.
    const ours = await this.descriptor.use(`examine ${this.path}`, async (fd) => mayBeOurs(fd, ino));
    return ours ? undefined : 'was made by another program';
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
   * Detects that the file was moved, replaced, cut or extended, since it can no longer become the target.
   * @throws ColdsnapError `PARTIAL_REPLACED`
   */
  async checkIntact(size: number): Promise<void> {
    if ((await this.stat()).size !== size) throw partialResized(this.#target, this.path);
    await this.#checkName();
  }

  async #checkName(): Promise<void> {
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
   * Makes the file the image: without its mark, with its final owner and permissions, on stable storage, under its name.
   * After a failure it is a partial file again.
   * @throws ColdsnapError `TARGET_EXISTS`, `PARTIAL_REPLACED`
   */
  async publish(file: string, { replaceable, inPlace, signal }: PublishOptions): Promise<void> {
    await this.descriptor.use(`unmark ${this.path}`, async (fd) => removeMark(fd));
    try {
      if (!inPlace) await setOwnerAndMode(this.descriptor, file, replaceable);
      await this.descriptor.sync('all');
      throwIfAborted(signal);
      await this.#checkName();
      const replace = isSame(await statIfExists(file, this.#target), replaceable);
      await publishFile(this.#target, this.path, file, { replace });
    } catch (error) {
      // Without the mark the next run takes the file for another program's. The failure before is the one to report.
      await this.reclaim({ inPlace }).catch(() => {});
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

/** Whether both are one file: one that is created after another was removed may get its inode number. */
function isSame(one: BigIntStats | undefined, other: BigIntStats | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return (['ino', 'dev', 'birthtimeNs'] as const).every((field) => one[field] === other[field]);
}
