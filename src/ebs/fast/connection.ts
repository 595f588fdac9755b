/**
 * One HTTP/1.1 keep-alive connection, carrying one request at a time. Node hands received bytes straight into the memory
 * that `onread` names, so a block's body lands in the caller's buffer without streams, chunks and copies.
 */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import type { Deadlines } from '../connect.ts';
import { isError } from './error-reply.ts';
import type { Exchange } from './exchange.ts';
import type { Origin } from './origin.ts';
import { MAX_HEAD_BYTES, parseReplyHead, UnsupportedReply } from './reply-head.ts';

/**
 * Bytes of payload given to the socket at a time: a third of the usual block. All at once would need as much memory again for
 * each connection, since Node encrypts at once what it is given; 64 KiB would cost a third more CPU.
 */
const PIECE_BYTES = 176 * 1024;
/** On a slow line, each piece that has left is a sign of life, and must come before the idle deadline does. */
const SLOW_PIECE_BYTES = 32 * 1024;
/** A line that takes longer for a request is slow. At the deadline of a minute, half a KiB a second is enough. */
const SLOW_MS = 5_000;

const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** TLS settings that all connections share: making a context costs more than a handshake. */
export interface TlsSettings {
  readonly context: SecureContext;
  /** Of an earlier connection, to resume. */
  session: Buffer | undefined;
}

/** Who is told what becomes of a connection. */
export interface ConnectionOwner {
  /** A reply is complete and the connection can take the next request. */
  free(connection: Connection): void;
  /** The connection is destroyed; `exchange` was on it. */
  lost(connection: Connection, exchange: Exchange | undefined, error: Error): void;
}

export class Connection {
  /** `performance.now()` when it was opened, and when it last became free. */
  readonly openedAt = performance.now();
  freeSince = 0;
  /** Requests that were answered in full. */
  answered = 0;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #connectTimer: NodeJS.Timeout;
  /** Takes the heads of replies, and whatever comes when nothing should. */
  readonly #head = Buffer.allocUnsafeSlow(MAX_HEAD_BYTES);
  #headLength = 0;
  #connected = false;
  #destroyed = false;
  #exchange: Exchange | undefined;
  /** Where the body goes, once the head was accepted. */
  #body: Uint8Array | undefined;
  #bodyLength = 0;
  #isError = false;
  #payloadSent = 0;
  #payloadWritten = true;
  #sentAt = 0;
  #pieceBytes = SLOW_PIECE_BYTES;
  #keepAlive = true;
  /** Counts what moves, in either direction. */
  #moves = 0;
  #movesSeen = 0;
  #movedAt = 0;

