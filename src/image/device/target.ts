/** Restoring to a block device: claimed exclusively, never past the volume, its end and its start last. */
import { stat } from 'node:fs/promises';
import { throwIfAborted } from '../../cancel.ts';
import {
  type BlockRead,
  type BlockReadResult,
  type DeviceInfo,
  dropCache,
  writeBlocks,
  type ZeroMethod,
  zeroRange,
} from '../../native/index.ts';
import { type Descriptor, directAlignment } from '../descriptor.ts';
import type { ByteRange } from '../extents.ts';
import { checkFits, checkGeometry, checkRange, notPrepared } from '../geometry.ts';
import {
  deviceInUse,
  deviceReplaced,
  oldPartitions,
  oldSignature,
  targetNotBlank,
} from '../messages/devices.ts';
import { resumeMismatch } from '../messages/targets.ts';
import { readBack } from '../read-back.ts';
import type { BlockOutcome, Geometry, ImageTarget, Notice, ResumableTarget, TargetBlock } from '../target.ts';
import { deviceRestore } from '../unfinished-image.ts';
import { isBlank } from './blank.ts';
import { describeContents } from './contents.ts';
import { findOldSignatures } from './old-signatures.ts';
import { describePartitions, partitionsOf, rereadPartitions } from './partitions.ts';
import { StagedEnds, stagedRanges } from './staged-ends.ts';
import { readWriteCount, writtenSince } from './write-count.ts';

