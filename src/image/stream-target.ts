/** Restoring to stdout, a FIFO or any Writable: the bytes of the volume in order, zeros written. */
import { constants, createWriteStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { abortedError } from '../cancel.ts';
import { syncAll, writeBlocks } from '../native/index.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import { checkGeometry, checkRange, notPrepared } from './geometry.ts';
import {
  alreadyWritten,
  closed,
  streamClosed,
  streamFailed,
  streamIncomplete,
  targetIsTerminal,
} from './messages/targets.ts';
import type { BlockOutcome, Geometry, ImageTarget, UnverifiedBlock } from './target.ts';

/** What zeros are written from, again and again; large enough that a call costs nothing beside its bytes. */
const zeros = new Uint8Array(1024 * 1024);

/** How often to look whether a FIFO has got its reader. */
const readerPollMs = 100;

/** A range that waits for the ranges before it. */
interface Turn {
  readonly end: number;
  /** The bytes; undefined for zeros. */
  readonly data: Uint8Array | undefined;
  readonly done: (error?: unknown) => void;
}

export interface StreamTargetOptions {
  /** The name for messages, where that is not the path. */
  readonly label?: string;
  /**
   * Whether the stream may keep or change a chunk after it has said that it is written, as a Transform does; then it gets
   * copies.
   */
  readonly foreign: boolean;
  /** Whether commit ends the stream. `process.stdout` cannot be ended. */
  readonly end: boolean;
  /** What commit syncs: stdout may be a file, or even a block device. */
  readonly syncFd?: number;
}

export class StreamTarget implements ImageTarget {
  readonly path: string;
  readonly label: string;
  readonly resumable = undefined;
  readonly #stream: Writable;
  readonly #options: StreamTargetOptions;
  readonly #turns = new Map<number, Turn>();
  #geometry: Geometry | undefined;
  /** Up to where the bytes were handed on. */
  #position = 0;
  /** Until the stream has taken all that can be written in order. */
  #writing: Promise<void> | undefined;
  #finished = false;
  #failure: { readonly error: unknown } | undefined;
  /** Rejects what is waiting for the stream, which says nothing more to callbacks once it is destroyed. */
  #interrupt: ((error: unknown) => void) | undefined;

  constructor(path: string, stream: Writable, options: StreamTargetOptions) {
    this.path = path;
    this.label = options.label ?? path;
    this.#stream = stream;
    this.#options = options;
    stream.on('error', (error) => this.#fail(this.#streamError(error)));
    stream.on('close', () => {
      if (!this.#finished) this.#fail(streamClosed(this, undefined));
    });
  }

  async checkOverwrite(): Promise<void> {}

  async prepare(geometry: Geometry): Promise<void> {
    checkGeometry(this.path, geometry);
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#stream.destroyed || this.#stream.writableEnded) throw closed(this.path);
    this.#geometry = geometry;
  }

  async writeBlocks(blocks: readonly UnverifiedBlock[]): Promise<BlockOutcome[]> {
    for (const block of blocks) this.#checkTurn(block.offset, block.data.length);
    const { outcomes } = await writeBlocks(-1, [...blocks], { zero: 'skip', zeroMethod: 'write' });
    // A block that must come again would wait for its buffer, which it gets back only when this batch settles; and the
    // batch would wait for that block's turn. So the batch settles now, and its other blocks wait as copies.
    const again = outcomes.includes('mismatch');
    const written: Promise<void>[] = [];
    blocks.forEach((block, i) => {
      if (outcomes[i] === 'mismatch') return;
      const data = again || this.#options.foreign ? Uint8Array.from(block.data) : block.data;
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
    return new Promise((resolve, reject) => {
      const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
      if (this.#failure !== undefined) return done(this.#failure.error);
      if (offset < this.#position || this.#turns.has(offset)) return done(alreadyWritten(this.path, offset));
      this.#turns.set(offset, { end: offset + length, data, done });
      if (offset === this.#position) this.#writing ??= this.#writeTurns();
    });
  }

  /** Writes what is next, as long as it is there. */
  async #writeTurns(): Promise<void> {
    for (
      let turn = this.#turns.get(this.#position);
      turn !== undefined;
      turn = this.#turns.get(this.#position)
    ) {
      const start = this.#position;
      try {
        if (turn.data !== undefined) await this.#write(turn.data);
        else await this.#writeZeros(turn.end - start);
      } catch (error) {
        this.#fail(error);
        break;
      }
      this.#turns.delete(start);
      this.#position = turn.end;
      turn.done();
    }
    this.#writing = undefined;
  }

  async #writeZeros(length: number): Promise<void> {
    for (let left = length; left > 0; left -= Math.min(left, zeros.length)) {
      const size = Math.min(left, zeros.length);
      await this.#write(this.#options.foreign ? new Uint8Array(size) : zeros.subarray(0, size));
    }
  }

  /** Settles when the stream has taken the chunk, so that at most one is under way: this is the back-pressure. */
  async #write(chunk: Uint8Array): Promise<void> {
    await this.#whenDone((done) => this.#stream.write(chunk, done));
  }

  async #whenDone(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#interrupt = reject;
        start((error) => (error ? reject(this.#streamError(error)) : resolve()));
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

  /** The first failure is everybody's: nothing after it can be written in order. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#interrupt?.(this.#failure.error);
    for (const turn of this.#turns.values()) turn.done(this.#failure.error);
    this.#turns.clear();
  }

  /** Nothing to do: no journal will say that these bytes are safe. */
  async sync(): Promise<void> {}

  async commit(): Promise<void> {
    if (this.#geometry === undefined) throw notPrepared(this.path);
    const { volumeSize } = this.#geometry;
    // Blocks that settled early may still be on their way.
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#position !== volumeSize) throw streamIncomplete(this, this.#position, volumeSize);
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
    if (syncFd === undefined) return;
    try {
      await syncAll(syncFd);
    } catch (error) {
      throw localError(error, `sync ${this.label}`, this.path);
    }
  }

  /** Commit has ended the stream, which closes itself. */
  async close(): Promise<void> {}

  async abandon(_options: { keepForResume: boolean }): Promise<void> {
    if (this.#finished) return;
    this.#fail(closed(this.path));
    // Destroyed and not ended: a reader must not take the part for the whole.
    this.#stream.destroy();
  }
}

/**
 * stdout. A pipe is opened anew, without blocking: Node's own `process.stdout` writes to pipes synchronously, and a slow
 * reader would stop the network, the timers and Ctrl-C along with it.
 * @throws ColdsnapError `TARGET_IS_TERMINAL`
 */
export async function openStdout(path: string): Promise<StreamTarget> {
  const stdout = { path, label: 'stdout' };
  if (isatty(1)) throw targetIsTerminal(stdout);
  const facts = fstatSync(1);
  if (facts.isFIFO()) {
    try {
      const again = await Descriptor.open('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
      return new StreamTarget(path, pipeStream(again), { label: stdout.label, foreign: false, end: true });
    } catch (error) {
      if (isErrno(error, 'ENXIO')) throw streamClosed(stdout, error);
      // No /proc, or a pipe that belongs to another user.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) throw localError(error, 'open stdout', path);
    }
  } else if (!facts.isSocket()) {
    const stream = createWriteStream('', { fd: 1, autoClose: false });
    const stored = facts.isFile() || facts.isBlockDevice();
    const options = { label: stdout.label, foreign: false, end: true, ...(stored ? { syncFd: 1 } : {}) };
    return new StreamTarget(path, stream, options);
  }
  return new StreamTarget(path, process.stdout, { label: stdout.label, foreign: false, end: false });
}

function pipeStream(descriptor: Descriptor): Writable {
  return new Socket({ fd: descriptor.release(), readable: false, writable: true });
}

/**
 * A FIFO; waits for its reader.
 * @throws ColdsnapError of class `aborted` when the signal fires before one has come
 */
export async function openFifo(path: string, signal: AbortSignal | undefined): Promise<StreamTarget> {
  for (;;) {
    if (signal?.aborted) throw abortedError(signal);
    try {
      // A plain open() would block a thread until a reader comes, and the end of this process with it.
      const descriptor = await Descriptor.open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      return new StreamTarget(path, pipeStream(descriptor), { foreign: false, end: true });
    } catch (error) {
      if (!isErrno(error, 'ENXIO')) throw localError(error, `open ${path}`, path);
    }
    await delay(readerPollMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
}

/** A character device that takes any bytes, such as /dev/null. */
export async function openCharacterDevice(path: string): Promise<StreamTarget> {
  let descriptor: Descriptor;
  try {
    descriptor = await Descriptor.open(path, constants.O_WRONLY | constants.O_NOCTTY);
  } catch (error) {
    throw localError(error, `open ${path}`, path);
  }
  return new StreamTarget(path, createWriteStream('', { fd: descriptor.release() }), {
    foreign: false,
    end: true,
  });
}