  constructor(origin: Origin, tls: TlsSettings | undefined, deadlines: Deadlines, owner: ConnectionOwner) {
    this.#owner = owner;
    const onread: OnReadOpts = {
      buffer: () => this.#nextBuffer(),
      callback: (length) => {
        this.#receive(length);
        return true;
      },
    };
    const where = { host: origin.host, port: origin.port, noDelay: true, onread };
    if (tls === undefined) {
      this.#socket = connectTcp(where, () => this.#ready());
    } else {
      const socket: TLSSocket = connectTls(
        {
          ...where,
          secureContext: tls.context,
          rejectUnauthorized: true,
          ALPNProtocols: ['http/1.1'],
          ...(isIP(origin.host) === 0 ? { servername: origin.host } : {}),
          ...(tls.session === undefined ? {} : { session: tls.session }),
        },
        () => this.#ready(),
      );
      socket.on('session', (session: Buffer) => {
        tls.session = session;
      });
      this.#socket = socket;
    }
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(new Error('the service closed the connection')));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
    const { connectMs } = deadlines;
    this.#connectTimer = setTimeout(
      () => this.#fail(deadlineError(`no connection within ${connectMs / 1000} s`)),
      connectMs,
    );
  }

  /** Carries out an exchange; only for a connection that is new or free. Sent when the connection is established. */
  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.cancel = () => {
      this.#exchange = undefined;
      this.#fail(new Error('the request was cancelled'));
    };
    if (this.#connected) this.#send(exchange);
  }

  /** Whether an exchange failed here only because the connection was already closed at the other end. */
  get wasStale(): boolean {
    return this.answered > 0 && this.#headLength === 0 && this.#body === undefined;
  }

  /** Destroys the connection if its exchange has not moved a byte for `idleMs`. */
  checkIdle(now: number, idleMs: number): void {
    if (this.#exchange === undefined || !this.#connected) return;
    if (this.#moves !== this.#movesSeen) {
      this.#movesSeen = this.#moves;
      this.#movedAt = now;
    } else if (now - this.#movedAt >= idleMs) {
      this.#fail(deadlineError(`no byte moved for ${idleMs / 1000} s`));
    }
  }

  /** A free connection does not keep the process alive. */
  rest(): void {
    this.freeSince = performance.now();
    this.#socket.unref();
  }

  wake(): void {
    this.#socket.ref();
  }

  destroy(): void {
    this.#fail(new Error('the connection was given up'));
  }

  #ready(): void {
    clearTimeout(this.#connectTimer);
    this.#connected = true;
    if (this.#exchange !== undefined) this.#send(this.#exchange);
  }

  #send(exchange: Exchange): void {
    this.#sentAt = performance.now();
    this.#movedAt = this.#sentAt;
    this.#movesSeen = this.#moves;
    this.#socket.write(exchange.head, 'latin1');
    if (exchange.payload === undefined) return;
    // Not corked: for TLS, Node would copy head and payload together first.
    this.#payloadSent = 0;
    this.#payloadWritten = false;
    this.#sendPiece(exchange.payload);
  }

  #sendPiece(payload: Uint8Array): void {
    const start = this.#payloadSent;
    const end = Math.min(start + this.#pieceBytes, payload.length);
    this.#payloadSent = end;
    this.#socket.write(payload.subarray(start, end), () => {
      // After a failure the callback still comes; there is nothing more to do then.
      if (this.#destroyed) return;
      this.#moves++;
      if (end < payload.length) {
        this.#sendPiece(payload);
      } else {
        this.#payloadWritten = true;
        this.#finishIfComplete();
      }
    });
  }

  /**
   * Asked after each callback, and before the first: where the next bytes go. Never empty memory, which would make Node's
   * TLS try for ever; and never a caller's once the connection is destroyed.
   */
  #nextBuffer(): Uint8Array {
    if (this.#destroyed) return this.#head;
    const body = this.#body;
    if (body === undefined)
      return this.#headLength === 0 ? this.#head : this.#head.subarray(this.#headLength);
    const missing = body.length - this.#bodyLength;
    // For each 16 KiB of TLS; on a Buffer, subarray would cost twice as much.
    return missing > 0
      ? new Uint8Array(body.buffer, body.byteOffset + this.#bodyLength, missing)
      : this.#head;
  }

  #receive(length: number): void {
    this.#moves++;
    const body = this.#body;
    if (this.#exchange === undefined || this.#bodyLength === body?.length) {
      this.#fail(new Error('the service sent what nobody asked for'));
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
    this.answered++;
    this.#pieceBytes = performance.now() - this.#sentAt < SLOW_MS ? PIECE_BYTES : SLOW_PIECE_BYTES;
    if (this.#keepAlive && this.#payloadWritten) this.#owner.free(this);
    else this.destroy();
    exchange.succeed();
  }

  #fail(error: Error): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    clearTimeout(this.#connectTimer);
    this.#socket.destroy();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#owner.lost(this, exchange, error);
  }
}

/** Named as the SDK's own timeouts are, so that both are judged alike. */
function deadlineError(message: string): Error {
  const error = new Error(message);
  error.name = 'TimeoutError';
  return error;
}