export class DeviceTarget implements ImageTarget, ResumableTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget = this;
  readonly partialPath = undefined;
  readonly stagesHead = true;
  readonly stagedRanges = stagedRanges;
  /** A loop device reports success for a write that its full storage took only in part (lo_complete_rq). */
  readonly losesLastWrites = true;
  readonly journal: { readonly path: string; readonly identity: string };
  readonly sizeBytes: number;
  /** The device's own path: absolute, so never mistaken for an option, and no link. */
  readonly #node: string;
  readonly #device: Descriptor;
  readonly #rdev: bigint;
  readonly #logicalBlockSize: number;
  readonly #signal: AbortSignal | undefined;
  #direct: Descriptor | undefined;
  #geometry: Geometry | undefined;
  #ends: StagedEnds | undefined;
  #zeroMethod: ZeroMethod = 'blkzeroout';

  /**
   * @param device claimed exclusively, writable, with a medium
   * @param signal once it fires, nothing on the device is changed any more
   */
  constructor(
    path: string,
    node: string,
    device: Descriptor,
    rdev: bigint,
    info: DeviceInfo,
    identity: string,
    signal?: AbortSignal,
  ) {
    this.path = path;
    this.label = path;
    this.#rdev = rdev;
    this.#node = node;
    this.#signal = signal;
    this.sizeBytes = info.sizeBytes;
    this.#device = device;
    this.#logicalBlockSize = info.logicalBlockSize;
    this.journal = deviceRestore(identity);
  }

  async checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void> {
    if (options.force || options.resuming || (await this.#isBlank())) return;
    throw targetNotBlank(this.path, await describeContents(this.#node, this.#rdev));
  }

  #isBlank(): Promise<boolean> {
    return this.#device.use(`read ${this.path}`, (fd) => isBlank(fd, this.sizeBytes));
  }

  async prepare(
    geometry: Geometry,
    options: { resume: boolean; committing?: string | undefined },
  ): Promise<void> {
    const { volumeSize, blockSize } = geometry;
    checkGeometry(this.path, geometry);
    checkFits(this, volumeSize);
    const ends = new StagedEnds(geometry);
    if (!options.resume) await this.#startOver(ends);
    else {
      const untouched = await this.#device.use(`read ${this.path}`, (fd) => ends.areZero(fd));
      if (!untouched && !(await this.#onlyCommitted(options.committing)))
        throw resumeMismatch(this.path, 'its start or its end was written since');
    }
    this.#ends = ends;
    if (blockSize % directAlignment === 0 && blockSize % this.#logicalBlockSize === 0) {
      this.#direct ??= await this.#device.openDirect('read-write');
    }
    this.#geometry = geometry;
  }

  /** Zeroes what is staged, and lets the kernel forget the old partitions before anything is written to where they were. */
  async #startOver(ends: StagedEnds): Promise<void> {
    const hasPartitions = partitionsOf(this.#rdev).length > 0;
    if (hasPartitions) await this.#forgetPartitions();
    for (const { offset, length } of ends.ranges) {
      throwIfAborted(this.#signal);
      await this.#device.use(`zero the start and the end of ${this.path}`, async (fd) => {
        this.#zeroMethod = await zeroRange(fd, offset, length, this.#zeroMethod);
      });
    }
    await this.#device.sync('data');
    if (hasPartitions) await this.#forgetPartitions();
  }

  /** @throws ColdsnapError `DEVICE_IN_USE` when a partition that the kernel knows is in use */
  async #forgetPartitions(): Promise<void> {
    throwIfAborted(this.#signal);
    const old = await this.#device.use(`read the partition table of ${this.path}`, (fd) =>
      rereadPartitions(fd, this.#rdev),
    );
    if (old.length > 0) throw deviceInUse(this.path, await describePartitions(this.#rdev, old));
  }

  /** Whether an interrupted commit alone can have written the start and the end, which are not zeros. */
  async #onlyCommitted(stamp = ''): Promise<boolean> {
    const staged = Number.parseInt(stamp, 10);
    const written = await writtenSince(stamp.slice(stamp.indexOf(' ') + 1), this.#rdev);
    return written !== undefined && written <= staged;
  }

  /** How many bytes the commit is about to write, and the count of what was written to the device before it. */
  async commitStamp(): Promise<string> {
    await this.#device.sync('data');
    const count = await readWriteCount(this.#rdev);
    return count === undefined ? '' : `${this.#ends?.stagedBytes ?? 0} ${count}`;
  }

  /** Undefined: the identity in the journal already distinguishes devices. */
  async inode(): Promise<undefined> {}

  async isCommitted(): Promise<boolean> {
    return false;
  }

  async finishCommit(): Promise<boolean> {
    return false;
  }

  #ready(): { ends: StagedEnds; volumeSize: number } {
    if (this.#geometry === undefined || this.#ends === undefined) throw notPrepared(this.path);
    return { ends: this.#ends, volumeSize: this.#geometry.volumeSize };
  }

  async writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    const { ends, volumeSize } = this.#ready();
    for (const block of blocks) checkRange(this.path, block.offset, block.data.length, volumeSize);
    throwIfAborted(this.#signal);
    const outcomes = new Map<TargetBlock, BlockOutcome>();
    const staged = blocks.filter((block) => ends.covers(block));
    const rest = blocks.filter((block) => !ends.covers(block));
    if (staged.length > 0) {
      const found = await this.#device.use('check blocks', () => ends.stage(staged));
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
    throwIfAborted(this.#signal);
    this.#zeroMethod = await (this.#direct ?? this.#device).use(`zero a range of ${this.path}`, (fd) =>
      zeroRange(fd, offset, length, this.#zeroMethod),
    );
  }

  readBlocks(
    reads: readonly BlockRead[],
    options: { pastCache: boolean; synced?: boolean },
  ): Promise<BlockReadResult[]> {
    return readBack(this.#device, reads, options);
  }

  async *dataRanges(start: number, end: number): AsyncGenerator<ByteRange> {
    yield { start, end };
  }

  async sync(): Promise<void> {
    await this.#device.sync('data');
  }

  async commit(): Promise<Notice[]> {
    const { ends, volumeSize } = this.#ready();
    await this.#direct?.close();
    await this.#device.sync('all');
    await this.#checkName();
    for (const group of ends.groups()) {
      throwIfAborted(this.#signal);
      await this.#device.use(`write the start and the end of ${this.path}`, (fd) =>
        ends.write(fd, group, this.path),
      );
      await this.#device.sync('all');
    }
    return this.#device.use(`read the partition table of ${this.path}`, async (fd) => {
      await dropCache(fd, 0, 0);
      const old = await rereadPartitions(fd, this.#rdev);
      const signatures = await findOldSignatures(fd, volumeSize, this.sizeBytes);
      return [
        ...(old.length === 0 ? [] : [oldPartitions(this.path, await describePartitions(this.#rdev, old))]),
        ...signatures.map((signature) => oldSignature(this.path, signature)),
      ];
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
