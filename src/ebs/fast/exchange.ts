/** One request and its reply, from the queue to the end. */
import { abortedError } from '../../cancel.ts';
import type { ReplyHead } from './reply-head.ts';

export interface ExchangeOptions {
  /** Request line and header fields, down to the empty line. */
  readonly head: string;
  readonly payload?: Uint8Array;
  /**
   * Judges the reply by its head, and says where the body goes: memory of exactly its length. What it throws fails the
   * exchange.
   */
  readonly accept: (head: ReplyHead) => Uint8Array;
  readonly signal: AbortSignal | undefined;
}

/**
 * Settles exactly once. When it rejects, the connection it was on has been destroyed before: nothing is written into
 * the body's memory any more, nor read from the payload's.
 */
export class Exchange {
  readonly head: string;
  readonly payload: Uint8Array | undefined;
  readonly accept: (head: ReplyHead) => Uint8Array;
  /** Whether it was already made a second time, because a connection had gone stale. */
  repeated = false;
  /** Called when the signal fires, to take it out of the queue or off its connection. */
  cancel: (() => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;

  constructor(options: ExchangeOptions, resolve: () => void, reject: (error: unknown) => void) {
    this.head = options.head;
    this.payload = options.payload;
    this.accept = options.accept;
    this.#signal = options.signal;
    this.#resolve = resolve;
    this.#reject = reject;
    // The exchange is its own listener: no closure for each request.
    this.#signal?.addEventListener('abort', this);
  }

  handleEvent(): void {
    this.cancel?.();
    this.fail(abortedError(this.#signal as AbortSignal));
  }

  succeed(): void {
    this.#signal?.removeEventListener('abort', this);
    this.#resolve();
  }

  fail(error: unknown): void {
    this.#signal?.removeEventListener('abort', this);
    this.#reject(error);
  }
}
