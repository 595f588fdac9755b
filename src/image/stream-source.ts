/** Uploading from stdin, a FIFO or any Readable: the bytes come once and in order. */
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { abortable, abortedError } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import { type BlockRead, type BlockReadResult, isZero, sha256 } from '../native/index.ts';
import { findContainer, headLength } from './container.ts';
import { localError } from './errno.ts';
import { type ByteRange, blockRuns } from './extents.ts';
import { closed, streamFailed } from './messages/common.ts';
import {
  alreadyRead,
  sourceEmpty,
  sourceIsContainer,
  sourceNotBytes,
  sourceTooLong,
} from './messages/sources.ts';
import type { ImageSource, SourceExtent, SourceWarning } from './source.ts';
import type { Watch } from './stdin-file.ts';
import { Turns } from './turns.ts';

export class StreamSource implements ImageSource {
  readonly path: string;
  readonly label: string;
  readonly sizeBytes: number;
  readonly journal = undefined;
  readonly warnings: readonly SourceWarning[];
  readonly #stream: Readable;
  readonly #signal: AbortSignal | undefined;
  readonly #raw: boolean;
  readonly #watch: Watch | undefined;
  #chunks: AsyncIterator<unknown> | undefined;
  /** Bytes that have arrived and were not read yet. */
  #rest: Uint8Array = new Uint8Array(0);
  #ended = false;
  readonly #turns = new Turns((offset) => alreadyRead(this.path, offset));

  /**
   * @param sizeBytes how many bytes the stream may give at most
   * @param raw whether its beginning decides nothing
   * @param signal ends the wait for a stalled stream
   * @param watch finds out whether what the stream reads is written meanwhile
   */
  constructor(
    { path, label }: { path: string; label: string },
    stream: Readable,
    {
      sizeBytes,
      raw,
      signal,
      watch,
    }: { sizeBytes: number; raw: boolean; signal?: AbortSignal | undefined; watch?: Watch | undefined },
  ) {
    this.#raw = raw;
    this.path = path;
    this.label = label;
    this.#stream = stream;
    this.sizeBytes = sizeBytes;
    this.#signal = signal;
    this.#watch = watch;
    this.warnings = watch?.warnings ?? [];
    signal?.addEventListener('abort', () => this.#turns.fail(abortedError(signal)), { once: true });
    // An error may come while no read is in flight.
    stream.on('error', (error) => this.#turns.fail(this.#readError(error)));
  }

  /** Refuses an empty stream: most likely the program that writes to the pipe has failed. And what is no raw image. */
  async ready(): Promise<void> {
    const head = await this.#peek(headLength);
    if (head.length === 0) throw sourceEmpty(this);
    const container = this.#raw ? undefined : findContainer(head);
    if (container !== undefined) throw sourceIsContainer(this, container);
  }

  /** Returns the first bytes, fewer only at the stream's end, and leaves them to be read. */
  async #peek(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let found = 0; found < length && (await this.#more()); found += parts.at(-1)!.length) {
      parts.push(this.#rest);
      this.#rest = new Uint8Array(0);
    }
    this.#rest = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    return this.#rest.subarray(0, length);
  }

  async *extents(blockSize: number): AsyncGenerator<SourceExtent> {
    yield* blockRuns([{ start: 0, end: this.sizeBytes }], this.sizeBytes, blockSize);
  }

  async *dataRanges(start: number, end: number): AsyncGenerator<ByteRange> {
    yield { start, end };
  }

  async readBlocks(reads: readonly BlockRead[], { hash } = { hash: true }): Promise<BlockReadResult[]> {
    const counts = await Promise.all(
      reads.map(({ data, offset }) => this.#turns.take(offset, data.length, () => this.#fill(data))),
    );
    const digests = hash ? await sha256(reads.map(({ data }) => data)) : [];
    return reads.map(({ data }, i) => ({
      digest: digests[i] ?? new Uint8Array(0),
      zero: isZero(data),
      bytesRead: counts[i]!,
    }));
  }

  async #fill(data: Uint8Array): Promise<number> {
    const wanted = Math.max(0, Math.min(data.length, this.sizeBytes - this.#turns.position));
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

  /** Waits for bytes to read; false at the end of the stream. */
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
    this.#turns.throwFailure();
    // At its end, the usual iterator aborts a stream whose other direction is open. Older readable-stream has no other.
    this.#chunks ??=
      this.#stream.iterator?.({ destroyOnReturn: false }) ?? this.#stream[Symbol.asyncIterator]();
    try {
      const chunk = this.#chunks.next();
      const next = await (this.#signal === undefined ? chunk : abortable(chunk, this.#signal));
      // Closed meanwhile: the buffers are the caller's again.
      this.#turns.throwFailure();
      return next.done ? undefined : next.value;
    } catch (error) {
      throw this.#readError(error);
    }
  }

  #readError(error: unknown): unknown {
    const doing = `read ${this.label}`;
    const local = localError(error, doing, this.path);
    return local === error && !(error instanceof ColdsnapError)
      ? streamFailed(this.path, doing, error)
      : local;
  }

  /** Undefined: what was read cannot be read again. */
  async stamp(): Promise<undefined> {}

  async checkUnchanged(): Promise<SourceWarning | undefined> {
    if (await this.#more()) throw sourceTooLong(this, this.sizeBytes);
    try {
      // The stream may fail after its last byte, until it has closed.
      await finished(this.#stream, { writable: false });
    } catch (error) {
      throw this.#readError(error);
    }
    this.#turns.throwFailure();
    return this.#watch?.check();
  }

  async close(): Promise<void> {
    this.#turns.fail(closed(this.path));
    // The caller may still write to a stream whose other direction is open.
    if (!this.#ended) this.#stream.destroy();
  }
}
