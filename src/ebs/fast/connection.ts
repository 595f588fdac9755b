/**
 * One HTTP/1.1 keep-alive connection that carries one request at a time. Node writes received bytes directly into the
 * memory that `onread` names, so a block's body reaches the caller's buffer without streams or copies.
 */
import type { OnReadOpts, Socket } from 'node:net';
import { afterRunning, runningTime } from '../../clock.ts';
import type { Deadlines } from '../connect.ts';
import { timeoutError } from '../failure.ts';
import type { TlsSettings } from '../tls-settings.ts';
import { isError } from './error-reply.ts';
import type { Exchange } from './exchange.ts';
import type { Origin } from './origin.ts';
import { type CompletedExchanges, StallDetector } from './progress.ts';
import { MAX_HEAD_BYTES, parseReplyHead, UnsupportedReply } from './reply-head.ts';
import { openSocket } from './socket.ts';

/**
 * Bytes of payload per write, a third of the usual block. Node encrypts a whole write at once, so writing all of it would
 * need as much memory again per connection; 64 KiB would cost a third more CPU.
 */
const PIECE_BYTES = 176 * 1024;
/** On a slow network, each written piece counts as progress and must fit in the idle deadline. */
const SLOW_PIECE_BYTES = 32 * 1024;
/** A request that takes longer means a slow network. With the default deadline, 0.5 KiB/s is still enough. */
const SLOW_MS = 5_000;

/** Shorter request IDs may not be unique. */
const UNIQUE_ID_LENGTH = 16;

const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Receives a connection's events. */
export interface ConnectionOwner {
  /** All connections together have completed these so far. */
  readonly exchanges: CompletedExchanges;
  /** A reply is complete; the connection can take the next request once it has been quiet. */
  completed(connection: Connection): void;
  /** The connection was destroyed while it carried `exchange`, if any. */
  lost(connection: Connection, exchange: Exchange | undefined, error: Error): void;
}

export class Connection {
  /** `performance.now()` when the connection was opened, and when it last became free. */
  readonly openedAt = performance.now();
  freeSince = 0;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #stopConnectTimer: () => void;
  /** Receives heads of replies and unexpected data. */
  readonly #head = Buffer.allocUnsafeSlow(MAX_HEAD_BYTES);
  #headLength = 0;
  #connected = false;
  #destroyed = false;
  #released = false;
  #exchange: Exchange | undefined;
  /** Receives the body, once the head was accepted. */
  #body: Uint8Array | undefined;
  #bodyLength = 0;
  #isError = false;
  #payloadSent = 0;
  #payloadWritten = true;
  #sentAt = 0;
  #pieceBytes = SLOW_PIECE_BYTES;
  #keepAlive = true;
  /** Complete replies received. */
  #replies = 0;
  #lastRequestId: string | undefined;
  /** Bytes read and written so far. */
  #moved = 0;
  readonly #stalls = new StallDetector();

