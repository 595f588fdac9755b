/** Uploading from a regular file or a block device, opened for reading only. */
import { type BigIntStats, constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import {
  type BlockComparison,
  type BlockRead,
  compareBlocks,
  deviceInfo,
  type ReceivedBlock,
  readBlocks,
} from '../native/index.ts';
import { Descriptor } from './descriptor.ts';
import { describeWriters } from './device/users.ts';
import { compareDevice, type OpenDevice, openDevice, readDevice } from './device-reader.ts';
import { type DeviceStamp, deviceStamp, wasWritten } from './device-stamp.ts';
import { isErrno, localError } from './errno.ts';
import { type ByteRange, blockRuns, dataRanges, mergeRanges } from './extents.ts';
import { deviceNoMedium } from './messages/devices.ts';
import {
  badMap,
  changesNotDetected,
  comparedInUse,
  sourceChanged,
  sourceEmpty,
  sourceInUse,
  sourceWritten,
  usedSource,
} from './messages/sources.ts';
import { type HoleMap, readQemuMap } from './qemu-map.ts';
import type { ImageSource, SourceBlock, SourceExtent, SourceWarning } from './source.ts';
import { refuseContainer } from './source-format.ts';
import { deviceJournal, fileJournal, type SourceJournal } from './source-journal.ts';
import { fileStamp, flush, statOf } from './source-stamp.ts';
import { type UnfinishedImage, unfinishedImage } from './unfinished-image.ts';

export interface StoredSourceOptions {
  /** `raw`: read other formats as they are. Default: refuse them. */
  readonly format?: 'raw' | undefined;
  /** Whether to read a device that may be written meanwhile. */
  readonly force?: boolean | undefined;
  /** Not to look for who may write it: this run did when it opened the image first. */
  readonly examined?: boolean | undefined;
  /** For an image that is compared, which may be empty. Default `source`. */
  readonly role?: 'source' | 'target';
  /** Ask the file system for holes (SEEK_HOLE), after a sync. */
  readonly detectHoles?: boolean | undefined;
  /** A file with the output of `qemu-img map --output=json`. */
  readonly holesFromSidecar?: string | undefined;
  /** Ends a wait for a program that does not write. */
  readonly signal?: AbortSignal;
}

/** @throws ColdsnapError `SOURCE_EMPTY`, `SOURCE_IN_USE`, `SOURCE_NO_MEDIUM`, `BAD_HOLE_MAP`, or of class `local` */
export async function openStoredSource(path: string, options: StoredSourceOptions): Promise<ImageSource> {
  const { role = 'source' } = options;
  let descriptor: Descriptor;
  try {
    descriptor = await Descriptor.open(path, constants.O_RDONLY);
  } catch (error) {
    if (isErrno(error, 'ENOMEDIUM', 'ENXIO')) throw deviceNoMedium(path, role);
    throw localError(error, `open ${path}`, path);
  }
  let device: OpenDevice | undefined;
  try {
    const first = await statOf(descriptor);
    if (first.isBlockDevice()) device = await openDevice(descriptor);
    const { stats } = device ? { stats: first } : await fileStamp(descriptor);
    const sizeBytes = device?.sizeBytes ?? Number(stats.size);
    if (sizeBytes === 0 && device) throw deviceNoMedium(path, role);
    if (sizeBytes === 0 && role === 'source') throw sourceEmpty({ path, label: path });
    if (options.format !== 'raw') await refuseContainer(descriptor, device, sizeBytes);
    const { holesFromSidecar, detectHoles = false } = options;
    const map =
      holesFromSidecar === undefined
        ? undefined
        : await readQemuMap(holesFromSidecar, sizeBytes, options.signal);
    if (map !== undefined && detectHoles) throw badMap(map.path, 'holes are being detected already');
    const users = device && options.examined !== true ? await describeWriters(descriptor, stats.rdev) : [];
    if (users.length > 0 && options.force !== true)
      throw role === 'source' ? sourceInUse(path, users) : comparedInUse(path, users);
    const written = device ? await deviceStamp(stats.rdev) : undefined;
    const journal = device ? await deviceJournal(stats, sizeBytes) : await fileJournal(path, stats);
    return new StoredSource({
      path,
      descriptor,
      device,
      stats,
      written,
      sizeBytes,
      journal,
      map,
      detectHoles,
      users,
    });
  } catch (error) {
    await device?.direct?.close();
    await descriptor.close();
    throw error;
  }
}

async function sizeOf(descriptor: Descriptor, stats: BigIntStats): Promise<number> {
  if (!stats.isBlockDevice()) return Number(stats.size);
  const info = await descriptor.use(`examine ${descriptor.path}`, (fd) => deviceInfo(fd));
  return info.sizeBytes;
}

interface Opened {
  readonly path: string;
  readonly descriptor: Descriptor;
  /** Undefined for a file. */
  readonly device: OpenDevice | undefined;
  /** Taken when it was opened. */
  readonly stats: BigIntStats;
  /** The same for devices; undefined where writes are not counted. */
  readonly written: DeviceStamp | undefined;
  readonly sizeBytes: number;
  readonly journal: SourceJournal;
  readonly map: HoleMap | undefined;
  readonly detectHoles: boolean;
  /** Who may write the device meanwhile; empty unless the user allowed that. */
  readonly users: readonly string[];
}

class StoredSource implements ImageSource {
  readonly path: string;
  readonly label: string;
  readonly sizeBytes: number;
  readonly journal: SourceJournal;
  readonly holeMapDigest: string | undefined;
  readonly warnings: ImageSource['warnings'];
  readonly #opened: Opened;

  constructor(opened: Opened) {
    this.path = opened.path;
    this.label = opened.path;
    this.sizeBytes = opened.sizeBytes;
    this.journal = opened.journal;
    this.holeMapDigest = opened.map?.digest;
    const { path, users, device, written } = opened;
    const unknown = written?.files.some(({ changed }) => changed === '') ?? true;
    const detected = device === undefined || !unknown;
    this.warnings = [
      ...(users.length > 0 ? [usedSource(path, users)] : []),
      ...(detected ? [] : [changesNotDetected(path)]),
    ];
    this.#opened = opened;
  }

  async ready(): Promise<void> {}

  unfinished(): Promise<UnfinishedImage | undefined> {
    const { descriptor, stats } = this.#opened;
    return unfinishedImage(descriptor, stats, this.sizeBytes);
  }

  async *extents(blockSize: number): AsyncGenerator<SourceExtent> {
    const { map, detectHoles } = this.#opened;
    if (map === undefined && !detectHoles) {
      yield* blockRuns([{ start: 0, end: this.sizeBytes }], this.sizeBytes, blockSize);
      return;
    }
    // Some file systems report a hole where data have no place on the medium yet.
    await flush(this.#opened.descriptor);
    const found = this.dataRanges(0, this.sizeBytes);
    // A hole of the map is trusted where the file system has one too; elsewhere it is read.
    yield* blockRuns(map === undefined ? found : mergeRanges(found, map.ranges), this.sizeBytes, blockSize);
  }

  dataRanges(start: number, end: number): AsyncGenerator<ByteRange> {
    return dataRanges(this.#opened.descriptor, start, end);
  }

  async readBlocks(reads: readonly BlockRead[], options = { hash: true }): Promise<SourceBlock[]> {
    const { descriptor, device, map, stats } = this.#opened;
    const results = device
      ? await readDevice(device, reads, options)
      : await descriptor.use(`read ${this.path}`, (fd) => readBlocks(fd, [...reads], options));
    return results.map((block, i) => {
      const { bytesRead, zero } = block;
      const read = reads[i]!;
      const { offset, data } = read;
      this.#checkRead(read, bytesRead);
      if (!map?.isHole(offset, data.length)) return block;
      if (!zero) throw map.wrong(this.path, stats.mtimeNs, offset);
      return { ...block, hole: true };
    });
  }

  async compareBlocks(blocks: readonly ReceivedBlock[], buffer: Uint8Array): Promise<BlockComparison[]> {
    const { descriptor, device } = this.#opened;
    const results = device
      ? await compareDevice(device, blocks, buffer)
      : await descriptor.use(`read ${this.path}`, (fd) => compareBlocks(fd, blocks, buffer));
    for (const [i, { outcome, bytesRead }] of results.entries())
      if (outcome !== 'mismatch') this.#checkRead(blocks[i]!, bytesRead);
    return results;
  }

  #checkRead({ data, offset }: BlockRead, bytesRead: number): void {
    const expected = Math.max(0, Math.min(data.length, this.sizeBytes - offset));
    const change = bytesRead < expected ? 'shorter' : bytesRead > expected ? 'longer' : undefined;
    if (change !== undefined)
      throw sourceChanged(this.path, `it became ${change} than ${this.sizeBytes} bytes`);
  }

  async stamp(): Promise<string | undefined> {
    const { descriptor, device, stats } = this.#opened;
    if (device === undefined) return (await fileStamp(descriptor)).stamp;
    await flush(descriptor);
    return (await deviceStamp(stats.rdev))?.stamp;
  }

  async checkUnchanged(): Promise<SourceWarning | undefined> {
    const { descriptor, device, stats, written, users } = this.#opened;
    await flush(descriptor);
    const now = await statOf(descriptor);
    const size = await sizeOf(descriptor, now);
    if (size !== this.sizeBytes)
      throw sourceChanged(this.path, `it had ${this.sizeBytes} bytes and now has ${size}`);
    await this.#checkName(stats);
    const changed = device
      ? wasWritten(written, await deviceStamp(stats.rdev))
      : now.ctimeNs !== stats.ctimeNs;
    if (!changed) return undefined;
    if (users.length > 0) return sourceWritten(this.path);
    const attributes = device ? '' : ', or its attributes were changed';
    throw sourceChanged(this.path, `it was written to${attributes}`);
  }

  async #checkName(stats: BigIntStats): Promise<void> {
    const device = stats.isBlockDevice();
    let named: BigIntStats;
    try {
      named = await stat(this.path, { bigint: true });
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw sourceChanged(this.path, 'it was removed');
      throw localError(error, `examine ${this.path}`, this.path);
    }
    const same = device ? named.rdev === stats.rdev : named.ino === stats.ino && named.dev === stats.dev;
    if (same) return;
    const what = device ? 'device' : 'file';
    throw sourceChanged(this.path, `the path now refers to another ${what}`);
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#opened.device?.direct?.close(), this.#opened.descriptor.close()]);
  }
}
