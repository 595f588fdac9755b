/** Restoring to a block device: claimed exclusively, never past the volume, block 0 last. */
import { stat } from 'node:fs/promises';
import {
  allocateSlab,
  type BlockRead,
  type BlockReadResult,
  type DeviceInfo,
  dropCache,
  readBlocks,
  rereadPartitionTable,
  writeBlocks,
  type ZeroMethod,
  zeroRange,
} from '../../native/index.ts';
import { type Descriptor, directAlignment } from '../descriptor.ts';
import { isErrno } from '../errno.ts';
import { checkGeometry, checkRange, notPrepared } from '../geometry.ts';
import { deviceReplaced, targetNotBlank, targetTooSmall } from '../messages/devices.ts';
import { resumeMismatch } from '../messages/targets.ts';
import { stateFile } from '../state-files.ts';
import type { BlockOutcome, Geometry, ImageTarget, ResumableTarget, UnverifiedBlock } from '../target.ts';
import { describeContents } from './contents.ts';
import { StagedHead } from './staged-head.ts';
import { readWriteCount, writtenSince } from './write-count.ts';

/** Every partition table, file system, LVM, LUKS, RAID and ZFS label is in the first or the last MiB. */
const blankProbe = 1024 * 1024;

export class DeviceTarget implements ImageTarget, ResumableTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget = this;
  readonly stagesHead = true;
  /** A loop device reports success for a write that its full storage took only in part (lo_complete_rq). */
  readonly losesLastWrites = true;
  readonly journal: { readonly path: string; readonly identity: string };
  readonly sizeBytes: number;
  /** The device's own path: absolute, so never mistaken for an option, and no link. */
  readonly #node: string;
  readonly #device: Descriptor;
  readonly #rdev: bigint;
  readonly #logicalBlockSize: number;
  #direct: Descriptor | undefined;
  #geometry: Geometry | undefined;
  #head: StagedHead | undefined;
  #zeroMethod: ZeroMethod = 'blkzeroout';

  /** @param device claimed exclusively, writable, with a medium */
  constructor(
    path: string,
    node: string,
    device: Descriptor,
    rdev: bigint,
    info: DeviceInfo,
    identity: string,
  ) {
    this.path = path;
    this.label = path;
    this.#rdev = rdev;
    this.#node = node;
    this.sizeBytes = info.sizeBytes;
    this.#device = device;
    this.#logicalBlockSize = info.logicalBlockSize;
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
    const head = new StagedHead(geometry);
    if (options.resume) {
      if (
        !(await this.#isZero(0, head.length)) &&
        !(await this.#onlyCommitted(head.length, options.committing))
      )
        throw resumeMismatch(this.path, 'its first block was written since');
    } else {
      await this.#device.use(`zero the first block of ${this.path}`, async (fd) => {
        this.#zeroMethod = await zeroRange(fd, 0, head.length, this.#zeroMethod);
      });
      await this.#device.sync('data');
    }
    this.#head = head;
    if (blockSize % directAlignment === 0 && blockSize % this.#logicalBlockSize === 0) {
      this.#direct ??= await this.#device.openDirect('read-write');
    }
    this.#geometry = geometry;
  }

  /** Whether an interrupted commit alone can have written the head, which is not zeros. */
  async #onlyCommitted(headLength: number, stamp = ''): Promise<boolean> {
    const written = await writtenSince(stamp, this.#rdev);
    return written !== undefined && written <= headLength;
  }

  /** The count of what was written to the device before its commit. */
  async commitStamp(): Promise<string> {
    await this.#device.sync('data');
    return (await readWriteCount(this.#rdev)) ?? '';
  }

  /** Undefined: the identity in the journal already distinguishes devices. */
  async inode(): Promise<undefined> {}

  async finishCommit(): Promise<boolean> {
    return false;
  }

  #ready(): { head: StagedHead; volumeSize: number } {
    if (this.#geometry === undefined || this.#head === undefined) throw notPrepared(this.path);
    return { head: this.#head, volumeSize: this.#geometry.volumeSize };
  }

  async writeBlocks(blocks: readonly UnverifiedBlock[]): Promise<BlockOutcome[]> {
    const { head, volumeSize } = this.#ready();
    for (const block of blocks) checkRange(this.path, block.offset, block.data.length, volumeSize);
    const outcomes = new Map<UnverifiedBlock, BlockOutcome>();
    const staged = blocks.filter((block) => head.covers(block));
    const rest = blocks.filter((block) => !head.covers(block));
    if (staged.length > 0) {
      const found = await this.#device.use('check blocks', () => head.stage(staged));
      staged.forEach((block, i) => void outcomes.set(block, found[i]!));
    }
    if (rest.length > 0) {
      const options = { zero: 'zero', zeroMethod: this.#zeroMethod } as const;
      const result = await (this.#direct ?? this.#device).use(`write to ${this.path}`, (fd) =>
        writeBlocks(fd, rest, options),
      );
      this.#zeroMethod = result.zeroMethod;
      rest.forEach((block, i) => void outcomes.set(block, result.outcomes[i]!));
    }
    return blocks.map((block) => outcomes.get(block)!);
  }

  async zero(offset: number, length: number): Promise<void> {
    checkRange(this.path, offset, length, this.#ready().volumeSize);
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
    const { head } = this.#ready();
    await this.#direct?.close();
    await this.#device.sync('all');
    await this.#checkName();
    if (!head.isEmpty) {
      await this.#device.use(`write the first block of ${this.path}`, (fd) => head.write(fd, this.path));
      await this.#device.sync('all');
    }
    await this.#device.use(`read the partition table of ${this.path}`, async (fd) => {
      try {
        await rereadPartitionTable(fd);
      } catch (error) {
        // The image is whole even if this process may not do it (not root) or the device has no partitions.
        if (!isErrno(error, 'EACCES', 'EPERM', 'EINVAL', 'EBUSY', 'ENOTTY', 'ENOTSUP')) throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#device.close();
  }

  /** The user will look for the restored volume under this name. */
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
