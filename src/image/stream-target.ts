/** Restoring to stdout, a FIFO or any Writable: the bytes of the volume in order, zeros written. */
import type { Writable } from 'node:stream';
import { abortedError } from '../cancel.ts';
import { syncAll, writeBlocks } from '../native/index.ts';
import { isErrno, localError } from './errno.ts';
import { checkGeometry, checkRange, notPrepared } from './geometry.ts';
import { closed, streamFailed } from './messages/common.ts';
import { alreadyWritten, streamClosed, streamIncomplete } from './messages/targets.ts';
import type { BlockOutcome, Geometry, ImageTarget, Notice, TargetBlock } from './target.ts';
import { Turns } from './turns.ts';

/** Zeros are written from here, in chunks large enough that the cost of a call does not matter. */
const zeros = new Uint8Array(1024 * 1024);

interface StreamTargetOptions {
  /** The name for messages, where that is not the path. */
  readonly label?: string;
  /** The stream may keep or change a chunk after its callback, as a Transform does; it gets copies. */
  readonly copies: boolean;
  /** Whether commit ends the stream; `process.stdout` cannot be ended. */
  readonly end: boolean;
  /** A descriptor for commit to sync: stdout may be a file. */
  readonly syncFd?: number;
}

export class StreamTarget implements ImageTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable = undefined;
  readonly #stream: Writable;
  readonly #options: StreamTargetOptions;
  readonly #turns = new Turns((offset) => alreadyWritten(this.path, offset));
  #geometry: Geometry | undefined;
  #finished = false;
  /** Rejects the wait for the stream, which calls no callbacks once it is destroyed. */
  #interrupt: ((error: unknown) => void) | undefined;

  constructor(path: string, stream: Writable, options: StreamTargetOptions) {
    this.path = path;
    this.label = options.label ?? path;
    this.#stream = stream;
    this.#options = options;
    if (stream.errored) this.#fail(this.#streamError(stream.errored));
    stream.on('error', (error) => this.#fail(this.#streamError(error)));
    stream.on('close', () => {
      if (!this.#finished) this.#fail(streamClosed(this, undefined));
    });
  }

  /** Ends every wait for the stream when the signal fires. */
  failOnAbort(signal: AbortSignal): void {
    const fail = () => {
      if (!this.#finished) this.#fail(abortedError(signal));
    };
    signal.addEventListener('abort', fail, { once: true });
    if (signal.aborted) fail();
  }

  async checkOverwrite(): Promise<void> {}

  async prepare(geometry: Geometry): Promise<void> {
    checkGeometry(this.path, geometry);
    this.#turns.throwFailure();
    if (this.#stream.destroyed || this.#stream.writableEnded) throw closed(this.path);
    this.#geometry = geometry;
  }

  async writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    for (const block of blocks) this.#checkTurn(block.offset, block.data.length);
    const { outcomes } = await writeBlocks(-1, [...blocks], { zero: 'skip', zeroMethod: 'write' });
    // A block that must come again needs its buffer, which is free only when this batch settles, and the batch would wait
    // for that block's turn. So the batch settles now, and its other blocks wait as copies.
    const again = outcomes.includes('mismatch');
    const written: Promise<void>[] = [];
    blocks.forEach((block, i) => {
      if (outcomes[i] === 'mismatch') return;
      const data = again || this.#options.copies ? Uint8Array.from(block.data) : block.data;
      written.push(this.#enqueue(block.offset, block.data.length, data));
    });
    const all = Promise.all(written);
    if (again) all.catch(() => {});
    else await all;
    return outcomes;
  }

  async zero(offset: number, length: number): Promise<void> {
    if (length === 0) return;
    this.#checkTurn(offset, length);
    await this.#enqueue(offset, length, undefined);
  }

  #checkTurn(offset: number, length: number): void {
    if (this.#geometry === undefined) throw notPrepared(this.path);
    checkRange(this.path, offset, length, this.#geometry.volumeSize);
  }

  #enqueue(offset: number, length: number, data: Uint8Array | undefined): Promise<void> {
    return this.#turns.take(offset, length, () =>
      data === undefined ? this.#writeZeros(length) : this.#write(data),
    );
  }

  async #writeZeros(length: number): Promise<void> {
    for (let remaining = length; remaining > 0; remaining -= Math.min(remaining, zeros.length)) {
      const size = Math.min(remaining, zeros.length);
      await this.#write(this.#options.copies ? new Uint8Array(size) : zeros.subarray(0, size));
    }
  }

  /** Settles when the stream has taken the chunk; this is the back-pressure. */
  async #write(chunk: Uint8Array): Promise<void> {
    await this.#whenDone((done) => this.#stream.write(chunk, done));
  }

  async #whenDone(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    this.#turns.throwFailure();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#interrupt = reject;
        try {
          start((error) => (error ? reject(this.#streamError(error)) : resolve()));
        } catch (error) {
          reject(this.#streamError(error));
        }
      });
    } finally {
      this.#interrupt = undefined;
    }
  }

  #streamError(error: unknown): unknown {
    if (isErrno(error, 'EPIPE', 'ECONNRESET')) return streamClosed(this, error);
    const doing = `write to ${this.label}`;
    const local = localError(error, doing, this.path);
    return local === error ? streamFailed(this.path, doing, error) : local;
  }

  #fail(error: unknown): void {
    this.#turns.fail(error);
    this.#interrupt?.(error);
  }

  /** Does nothing: no journal records these bytes. */
  async sync(): Promise<void> {}

  async commit(): Promise<Notice[]> {
    if (this.#geometry === undefined) throw notPrepared(this.path);
    const { volumeSize } = this.#geometry;
    // Blocks that settled early may still be waiting to be written.
    await this.#turns.idle();
    this.#turns.throwFailure();
    if (this.#turns.position !== volumeSize) throw streamIncomplete(this, this.#turns.position, volumeSize);
    if (this.#options.end) {
      await this.#whenDone((done) => {
        this.#stream.once('finish', () => {
          this.#finished = true;
          done();
        });
        this.#stream.end();
      });
    }
    this.#finished = true;
    const { syncFd } = this.#options;
    if (syncFd === undefined) return [];
    try {
      await syncAll(syncFd);
    } catch (error) {
      throw localError(error, `sync ${this.label}`, this.path);
    }
    return [];
  }

  /** Does nothing: commit has ended the stream, which closes itself. */
  async close(): Promise<void> {}

  async abandon(_options: { keepForResume: boolean }): Promise<void> {
    if (this.#finished) return;
    this.#fail(closed(this.path));
    // Destroyed, not ended: the reader must not mistake a part for the whole.
    this.#stream.destroy();
  }
}
