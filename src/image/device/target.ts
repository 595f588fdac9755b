/** Restoring to a block device: claimed exclusively, never past the volume, block 0 last. */
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import {
  allocateSlab,
  type BlockRead,
  type BlockReadResult,
  type BlockWrite,
  type DeviceInfo,
  deviceFacts,
  dropCache,
  openExclusive,
  readBlocks,
  rereadPartitionTable,
  writeBlocks,
  type ZeroMethod,
  zeroRange,
} from '../../native/index.ts';
import { Descriptor, directAlignment } from '../descriptor.ts';
import { isErrno, localError } from '../errno.ts';
import { checkGeometry, checkRange, notPrepared } from '../geometry.ts';
import {
  deviceChanged,
  deviceInUse,
  deviceNoMedium,
  deviceReplaced,
  targetNotBlank,
  targetReadOnly,
  targetTooSmall,
} from '../messages/devices.ts';
import { resumeMismatch } from '../messages/targets.ts';
import { deviceIdentity, stateFile } from '../state-files.ts';
import type { BlockOutcome, Geometry, ImageTarget, ResumableTarget, UnverifiedBlock } from '../target.ts';
import { describeContents } from './contents.ts';
import { describeUsers } from './users.ts';
import { readWriteCount, writtenSince } from './write-count.ts';

/** Every partition table, file system, LVM, LUKS, RAID and ZFS label shows in the first or the last MiB. */
const blankProbe = 1024 * 1024;

/**
 * How much at the start is kept back until commit: one block of the real service. It holds what makes a disk look like
 * one, so blocks of an emulator that are smaller are kept back together.
 */
const headSize = 512 * 1024;

/**
 * Claims the device that `stats` describes and checks that it can be written.
 * @param device the path with symbolic links followed
 * @throws ColdsnapError `DEVICE_IN_USE`, `TARGET_READ_ONLY`, `TARGET_NO_MEDIUM`, `DEVICE_CHANGED`
 */
export async function openDeviceTarget(
  path: string,
  device: string,
  stats: BigIntStats,
): Promise<DeviceTarget> {
  const descriptor = new Descriptor(await claim(path, device, stats), path);
  try {
    const facts = await descriptor.use(`examine ${path}`, (fd) => deviceFacts(fd));
    if (facts.sizeBytes === 0) throw deviceNoMedium(path, 'target');
    if (facts.readOnly) throw targetReadOnly(path);
    return new DeviceTarget(
      path,
      device,
      descriptor,
      stats.rdev,
      facts,
      await deviceIdentity(stats.rdev, facts.sizeBytes),
    );
  } catch (error) {
    await descriptor.close();
    throw error;
  }
}

async function claim(path: string, device: string, { dev, ino, rdev }: BigIntStats): Promise<number> {
  try {
    return await openExclusive(device, { write: true, direct: false, expect: { dev, ino, rdev } });
  } catch (error) {
    if (isErrno(error, 'EBUSY')) throw deviceInUse(path, await describeUsers(rdev));
    if (isErrno(error, 'EROFS')) throw targetReadOnly(path);
    if (isErrno(error, 'ENOMEDIUM', 'ENXIO')) throw deviceNoMedium(path, 'target');
    if (isErrno(error, 'EINODECHANGED')) throw deviceChanged(path, error);
    throw localError(error, `open ${path} for writing`, path);
  }
}

