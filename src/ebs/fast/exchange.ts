/** One request and its reply, from the queue to the end. */
import { abortedError } from '../../cancel.ts';
import type { ReplyHead } from './reply-head.ts';

export interface ExchangeOptions {
  /** Request line and header fields, with the empty line. */
  readonly head: string;
  readonly payload?: Uint8Array;
  /**
   * Checks the head of the reply and returns memory of exactly the body's length. An error that it throws fails the
   * exchange.
   */
  readonly accept: (head: ReplyHead) => Uint8Array;
  readonly signal: AbortSignal | undefined;
}

/**
 * Settles exactly once. Before it rejects, its connection is destroyed, so nothing more is written into the body's memory
 * or read from the payload's.
 */
export class Exchange {
  readonly head: string;
  readonly payload: Uint8Array | undefined;
  readonly accept: (head: ReplyHead) => Uint8Array;
  /** Whether it has been repeated because its first connection was stale. */
  repeated = false;
  /** Called when the signal fires: removes it from the queue or destroys its connection. */
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
    // The exchange is its own listener, which saves a closure per request.
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
