/** Restoring to a regular file: a sparse partial file, renamed when whole. */
import { type BigIntStats, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import { throwIfAborted } from '../cancel.ts';
import {
  type BlockRead,
  type BlockReadResult,
  writeBlocks,
  type ZeroMethod,
  zeroRange,
} from '../native/index.ts';
import { type Descriptor, directAlignment } from './descriptor.ts';
import { describeFileUsers } from './device/users.ts';
import { isErrno } from './errno.ts';
import { type ByteRange, dataRanges } from './extents.ts';
import { checkGeometry, checkRange, notPrepared } from './geometry.ts';
import { noSpace, resumeMismatch, targetExists, targetInUse } from './messages/targets.ts';
import { partialName } from './names.ts';
import { PartialFile } from './partial-file.ts';
import { checkReplaceable, fileStamp, finishPublishing, isPublished } from './publish.ts';
import { readBack } from './read-back.ts';
import { statIfExists } from './stat.ts';
import type { BlockOutcome, Geometry, ImageTarget, Notice, ResumableTarget, TargetBlock } from './target.ts';
import { fileRestore } from './unfinished-image.ts';

const ftruncateFd = promisify(ftruncate);

export class FileTarget implements ImageTarget, ResumableTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable: ResumableTarget = this;
  readonly stagesHead = false;
  readonly stagedRanges = () => [];
  readonly losesLastWrites = false;
  readonly journal: { readonly path: string; readonly identity: string };
  /** Where the image ends up: the path, with symbolic links followed. */
  readonly #file: string;
  readonly #signal: AbortSignal | undefined;
  readonly #inPlace: boolean;
  #partial: PartialFile | undefined;
  #direct: Descriptor | undefined;
  #geometry: Geometry | undefined;
  /** The file that may be replaced: the one that existed when that was allowed, no later one. */
  #replaceable: BigIntStats | undefined;
  /** Whether unwritten ranges are known to be holes. */
  #fresh = true;
  #zeroMethod: ZeroMethod = 'punch-hole';
  #bytesWritten = 0;
  /** Whether an interrupted commit may have given the file to its final owner. */
  #given = false;
  /** Whether this run has created or resumed the partial file. */
  #started = false;
  /** Whether this run has created the partial file: one that an earlier run has left is not removed. */
  #created = false;
  #committed = false;

  /**
   * @param file the path with symbolic links followed; a regular file or nothing
   * @param signal once it fires, no file is changed any more
   * @param inPlace for a file that is changed in place: it may be of another user, and keeps its owner and permissions
   */
  constructor(path: string, file: string, signal?: AbortSignal, { inPlace = false } = {}) {
    this.#inPlace = inPlace;
    this.path = path;
    this.label = path;
    this.#file = file;
    this.#signal = signal;
    this.journal = fileRestore(file);
  }

  async checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void> {
    const existing = await statIfExists(this.#file, this.path);
    if (existing !== undefined) {
      const users = await describeFileUsers(this.#file, existing);
      if (users.length > 0) throw targetInUse(this.path, users);
      if (!options.force) throw targetExists(this.path);
      await checkReplaceable(this.path, this.#file);
    }
    this.#replaceable = existing;
    // Locked from now on, so that a second run is refused before it makes a request.
    this.#partial ??= await PartialFile.adopt(this.path, this.partialPath);
    // The file of a journal is checked when it is resumed.
    if (!this.#started && !options.resuming) await this.#partial?.checkOurs(options);
  }

  get partialPath(): string {
    return partialName(this.#file);
  }

  async prepare(geometry: Geometry, options: Parameters<ImageTarget['prepare']>[1]): Promise<void> {
    checkGeometry(this.path, geometry);
    if (options.resume) await this.#resume(geometry, options);
    else await this.#startOver(geometry);
    if (geometry.blockSize % directAlignment === 0) {
      this.#direct = await this.#partial?.descriptor.openDirect('read-write');
    }
    this.#geometry = geometry;
  }

  /** A file that does not count as that of the earlier run is not ours: it must not be removed either. */
  async #resume(
    geometry: Geometry,
    { instance, committing }: Parameters<ImageTarget['prepare']>[1],
  ): Promise<void> {
    if (this.#partial === undefined) throw resumeMismatch(this.path, `${this.partialPath} is missing`);
    // A commit removes the mark, and as root gives the file its final owner, before the file gets its name.
    const marked = committing === undefined;
    const user = process.geteuid?.();
    const given = !marked && instance !== undefined && user === 0 ? [Number(this.#replaceable?.uid)] : [];
    const why = await this.#partial.whyOther({
      inode: instance,
      size: geometry.volumeSize,
      owners: this.#inPlace ? undefined : [user, ...given],
      marked,
    });
    if (why !== undefined) throw resumeMismatch(this.path, `${this.partialPath} ${why}`);
    this.#given = !marked;
    this.#fresh = false;
    this.#started = true;
  }

  async #startOver(geometry: Geometry): Promise<void> {
    throwIfAborted(this.#signal);
    await this.#direct?.close();
    await this.#partial?.remove();
    this.#direct = undefined;
    this.#partial = await PartialFile.create(this.path, this.partialPath);
    this.#started = true;
    this.#created = true;
    this.#fresh = true;
    await this.#partial.descriptor.use(
      `give ${this.partialPath} a size of ${geometry.volumeSize} bytes`,
      (fd) => ftruncateFd(fd, geometry.volumeSize),
    );
  }

  #ready(): { partial: PartialFile; volumeSize: number } {
    if (this.#partial === undefined || this.#geometry === undefined) throw notPrepared(this.path);
    return { partial: this.#partial, volumeSize: this.#geometry.volumeSize };
  }

  async writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    const { partial, volumeSize } = this.#ready();
    for (const block of blocks) checkRange(this.path, block.offset, block.data.length, volumeSize);
    throwIfAborted(this.#signal);
    const options = { zero: this.#fresh ? 'skip' : 'zero', zeroMethod: this.#zeroMethod } as const;
    const result = await this.#withSpace(
      (this.#direct ?? partial.descriptor).use(`write to ${partial.path}`, (fd) =>
        writeBlocks(fd, [...blocks], options),
      ),
    );
    this.#zeroMethod = result.zeroMethod;
    result.outcomes.forEach((outcome, i) => {
      if (outcome === 'written') this.#bytesWritten += blocks[i]!.data.length;
    });
    return result.outcomes;
  }

  async zero(offset: number, length: number): Promise<void> {
    const { partial, volumeSize } = this.#ready();
    checkRange(this.path, offset, length, volumeSize);
    if (this.#fresh || length === 0) return;
    throwIfAborted(this.#signal);
    this.#zeroMethod = await this.#withSpace(
      partial.descriptor.use(`zero a range of ${partial.path}`, (fd) =>
        zeroRange(fd, offset, length, this.#zeroMethod),
      ),
    );
  }

  async readBlocks(
    reads: readonly BlockRead[],
    options: { pastCache: boolean; synced?: boolean },
  ): Promise<BlockReadResult[]> {
    return readBack(this.#ready().partial.descriptor, reads, options);
  }

  dataRanges(start: number, end: number): AsyncGenerator<ByteRange> {
    return dataRanges(this.#ready().partial.descriptor, start, end);
  }

  async sync(): Promise<void> {
    const { partial, volumeSize } = this.#ready();
    // Before it is read back: not when it is opened, because a dry run does that, too.
    if (this.#given) await partial.reclaim({ inPlace: this.#inPlace });
    this.#given = false;
    await this.#withSpace(partial.descriptor.sync('data'));
    await partial.checkIntact(volumeSize);
  }

  async inode(): Promise<string> {
    // Without the device's number, which may change at the next boot.
    return String((await this.#ready().partial.stat()).ino);
  }

  async commitStamp(): Promise<string> {
    return fileStamp(await this.#ready().partial.stat());
  }

  isCommitted(stamp: string): Promise<boolean> {
    return isPublished(this.#file, stamp);
  }

  async finishCommit(stamp: string): Promise<boolean> {
    if (!(await this.isCommitted(stamp))) return false;
    await finishPublishing(this.path, this.partialPath, this.#file);
    return true;
  }

  async commit(): Promise<Notice[]> {
    const { partial } = this.#ready();
    await this.#direct?.close();
    throwIfAborted(this.#signal);
    await this.#withSpace(
      partial.publish(this.#file, {
        replaceable: this.#replaceable,
        inPlace: this.#inPlace,
        signal: this.#signal,
      }),
    );
    this.#committed = true;
    return [];
  }

  async close(): Promise<void> {
    await this.#partial?.close();
  }

  async abandon(options: { keepForResume: boolean }): Promise<void> {
    const partial = this.#partial;
    const keep = options.keepForResume || this.#committed || !this.#created;
    try {
      await this.#direct?.close();
      if (keep) await partial?.close();
      else await partial?.remove();
    } catch {
      // The failure that led here is the one to report.
    }
  }

  async #withSpace<T>(operation: Promise<T>): Promise<T> {
    try {
      return await operation;
    } catch (error) {
      if (isErrno(error, 'ENOSPC', 'EDQUOT')) throw noSpace(this.path, this.#bytesWritten, error);
      throw error;
    }
  }
}