export class DeviceTarget implements ImageTarget, ResumableTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget = this;
  readonly stagesHead = true;
  /** A loop device reports success for a write that its full storage took only in part (lo_complete_rq). */
  readonly losesLastWrites = true;
  readonly journal: { readonly path: string; readonly identity: string };
  readonly sizeBytes: number;
  /** The device's own name; not a link, and not to be mistaken for an option. */
  readonly #node: string;
  readonly #device: Descriptor;
  readonly #rdev: bigint;
  readonly #logicalBlockSize: number;
  #direct: Descriptor | undefined;
  #geometry: Geometry | undefined;
  /** The blocks of the head that have arrived, by offset, in memory of their own. */
  readonly #held = new Map<number, BlockWrite>();
  #head: Uint8Array = new Uint8Array(0);
  #zeroMethod: ZeroMethod = 'blkzeroout';

  /** @param device claimed exclusively, writable, with a medium */
  constructor(
    path: string,
    node: string,
    device: Descriptor,
    rdev: bigint,
    facts: DeviceInfo,
    identity: string,
  ) {
    this.path = path;
    this.label = path;
    this.#rdev = rdev;
    this.#node = node;
    this.sizeBytes = facts.sizeBytes;
    this.#device = device;
    this.#logicalBlockSize = facts.logicalBlockSize;
    this.journal = { path: stateFile(identity, 'coldsnap-progress'), identity };
  }

  async checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void> {
    if (options.force || options.resuming || (await this.#isBlank())) return;
    throw targetNotBlank(this.path, await describeContents(this.#node));
  }

  async #isBlank(): Promise<boolean> {
    const length = Math.min(blankProbe, this.sizeBytes);
    return (await this.#isZero(0, length)) && (await this.#isZero(this.sizeBytes - length, length));
  }

  async #isZero(offset: number, length: number): Promise<boolean> {
    const read = { data: new Uint8Array(allocateSlab(length)), offset };
    const [result] = await this.#device.use(`read ${this.path}`, (fd) =>
      readBlocks(fd, [read], { hash: false }),
    );
    return result!.zero && result!.bytesRead === length;
  }

  async prepare(
    geometry: Geometry,
    options: { resume: boolean; committing?: string | undefined },
  ): Promise<void> {
    const { volumeSize, blockSize } = geometry;
    checkGeometry(this.path, geometry);
    if (volumeSize > this.sizeBytes) throw targetTooSmall(this.path, this.sizeBytes, volumeSize);
    const headLength = Math.min(Math.ceil(headSize / blockSize) * blockSize, volumeSize);
    this.#held.clear();
    if (options.resume) {
      if (
        !(await this.#isZero(0, headLength)) &&
        !(await this.#onlyCommitted(headLength, options.committing))
      )
        throw resumeMismatch(this.path, 'its first block was written since');
    } else {
      await this.#device.use(`zero the first block of ${this.path}`, async (fd) => {
        this.#zeroMethod = await zeroRange(fd, 0, headLength, this.#zeroMethod);
      });
      await this.#device.sync('data');
    }
    if (this.#head.length < headLength) this.#head = new Uint8Array(allocateSlab(headLength));
    if (blockSize % directAlignment === 0 && blockSize % this.#logicalBlockSize === 0) {
      this.#direct ??= await this.#device.openDirect('read-write');
    }
    this.#geometry = geometry;
  }

  /** Whether the head, which is not zeros, can only be what a commit that was cut off has written of it. */
  async #onlyCommitted(headLength: number, mark = ''): Promise<boolean> {
    const written = await writtenSince(mark, this.#rdev);
    return written !== undefined && written <= headLength;
  }

  /** How much had been written to the device before its commit. */
  async commitStamp(): Promise<string> {
    await this.#device.sync('data');
    return (await readWriteCount(this.#rdev)) ?? '';
  }

  /** The identity in the journal already distinguishes devices. */
  async inode(): Promise<undefined> {}

  async finishCommit(): Promise<boolean> {
    return false;
  }

  #volumeSize(): number {
    if (this.#geometry === undefined) throw notPrepared(this.path);
    return this.#geometry.volumeSize;
  }

  async writeBlocks(blocks: readonly UnverifiedBlock[]): Promise<BlockOutcome[]> {
    const volumeSize = this.#volumeSize();
    for (const block of blocks) checkRange(this.path, block.offset, block.data.length, volumeSize);
    const verdicts = new Map<UnverifiedBlock, BlockOutcome>();
    const head = blocks.filter((block) => block.offset < this.#head.length);
    const rest = blocks.filter((block) => block.offset >= this.#head.length);
    if (head.length > 0) await this.#hold(head, verdicts);
    if (rest.length > 0) {
      const options = { zero: 'zero', zeroMethod: this.#zeroMethod } as const;
      const result = await (this.#direct ?? this.#device).use(`write to ${this.path}`, (fd) =>
        writeBlocks(fd, rest, options),
      );
      this.#zeroMethod = result.zeroMethod;
      rest.forEach((block, i) => void verdicts.set(block, result.outcomes[i]!));
    }
    return blocks.map((block) => verdicts.get(block)!);
  }

  /** Checks blocks of the head without writing them, and keeps copies; that range reads as zeros until commit. */
  async #hold(
    blocks: readonly UnverifiedBlock[],
    verdicts: Map<UnverifiedBlock, BlockOutcome>,
  ): Promise<void> {
    const check = { zero: 'skip', zeroMethod: this.#zeroMethod } as const;
    const { outcomes } = await this.#device.use('check blocks', () => writeBlocks(-1, [...blocks], check));
    blocks.forEach((block, i) => {
      const outcome = outcomes[i]!;
      verdicts.set(block, outcome === 'written' ? 'held' : outcome);
      if (outcome === 'mismatch') return;
      this.#held.delete(block.offset);
      if (outcome === 'zero') return;
      const data = this.#head.subarray(block.offset, block.offset + block.data.length);
      data.set(block.data);
      this.#held.set(block.offset, { data, offset: block.offset, digest: Uint8Array.from(block.digest) });
    });
  }

  async zero(offset: number, length: number): Promise<void> {
    checkRange(this.path, offset, length, this.#volumeSize());
    if (length === 0) return;
    this.#zeroMethod = await (this.#direct ?? this.#device).use(`zero a range of ${this.path}`, (fd) =>
      zeroRange(fd, offset, length, this.#zeroMethod),
    );
  }

  async readBlocks(reads: readonly BlockRead[], options: { pastCache: boolean }): Promise<BlockReadResult[]> {
    if (options.pastCache) await this.#device.sync('data');
    return this.#device.use(`read ${this.path}`, async (fd) => {
      if (options.pastCache) {
        for (const read of reads) await dropCache(fd, read.offset, read.data.length);
      }
      return readBlocks(fd, [...reads], { hash: true });
    });
  }

  async sync(): Promise<void> {
    await this.#device.sync('data');
  }

  async commit(): Promise<void> {
    this.#volumeSize();
    await this.#direct?.close();
    await this.#device.sync('all');
    await this.#checkName();
    if (this.#held.size > 0) {
      await this.#device.use(`write the first block of ${this.path}`, async (fd) => {
        const options = { zero: 'write', zeroMethod: this.#zeroMethod } as const;
        // Of several blocks, too, the first comes last.
        const blocks = [...this.#held.values()].sort((a, b) => b.offset - a.offset);
        const { outcomes } = await writeBlocks(fd, blocks, options);
        if (outcomes.includes('mismatch'))
          throw new Error(`the block kept for the start of ${this.path} was damaged in memory`);
      });
      await this.#device.sync('all');
    }
    await this.#device.use(`read the partition table of ${this.path}`, async (fd) => {
      try {
        await rereadPartitionTable(fd);
      } catch (error) {
        // Without the right to do it (not root), or on a device that has none, the image is no less whole.
        if (!isErrno(error, 'EACCES', 'EPERM', 'EINVAL', 'EBUSY', 'ENOTTY', 'ENOTSUP')) throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#device.close();
  }

  /** Whoever is told that the restore is done looks for it under the name. */
  async #checkName(): Promise<void> {
    const named = await stat(this.#node, { bigint: true }).catch(() => undefined);
    if (!named?.isBlockDevice() || named.rdev !== this.#rdev) throw deviceReplaced(this.path);
  }

  async abandon(_options: { keepForResume: boolean }): Promise<void> {
    try {
      await this.#direct?.close();
      await this.#device.close();
    } catch {
      // The failure that led here is the one to report.
    }
  }
}
