/** Uploading from stdin, a FIFO or any Readable: the bytes come once and in order. */
import type { Readable } from 'node:stream';
import { type BlockRead, type BlockReadResult, isZero, sha256 } from '../native/index.ts';
import { localError } from './errno.ts';
import { blockRuns } from './extents.ts';
import { closed, sourceNotBytes, sourceTooLong, streamFailed } from './messages.ts';
import type { ImageSource, SourceExtent } from './source.ts';

export class StreamSource implements ImageSource {
  readonly path: string;
  readonly kind = 'stream';
  readonly sizeBytes: number;
  readonly sequential = true;
  readonly journal = undefined;
  readonly #stream: Readable;
  #chunks: AsyncIterator<unknown> | undefined;
  /** What has come and was not yet asked for. */
  #rest: Uint8Array = new Uint8Array(0);
  #position = 0;
  #ended = false;
  #closed = false;
  #failure: { readonly error: unknown } | undefined;
  /** Reading is one at a time; hashing is not. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param sizeBytes how much the stream may give at most */
  constructor(path: string, stream: Readable, sizeBytes: number) {
    this.path = path;
    this.#stream = stream;
    this.sizeBytes = sizeBytes;
    stream.on('error', (error) => {
      this.#failure ??= { error };
    });
  }

  async *extents(blockSize: number): AsyncGenerator<SourceExtent> {
    yield* blockRuns([{ start: 0, end: this.sizeBytes }], this.sizeBytes, blockSize);
  }

  async readBlocks(reads: readonly BlockRead[]): Promise<BlockReadResult[]> {
    const filling = this.#turn.then(async () => {
      const counts: number[] = [];
      for (const read of reads) counts.push(await this.#fill(read));
      return counts;
    });
    this.#turn = filling.catch(() => {});
    const counts = await filling;
    const digests = await sha256(reads.map(({ data }) => data));
    return reads.map(({ data }, i) => ({ digest: digests[i]!, zero: isZero(data), bytesRead: counts[i]! }));
  }

  async #fill({ data, offset }: BlockRead): Promise<number> {
    if (offset !== this.#position)
      throw new Error(`${this.path} was asked for offset ${offset} at ${this.#position}`);
    const wanted = Math.max(0, Math.min(data.length, this.sizeBytes - offset));
    let filled = 0;
    while (filled < wanted && (await this.#more())) {
      const part = this.#rest.subarray(0, wanted - filled);
      data.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    data.fill(0, filled);
    this.#position += data.length;
    return filled;
  }

  /** Waits until something is there; false at the end of the stream. */
  async #more(): Promise<boolean> {
    while (this.#rest.length === 0 && !this.#ended) {
      const chunk = await this.#nextChunk();
      if (chunk === undefined) this.#ended = true;
      else if (chunk instanceof Uint8Array) this.#rest = chunk;
      else throw sourceNotBytes(this.path);
    }
    return this.#rest.length > 0;
  }

  async #nextChunk(): Promise<unknown> {
    if (this.#closed) throw closed(this.path);
    if (this.#failure !== undefined) throw this.#readError(this.#failure.error);
    this.#chunks ??= this.#stream[Symbol.asyncIterator]();
    try {
      const next = await this.#chunks.next();
      return next.done ? undefined : next.value;
    } catch (error) {
      throw this.#readError(error);
    }
  }

  #readError(error: unknown): unknown {
    if (this.#closed) return closed(this.path);
    const doing = `read ${this.path === '-' ? 'stdin' : this.path}`;
    const local = localError(error, doing, this.path);
    return local === error ? streamFailed(this.path, doing, error) : local;
  }

  async checkUnchanged(): Promise<void> {
    await this.#turn;
    if (await this.#more()) throw sourceTooLong(this.path, this.sizeBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stream.destroy();
  }
}
