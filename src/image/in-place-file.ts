/** A file that is made from one snapshot into another. */
import { constants, ftruncate } from 'node:fs';
import { access, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { throwIfAborted } from '../cancel.ts';
import type { ColdsnapError } from '../errors.ts';
import { ClaimedFile } from './claimed-file.ts';
import { Descriptor } from './descriptor.ts';
import { describeFileUsers } from './device/users.ts';
import { localError } from './errno.ts';
import { FileTarget } from './file-target.ts';
import { InPlace, type InPlaceOptions } from './in-place-target.ts';
import {
  holdsNoBase,
  partialNotOurs,
  resumeMismatch,
  targetBetween,
  targetInUse,
} from './messages/targets.ts';
import { partialName } from './names.ts';
import { isBetween, isMarked, mayBeBetween } from './partial-mark.ts';
import { statOf } from './source-stamp.ts';
import { lstatIfExists } from './stat.ts';
import type { Geometry, ImageTarget } from './target.ts';

const ftruncateFd = promisify(ftruncate);

/** A file that is `<target>.partial` while it is between two states. */
export class InPlaceFile extends InPlace {
  readonly #file: string;
  readonly #signal: AbortSignal | undefined;
  readonly #peek: boolean;
  /** Whether the partial file is open and locked: this run has renamed the file, or an earlier one had. */
  #adopted = false;
  /** The file under its own name, until this run renames it. */
  #claimed: ClaimedFile | undefined;

  constructor(path: string, file: string, { signal, peek = false }: InPlaceOptions) {
    const inner = new FileTarget(path, file, signal, { inPlace: true });
    super(inner, inner);
    this.#file = file;
    this.#signal = signal;
    this.#peek = peek;
  }

  get #partial(): string {
    return partialName(this.#file);
  }

  get contents(): string {
    return this.#adopted ? this.#partial : this.#file;
  }

  async checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void> {
    const named = this.#adopted ? undefined : await lstatIfExists(this.#file, this.path);
    // A dry run does not adopt the partial file.
    const found = named ?? (await lstatIfExists(this.#partial, this.path));
    if (found === undefined) throw holdsNoBase(this.path, 'does not exist');
    const size = Number(found.size);
    if (size === baseVolumeSize || (named === undefined && size === volumeSize)) return;
    throw holdsNoBase(this.path, `has ${size} bytes and not ${baseVolumeSize}`);
  }

  async checkOverwrite({ resuming }: { resuming: boolean }): Promise<void> {
    if (this.#adopted) return;
    const existing = await lstatIfExists(this.#file, this.path);
    const partial = await lstatIfExists(this.#partial, this.path);
    if (existing === undefined) {
      if (partial === undefined || !resuming) throw await this.#noTarget();
      await this.#adopt();
      return;
    }
    const interrupted = resuming && partial?.ino === existing.ino && partial.dev === existing.dev;
    if (partial !== undefined && !interrupted) throw partialNotOurs(this.path, this.#partial, 'in the way');
    const users = await describeFileUsers(this.#file, existing);
    if (existing.nlink > (interrupted ? 2 : 1)) users.push('it has a second name, which would change too');
    if (users.length > 0) throw targetInUse(this.path, users);
    try {
      await access(this.#file, constants.R_OK | constants.W_OK);
      await access(dirname(this.#file), constants.W_OK | constants.X_OK);
    } catch (error) {
      throw localError(error, `change ${this.path}`, this.path);
    }
    if (this.#peek) return;
    if (!interrupted) {
      this.#claimed ??= await ClaimedFile.claim(this.path, this.#file);
      return;
    }
    await unlink(this.#file);
    await this.#adopt();
  }

  override async close(): Promise<void> {
    await this.#claimed?.close();
    await super.close();
  }

  override async abandon(): Promise<void> {
    await this.#claimed?.close();
    await super.abandon();
  }

  /** An earlier run may have renamed the file, and its journal been lost. */
  async #noTarget(): Promise<ColdsnapError> {
    const between = await hasMark(this.#partial, isBetween);
    return between ? targetBetween(this.path, this.#partial) : holdsNoBase(this.path, 'does not exist');
  }

  /** Somebody may have renamed a partial file. */
  mayBeUnfinished(): Promise<boolean> {
    return hasMark(this.#file, (fd, ino) => isBetween(fd, ino) || isMarked(fd, ino));
  }

  async #adopt(): Promise<void> {
    await this.inner.checkOverwrite({ force: false, resuming: true });
    this.#adopted = true;
  }

  override async prepare(geometry: Geometry, options: Parameters<ImageTarget['prepare']>[1]): Promise<void> {
    if (!this.#adopted) {
      if (options.resume) throw resumeMismatch(this.path, 'nothing of it was changed');
      throwIfAborted(this.#signal);
      await this.#claimed?.displace(this.#partial);
      await this.#adopt();
    }
    await this.#resizeOurs(options, geometry.volumeSize);
    await this.inner.prepare(geometry, { ...options, resume: true });
  }

  /**
   * Cuts or extends the partial file, unless another file has taken its name since the earlier run: the bytes beyond the
   * volume belong to the base alone.
   * @param options with the inode that the journal names, once it was saved after the change of the name. It decides where
   *   a commit may have removed the mark
   */
  async #resizeOurs(
    { instance, committing }: Parameters<ImageTarget['prepare']>[1],
    volumeSize: number,
  ): Promise<void> {
    const descriptor = await Descriptor.open(this.#partial, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      const { ino } = await statOf(descriptor);
      const ours =
        (committing !== undefined && instance === String(ino)) ||
        (await descriptor.use('examine', async (fd) => mayBeBetween(fd, Number(ino))));
      if (!ours) throw partialNotOurs(this.path, this.#partial, 'a file of another program');
      throwIfAborted(this.#signal);
      const doing = `give ${this.#partial} a size of ${volumeSize} bytes`;
      await descriptor.use(doing, (fd) => ftruncateFd(fd, volumeSize));
    } finally {
      await descriptor.close();
    }
  }
}

async function hasMark(path: string, marked: (fd: number, ino: number) => boolean): Promise<boolean> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  const descriptor = await Descriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
  if (descriptor === undefined) return false;
  try {
    const ino = Number((await statOf(descriptor)).ino);
    return await descriptor.use('examine', async (fd) => marked(fd, ino));
  } finally {
    await descriptor.close();
  }
}
