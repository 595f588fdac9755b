/** Uploading from stdin, a FIFO or any Readable: the bytes come once and in order. */
import type { Readable } from 'node:stream';
import { ColdsnapError } from '../errors.ts';
import { type BlockRead, type BlockReadResult, isZero, sha256 } from '../native/index.ts';
import { localError } from './errno.ts';
import { blockRuns } from './extents.ts';
import {
  alreadyRead,
  closed,
  sourceEmpty,
  sourceNotBytes,
  sourceTooLong,
  streamFailed,
} from './messages/targets.ts';
import type { ImageSource, SourceExtent } from './source.ts';

interface Turn {
  readonly data: Uint8Array;
  readonly resolve: (bytesRead: number) => void;
  readonly reject: (error: unknown) => void;
}

export class StreamSource implements ImageSource {
  readonly path: string;
  readonly label: string;
  readonly sizeBytes: number;
  readonly journal = undefined;
  readonly #stream: Readable;
  #chunks: AsyncIterator<unknown> | undefined;
  /** What has come and was not yet asked for. */
  #rest: Uint8Array = new Uint8Array(0);
  #position = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  /** Reads that wait for those before them, by offset. */
  readonly #turns = new Map<number, Turn>();
  #reading = false;

  /** @param sizeBytes how much the stream may give at most */
  constructor({ path, label }: { path: string; label: string }, stream: Readable, sizeBytes: number) {
    this.path = path;
    this.label = label;
    this.#stream = stream;
    this.sizeBytes = sizeBytes;
    // An error may come while nobody is reading.
    stream.on('error', (error) => this.#fail(this.#readError(error)));
  }

  /** An empty stream is no empty disk: most likely the program before the pipe has failed. */
  async ready(): Promise<void> {
    if (!(await this.#more())) throw sourceEmpty(this);
  }

  async *extents(blockSize: number): AsyncGenerator<SourceExtent> {
    yield* blockRuns([{ start: 0, end: this.sizeBytes }], this.sizeBytes, blockSize);
  }

  async readBlocks(reads: readonly BlockRead[]): Promise<BlockReadResult[]> {
    const counts = await Promise.all(reads.map((read) => this.#enqueue(read)));
    const digests = await sha256(reads.map(({ data }) => data));
    return reads.map(({ data }, i) => ({ digest: digests[i]!, zero: isZero(data), bytesRead: counts[i]! }));
  }

  #enqueue({ data, offset }: BlockRead): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure.error);
      if (offset < this.#position || this.#turns.has(offset)) return reject(alreadyRead(this.path, offset));
      this.#turns.set(offset, { data, resolve, reject });
      if (!this.#reading) void this.#readTurns();
    });
  }

  /** Fills what is next, as long as it was asked for. */
  async #readTurns(): Promise<void> {
    this.#reading = true;
    for (
      let turn = this.#turns.get(this.#position);
      turn !== undefined;
      turn = this.#turns.get(this.#position)
    ) {
      try {
        const filled = await this.#fill(turn.data);
        this.#turns.delete(this.#position);
        this.#position += turn.data.length;
        turn.resolve(filled);
      } catch (error) {
        this.#fail(error);
        break;
      }
    }
    this.#reading = false;
  }

  async #fill(data: Uint8Array): Promise<number> {
    const wanted = Math.max(0, Math.min(data.length, this.sizeBytes - this.#position));
    let filled = 0;
    while (filled < wanted && (await this.#more())) {
      const part = this.#rest.subarray(0, wanted - filled);
      data.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    data.fill(0, filled);
    return filled;
  }

  /** The first failure is everybody's: what comes after it in the stream cannot be placed. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const turn of this.#turns.values()) turn.reject(this.#failure.error);
    this.#turns.clear();
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
    this.#throwFailure();
    this.#chunks ??= this.#stream[Symbol.asyncIterator]();
    try {
      const next = await this.#chunks.next();
      // Closed meanwhile: the buffers that waited were given back.
      this.#throwFailure();
      return next.done ? undefined : next.value;
    } catch (error) {
      throw this.#readError(error);
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #readError(error: unknown): unknown {
    const doing = `read ${this.label}`;
    const local = localError(error, doing, this.path);
    return local === error && !(error instanceof ColdsnapError)
      ? streamFailed(this.path, doing, error)
      : local;
  }

  async checkUnchanged(): Promise<void> {
    if (await this.#more()) throw sourceTooLong(this, this.sizeBytes);
  }

  async close(): Promise<void> {
    this.#fail(closed(this.path));
    this.#stream.destroy();
  }
}
