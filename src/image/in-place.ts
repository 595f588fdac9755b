/** Opens a file or device that holds one snapshot, to be made into another in place. */
import { type BigIntStats, constants } from 'node:fs';
import { access, link, lstat, realpath, rename, stat, truncate, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { throwIfAborted } from '../cancel.ts';
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
import { syncDirectory } from './partial-file.ts';
import { mayBeBetween, setBetween } from './partial-mark.ts';
import type {
  BlockOutcome,
  Geometry,
  ImageTarget,
  InPlaceTarget,
  Notice,
  ResumableTarget,
  TargetBlock,
} from './target.ts';

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
    const { size } = await stat(this.contents);
    if (size === baseVolumeSize || (this.#adopted && size === volumeSize)) return;
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
    if (!interrupted || this.#peek) return;
    await unlink(this.#file);
    await this.#adopt();
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
      await this.#displace();
      await this.#adopt();
    }
    await this.#checkOurs(options.instance);
    throwIfAborted(this.#signal);
    try {
      // The bytes beyond the volume belong to the base alone.
      await truncate(this.#partial, geometry.volumeSize);
    } catch (error) {
      throw localError(error, `give ${this.#partial} a size of ${geometry.volumeSize} bytes`, this.path);
    }
    await this.inner.prepare(geometry, { ...options, resume: true });
  }

  /**
   * Another file may have taken the partial file's name since the earlier run.
   * @param instance the inode that the journal names, once it was saved after the change of the name
   */
  async #checkOurs(instance: string | undefined): Promise<void> {
    const descriptor = await Descriptor.open(this.#partial, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { ino } = await stat(this.#partial);
      const ours =
        instance === String(ino) || (await descriptor.use('examine', async (fd) => mayBeBetween(fd, ino)));
      if (!ours) throw partialNotOurs(this.path, this.#partial, 'a file of another program');
    } finally {
      await descriptor.close();
    }
  }

  /** Takes its name from the file, marked as neither one snapshot nor the other. */
  async #displace(): Promise<void> {
    throwIfAborted(this.#signal);
    const flags = constants.O_RDWR | constants.O_NOFOLLOW;
    try {
      const descriptor = await Descriptor.open(this.#file, flags);
      try {
        const { ino } = await stat(this.#file);
        await descriptor.use(`mark ${this.path}`, async (fd) => setBetween(fd, ino));
        await descriptor.sync('all');
      } finally {
        await descriptor.close();
      }
      await this.#rename();
    } catch (error) {
      throw localError(error, `rename ${this.path} to ${this.#partial}`, this.path);
    }
    await syncDirectory(dirname(this.#file), this.path);
  }

  /** By link(), which replaces no file that appears at that moment, where there are hard links. */
  async #rename(): Promise<void> {
    try {
      await link(this.#file, this.#partial);
      await unlink(this.#file);
    } catch (error) {
      if (!isErrno(error, 'EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EINVAL')) throw error;
      await rename(this.#file, this.#partial);
    }
  }
}
