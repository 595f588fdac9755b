/** Opens a file or device that holds one snapshot, to be made into another in place. */
import { type BigIntStats, constants, ftruncate } from 'node:fs';
import { access, lstat, realpath, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { throwIfAborted } from '../cancel.ts';
import { ClaimedFile } from './claimed-file.ts';
import { Descriptor } from './descriptor.ts';
import { openDeviceTarget } from './device/open.ts';
import type { DeviceTarget } from './device/target.ts';
import { describeFileUsers } from './device/users.ts';
import { isErrno, localError } from './errno.ts';
import { pathOfMissing } from './exact-path.ts';
import { FileTarget } from './file-target.ts';
import { targetTooSmall } from './messages/devices.ts';
import { holdsNoBase, partialNotOurs, resumeMismatch, targetInUse } from './messages/targets.ts';
import { stdoutNames } from './names.ts';
import { mayBeBetween } from './partial-mark.ts';
import { statOf } from './source-stamp.ts';
import type {
  BlockOutcome,
  Geometry,
  ImageTarget,
  InPlaceTarget,
  Notice,
  ResumableTarget,
  TargetBlock,
} from './target.ts';

const ftruncateFd = promisify(ftruncate);

interface InPlaceOptions {
  signal?: AbortSignal;
  /** Only for checks: an interrupted change of the name is not completed. */
  peek?: boolean;
}

/**
 * Opens the target. Nothing is changed yet.
 * @throws ColdsnapError class `refused` unless it is a file, a device, or the file of an interrupted run
 */
export async function openInPlace(path: string, options: InPlaceOptions = {}): Promise<InPlaceTarget> {
  if (stdoutNames.has(path)) throw holdsNoBase('stdout', 'is a stream');
  const info = await statPath(path);
  if (info?.isBlockDevice()) {
    const device = await openDeviceTarget(path, await realpath(path), info, options);
    return new InPlaceDevice(device, device);
  }
  if (info !== undefined && !info.isFile()) throw holdsNoBase(path, 'is no file and no block device');
  const file = info === undefined ? await pathOfMissing(path) : await realpath(path);
  return new InPlaceFile(path, file, options);
}

async function statPath(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw localError(error, `examine ${path}`, path);
  }
}

/** Forwards to a target for a full download. */
abstract class InPlace implements InPlaceTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget;
  protected readonly inner: ImageTarget;

  constructor(inner: ImageTarget, resumable: ResumableTarget) {
    this.inner = inner;
    this.path = inner.path;
    this.label = inner.label;
    this.resumable = resumable;
  }

  abstract get contents(): string;
  abstract checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void>;
  abstract checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void>;

  prepare(geometry: Geometry, options: Parameters<ImageTarget['prepare']>[1]): Promise<void> {
    return this.inner.prepare(geometry, options);
  }

  writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    return this.inner.writeBlocks(blocks);
  }

  zero(offset: number, length: number): Promise<void> {
    return this.inner.zero(offset, length);
  }

  sync(): Promise<void> {
    return this.inner.sync();
  }

  commit(): Promise<readonly Notice[]> {
    return this.inner.commit();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  abandon(): Promise<void> {
    return this.inner.abandon({ keepForResume: true });
  }
}

class InPlaceDevice extends InPlace {
  readonly #device: DeviceTarget;

  constructor(device: DeviceTarget, resumable: ResumableTarget) {
    super(device, resumable);
    this.#device = device;
  }

  get contents(): string {
    return this.path;
  }

  async checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void> {
    const { sizeBytes } = this.#device;
    const needed = Math.max(baseVolumeSize, volumeSize);
    if (sizeBytes < needed) throw targetTooSmall(this.path, sizeBytes, needed);
  }

  /** That it holds the base is a reason to overwrite it; whether it does is compared later. */
  async checkOverwrite(): Promise<void> {}
}

/** A file that is `<target>.partial` while it is between two states. */
class InPlaceFile extends InPlace {
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
    return `${this.#file}.partial`;
  }

  get contents(): string {
    return this.#adopted ? this.#partial : this.#file;
  }

  async checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void> {
    const named = this.#adopted ? undefined : await this.#lstat(this.#file);
    // A dry run does not adopt the partial file.
    const found = named ?? (await this.#lstat(this.#partial));
    if (found === undefined) throw holdsNoBase(this.path, 'does not exist');
    const size = Number(found.size);
    if (size === baseVolumeSize || (named === undefined && size === volumeSize)) return;
    throw holdsNoBase(this.path, `has ${size} bytes and not ${baseVolumeSize}`);
  }

  async checkOverwrite({ resuming }: { resuming: boolean }): Promise<void> {
    if (this.#adopted) return;
    const existing = await this.#lstat(this.#file);
    const partial = await this.#lstat(this.#partial);
    if (existing === undefined) {
      if (partial === undefined || !resuming) throw holdsNoBase(this.path, 'does not exist');
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

  async #lstat(path: string): Promise<BigIntStats | undefined> {
    try {
      return await lstat(path, { bigint: true });
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw localError(error, `examine ${path}`, this.path);
    }
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
