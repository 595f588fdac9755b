/**
 * An open file descriptor that is never closed under a system call: the number could be given to another file at once,
 * and a write in flight on the thread pool would go there.
 */
import { close, constants, open } from 'node:fs';
import { promisify } from 'node:util';
import { syncAll, syncData, tryLock } from '../native/index.ts';
import { isErrno, localError } from './errno.ts';
import { closed } from './messages/common.ts';

const openFd = promisify(open);
const closeFd = promisify(close);

/** Errors of a file system without locks. */
const noLocks = ['ENOLCK', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'];

export class Descriptor {
  /** The name for messages. */
  readonly path: string;
  readonly #fd: number;
  #inFlight = 0;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  #syncFailure: { readonly error: unknown } | undefined;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
  }

  /**
   * Opens a path with `fs.constants.O_…` flags.
   * @throws the error of fs.open as it is
   */
  static async open(path: string, flags: number, mode?: number): Promise<Descriptor> {
    return new Descriptor(await openFd(path, flags, mode), path);
  }

  /**
   * Calls `operation` with the descriptor, which stays open until it settles. A failed system call becomes an error
   * of class `local`; `doing` completes "could not …".
   * @throws ColdsnapError `CLOSED` after `close()` was called
   */
  async use<T>(doing: string, operation: (fd: number) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw closed(this.path);
    this.#inFlight++;
    try {
      return await operation(this.#fd);
    } catch (error) {
      throw localError(error, doing, this.path);
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#idle?.();
    }
  }

  /**
   * Returns when what was written is on stable storage: `data` by fdatasync, `all` by fsync. The kernel reports data that
   * it could not store only once, so a descriptor that failed to sync stays failed.
   */
  async sync(what: 'data' | 'all'): Promise<void> {
    try {
      await this.use(`sync ${this.path}`, (fd) => (what === 'data' ? syncData(fd) : syncAll(fd)));
    } catch (error) {
      this.#syncFailure ??= { error };
    }
    if (this.#syncFailure !== undefined) throw this.#syncFailure.error;
  }

  /** Locks the file, without waiting. False when another process has the lock; true where the file system has none. */
  lock(): Promise<boolean> {
    return this.use(`lock ${this.path}`, async (fd) => {
      try {
        return tryLock(fd);
      } catch (error) {
        if (isErrno(error, ...noLocks)) return true;
        throw error;
      }
    });
  }

  /**
   * Opens the same inode a second time for direct I/O, which avoids a copy and keeps the page cache free.
   * @returns undefined where the file system does not support it, or /proc is not there
   */
  async openDirect(access: 'read' | 'read-write'): Promise<Descriptor | undefined> {
    const flags = (access === 'read' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_DIRECT;
    // Through /proc it is this very inode, whatever the path refers to now.
    return this.use(`open ${this.path} for direct I/O`, async (fd) => {
      try {
        return new Descriptor(await openFd(`/proc/self/fd/${fd}`, flags), this.path);
      } catch (error) {
        if (isErrno(error, 'EINVAL', 'ENOENT', 'EACCES')) return undefined;
        throw error;
      }
    });
  }

  /** Whether nobody claims the block device, as a mount does. Claims it for a moment. */
  async canBeClaimed(): Promise<boolean> {
    return this.use(`examine ${this.path}`, async (fd) => {
      // A chroot may have no /proc.
      for (const path of [`/proc/self/fd/${fd}`, this.path]) {
        try {
          await closeFd(await openFd(path, constants.O_RDONLY | constants.O_EXCL));
          return true;
        } catch (error) {
          if (!isErrno(error, 'ENOENT')) return !isErrno(error, 'EBUSY');
        }
      }
      return true;
    });
  }

  /** Hands the number over to a caller that closes it. */
  release(): number {
    this.#closing = Promise.resolve();
    return this.#fd;
  }

  /** Waits for operations in flight, then closes. Further calls wait for the same close. */
  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    try {
      await closeFd(this.#fd);
    } catch (error) {
      throw localError(error, `close ${this.path}`, this.path);
    }
  }
}

/** Direct I/O needs offsets, lengths and memory aligned to the device's logical block; 4 KiB covers all in use. */
export const directAlignment = 4096;