  constructor(origin: Origin, tls: TlsSettings | undefined, deadlines: Deadlines, owner: ConnectionOwner) {
    this.#owner = owner;
    const onread: OnReadOpts = {
      buffer: () => this.#nextBuffer(),
      callback: (length) => {
        this.#receive(length);
        return true;
      },
    };
    this.#socket = openSocket(origin, tls, onread, () => this.#ready());
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(new Error('the service closed the connection')));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
    const { connectMs } = deadlines;
    this.#stopConnectTimer = afterRunning(connectMs, () =>
      this.#fail(timeoutError(`no connection within ${connectMs / 1000} s`)),
    );
  }

  /** Carries out an exchange on a new or free connection. It is sent as soon as the connection is established. */
  start(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.cancel = () => {
      this.#exchange = undefined;
      this.#fail(new Error('the request was cancelled'));
    };
    if (this.#connected) this.#send(exchange);
  }

  /** Whether a kept connection failed before any byte of the reply: the service had probably closed it already. */
  get wasStale(): boolean {
    return this.#replies > 0 && this.#headLength === 0 && this.#body === undefined;
  }

  /** Destroys the connection if its exchange has stopped; takes what {@link StallDetector} takes. */
  checkProgress(now: number, idleMs: number): void {
    if (this.#exchange === undefined || !this.#connected) return;
    const why = this.#stalls.check(now, this.#moved, idleMs, this.#owner.exchanges);
    if (why !== undefined) this.#fail(timeoutError(why));
  }

  /** Lets the process end while the connection is free. */
  release(): void {
    if (!this.#released) this.#socket.unref();
    this.#released = true;
  }

  /** Takes a free connection into use. */
  acquire(): void {
    if (this.#released) this.#socket.ref();
    this.#released = false;
  }

  destroy(): void {
    this.#fail(new Error('the connection was discarded'));
  }

  #ready(): void {
    this.#stopConnectTimer();
    this.#connected = true;
    if (this.#exchange !== undefined) this.#send(this.#exchange);
  }

  #send(exchange: Exchange): void {
    this.#sentAt = performance.now();
    this.#stalls.restart(runningTime(), this.#moved, this.#owner.exchanges.count);
    this.#socket.write(exchange.head, 'latin1');
    if (exchange.payload === undefined) return;
    // Not corked: with TLS, Node would first copy head and payload together.
    this.#payloadSent = 0;
    this.#payloadWritten = false;
    this.#sendPiece(exchange.payload);
  }

  #sendPiece(payload: Uint8Array): void {
    const start = this.#payloadSent;
    const end = Math.min(start + this.#pieceBytes, payload.length);
    this.#payloadSent = end;
    this.#socket.write(payload.subarray(start, end), () => {
      // The callback also comes after a failure.
      if (this.#destroyed) return;
      this.#moved += end - start;
      if (end < payload.length) {
        this.#sendPiece(payload);
      } else {
        this.#payloadWritten = true;
        this.#finishIfComplete();
      }
    });
  }

  /**
   * The memory for the next bytes, requested before each read. Never empty, which would make Node's TLS loop endlessly,
   * and never the caller's once the connection is destroyed.
   */
  #nextBuffer(): Uint8Array {
    if (this.#destroyed) return this.#head;
    const body = this.#body;
    if (body === undefined)
      return this.#headLength === 0 ? this.#head : this.#head.subarray(this.#headLength);
    const missing = body.length - this.#bodyLength;
    // Runs for each 16 KiB of TLS data; Buffer.subarray would cost twice as much.
    return missing > 0
      ? new Uint8Array(body.buffer, body.byteOffset + this.#bodyLength, missing)
      : this.#head;
  }

  #receive(length: number): void {
    this.#moved += length;
    const body = this.#body;
    if (this.#exchange === undefined || this.#bodyLength === body?.length) {
      this.#fail(new Error('the service sent unexpected data'));
    } else if (body !== undefined) {
      this.#bodyLength += length;
      this.#finishIfComplete();
    } else {
      this.#headLength += length;
      const end = this.#head.indexOf(END_OF_HEAD);
      if (end >= 0 && end + END_OF_HEAD.length <= this.#headLength) this.#startBody(this.#exchange, end);
      else if (this.#headLength === MAX_HEAD_BYTES) this.#fail(new UnsupportedReply('the head is too long'));
    }
  }

  #startBody(exchange: Exchange, endOfHead: number): void {
    try {
      const head = parseReplyHead(this.#head.toString('latin1', 0, endOfHead));
      this.#checkRequestId(head.requestId);
      const body = exchange.accept(head);
      const early = this.#head.subarray(endOfHead + END_OF_HEAD.length, this.#headLength);
      if (early.length > body.length) throw new UnsupportedReply('the body is too long');
      body.set(early);
      this.#keepAlive = head.keepAlive;
      this.#isError = isError(head);
      this.#body = body;
      this.#bodyLength = early.length;
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#finishIfComplete();
  }

  /** A second copy of the last reply would be taken for the answer to this request. */
  #checkRequestId(requestId: string | undefined): void {
    const repeated = requestId !== undefined && requestId === this.#lastRequestId;
    if (repeated && requestId.length >= UNIQUE_ID_LENGTH) throw new Error('the service sent a reply twice');
    this.#lastRequestId = requestId;
  }

  #finishIfComplete(): void {
    if (this.#bodyLength !== this.#body?.length) return;
    if (this.#payloadWritten || this.#isError) this.#finish();
  }

  #finish(): void {
    const exchange = this.#exchange as Exchange;
    exchange.cancel = undefined;
    this.#exchange = undefined;
    this.#body = undefined;
    this.#headLength = 0;
    this.#replies++;
    this.freeSince = performance.now();
    const ms = this.freeSince - this.#sentAt;
    this.#owner.exchanges.add(ms);
    this.#pieceBytes = ms < SLOW_MS ? PIECE_BYTES : SLOW_PIECE_BYTES;
    if (this.#keepAlive && this.#payloadWritten) this.#owner.completed(this);
    else this.destroy();
    exchange.succeed();
  }

  #fail(error: Error): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#stopConnectTimer();
    this.#socket.destroy();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#owner.lost(this, exchange, error);
  }
}
