/** The blocks that those of an incremental upload are compared with: the parent's, from one of three places. */
import { abortedError } from '../../cancel.ts';
import type { BlockReader } from '../../ebs/block-reader.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { ImageSource, SourceBlock } from '../../image/source.ts';
import { allocateSlab, type BlockRead } from '../../native/index.ts';
import type { DigestReader } from '../digests/reader.ts';
import { Batcher } from '../engine/batch.ts';
import { BlockCheck } from '../engine/block-check.ts';
import { type ZeroBlock, zeroBlock } from '../engine/zero-block.ts';
import type { Run } from '../run/run.ts';
import { firstPage } from '../sources/changed-blocks.ts';

/** Blocks among which one to read first is looked for: less than a page of the list. */
const MAX_BLOCKS_TO_FIRST = 5_000;

export interface BaseContents {
  /** Reads a block before its turn, where the service has them: who may list the parent may not be allowed to read it. */
  readFirst?(): Promise<void>;
  /** Blocks that were fetched from the service. */
  readonly blocksFetched: number;
  /**
   * The SHA-256 of a block that the parent lists.
   * @param token of the parent's list
   * @param buffer one block, which may be overwritten
   */
  digest(index: number, token: string, buffer: Uint8Array): Promise<Uint8Array>;
  /** Checks, when all was read, that it has not changed. */
  finish(): Promise<void>;
}

/** The parent at the service. */
export class ServiceContents implements BaseContents {
  blocksFetched = 0;
  readonly #run: Run;
  readonly #reader: BlockReader;
  readonly #snapshotId: string;
  readonly #check: BlockCheck;
  readonly #ebs: EbsConnection;
  #early: { readonly index: number; readonly digest: Uint8Array } | undefined;

  constructor(run: Run, ebs: EbsConnection, snapshotId: string) {
    this.#run = run;
    this.#ebs = ebs;
    this.#snapshotId = snapshotId;
    this.#reader = ebs.reader(snapshotId, run.signal);
    this.#check = new BlockCheck(run);
  }

  async readFirst(): Promise<void> {
    const { entries, blockSize } = await firstPage(
      this.#run,
      this.#ebs,
      this.#snapshotId,
      MAX_BLOCKS_TO_FIRST,
    );
    const [entry] = entries;
    if (entry === undefined) return;
    const { blockIndex: index, blockToken } = entry;
    const digest = await this.digest(index, blockToken, new Uint8Array(allocateSlab(blockSize)));
    this.#early = { index, digest: Uint8Array.from(digest) };
  }

  async digest(blockIndex: number, blockToken: string, buffer: Uint8Array): Promise<Uint8Array> {
    if (this.#early?.index === blockIndex) return this.#early.digest;
    let found: Uint8Array = buffer;
    await this.#run.watch(`block ${blockIndex} of ${this.#snapshotId}`, 'service', () =>
      this.#reader.read({ blockIndex, blockToken }, buffer, async (digest) => {
        found = digest;
        return this.#check.check({ data: buffer, digest });
      }),
    );
    this.blocksFetched++;
    return found;
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}

/** An image of the parent. */
export class ImageContents implements BaseContents {
  readonly blocksFetched = 0;
  readonly #run: Run;
  readonly #image: ImageSource;
  readonly #reads: Batcher<BlockRead, SourceBlock>;

  constructor(run: Run, image: ImageSource) {
    this.#run = run;
    this.#image = image;
    this.#reads = new Batcher(run.workers, async (reads) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      return image.readBlocks(reads);
    });
  }

  async digest(index: number, _token: string, buffer: Uint8Array): Promise<Uint8Array> {
    return (await this.#reads.submit({ data: buffer, offset: index * buffer.length })).digest;
  }

  async finish(): Promise<void> {
    const warning = await this.#image.checkUnchanged();
    if (warning !== undefined) this.#run.warn(...warning);
  }
}

/** A digest file of the parent. */
export class DigestContents implements BaseContents {
  readonly blocksFetched = 0;
  readonly #digests: DigestReader;
  #zeros: ZeroBlock | undefined;

  constructor(digests: DigestReader) {
    this.#digests = digests;
  }

  async digest(index: number, _token: string, buffer: Uint8Array): Promise<Uint8Array> {
    const found = await this.#digests.digest(index);
    if (found !== undefined) return found;
    // The parent lists it, so it is a block of zeros.
    this.#zeros ??= zeroBlock(buffer.length);
    return this.#zeros.digest;
  }

  finish(): Promise<void> {
    return this.#digests.checkUnchanged();
  }
}
