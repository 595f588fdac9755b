/** Opens a file or device that holds one snapshot, to be made into another in place. */
import { realpath } from 'node:fs/promises';
import { allocateSlab } from '../native/index.ts';
import { openDeviceTarget } from './device/open.ts';
import type { DeviceTarget } from './device/target.ts';
import { pathOfMissing } from './exact-path.ts';
import { InPlaceFile } from './in-place-file.ts';
import { InPlace, type InPlaceOptions } from './in-place-target.ts';
import { targetTooSmall } from './messages/devices.ts';
import { holdsNoBase } from './messages/targets.ts';
import { stdoutNames } from './names.ts';
import { statIfExists } from './stat.ts';
import type { InPlaceTarget, ResumableTarget } from './target.ts';

/**
 * Opens the target. Nothing is changed yet.
 * @throws ColdsnapError class `refused` unless it is a file, a device, or the file of an interrupted run
 */
export async function openInPlace(path: string, options: InPlaceOptions = {}): Promise<InPlaceTarget> {
  if (stdoutNames.has(path)) throw holdsNoBase('stdout', 'is a stream');
  const info = await statIfExists(path);
  if (info?.isBlockDevice()) {
    const device = await openDeviceTarget(path, await realpath(path), info, options);
    return new InPlaceDevice(device, device);
  }
  if (info !== undefined && !info.isFile()) throw holdsNoBase(path, 'is no file and no block device');
  const file = info === undefined ? await pathOfMissing(path) : await realpath(path);
  return new InPlaceFile(path, file, options);
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

  /** Its first block is then zeros, and the base may begin with zeros, too. */
  async mayBeUnfinished(blockSize: number): Promise<boolean> {
    const first = { data: new Uint8Array(allocateSlab(blockSize)), offset: 0 };
    const [found] = await this.resumable.readBlocks([first], { pastCache: true });
    return found?.zero === true;
  }

  /** That it holds the base is a reason to overwrite it; whether it does is compared later. */
  async checkOverwrite(): Promise<void> {}
}
