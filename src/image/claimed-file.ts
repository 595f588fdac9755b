/** A finished image that is about to be changed in place: no other run may take it for its base meanwhile. */
import { type BigIntStats, constants } from 'node:fs';
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import { targetBusy, targetInUse } from './messages/targets.ts';
import { setBetween } from './partial-mark.ts';
import { noLinks, syncDirectory } from './publish.ts';
import { fileStamp, statOf } from './source-stamp.ts';

export class ClaimedFile {
  /** The target as the user named it, for messages. */
  readonly #target: string;
  readonly #path: string;
  readonly #descriptor: Descriptor;
  readonly #stats: BigIntStats;

  private constructor(target: string, path: string, descriptor: Descriptor, stats: BigIntStats) {
    this.#target = target;
    this.#path = path;
    this.#descriptor = descriptor;
    this.#stats = stats;
  }

  /**
   * Opens and locks the file.
   * @throws ColdsnapError `TARGET_BUSY` when another run has claimed it
   */
  static async claim(target: string, path: string): Promise<ClaimedFile> {
    let descriptor: Descriptor;
    try {
      descriptor = await Descriptor.open(
        path,
        constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
    } catch (error) {
      throw localError(error, `change ${target}`, target);
    }
    try {
      if (!(await descriptor.lock())) throw targetBusy(target, path);
      const { stats } = await fileStamp(descriptor);
      return new ClaimedFile(target, path, descriptor, stats);
    } catch (error) {
      await descriptor.close();
      throw error;
    }
  }

  /**
   * Gives the file another name, marked as neither one snapshot nor the other, and closes it.
   * @throws ColdsnapError `TARGET_IN_USE` when it was written, or lost its name, since it was claimed
   */
  async displace(partial: string): Promise<void> {
    const { ino, dev, ctimeNs } = this.#stats;
    const now = await statOf(this.#descriptor);
    const named = await lstat(this.#path, { bigint: true }).catch(() => undefined);
    if (now.ctimeNs !== ctimeNs || named?.ino !== ino || named.dev !== dev)
      throw targetInUse(this.#target, ['it was written, moved or replaced meanwhile']);
    try {
      await this.#descriptor.use(`mark ${this.#target}`, async (fd) => setBetween(fd, Number(ino)));
      await this.#descriptor.sync('all');
      await this.#rename(partial);
    } catch (error) {
      throw localError(error, `rename ${this.#target} to ${partial}`, this.#target);
    }
    await syncDirectory(dirname(this.#path), this.#target);
    await this.close();
  }

  /** By link(), which replaces no file that appears at that moment, where there are hard links. */
  async #rename(partial: string): Promise<void> {
    try {
      await link(this.#path, partial);
      await unlink(this.#path);
    } catch (error) {
      if (!isErrno(error, ...noLinks)) throw error;
      await rename(this.#path, partial);
    }
  }

  close(): Promise<void> {
    return this.#descriptor.close();
  }
}
