/** A limited number of connections to one origin, and a queue for requests that wait for one. */
import { runningTime } from '../../clock.ts';
import type { Deadlines } from '../connect.ts';
import type { TlsSettings } from '../tls-settings.ts';
import { Connection, type ConnectionOwner } from './connection.ts';
import { Exchange, type ExchangeOptions } from './exchange.ts';
import type { Origin } from './origin.ts';
import { CompletedExchanges } from './progress.ts';

/** NAT and load balancers drop connections that were free for longer, without notice; a new one is cheaper. */
const MAX_FREE_MS = 15_000;
/** A connection this old is not used again, so that DNS changes take effect. */
const MAX_AGE_MS = 300_000;
/**
 * Connections that are opened before the first reply, and replies for each further one. Opening one costs more CPU than a
 * block, so a short transfer gets few; at 40 ms a reply, all 64 of a long one are open within a second.
 */
const FIRST_CONNECTIONS = 16;
const REPLIES_PER_CONNECTION = 16;
/** Milliseconds between looks at the progress of all connections. */
const MAX_CHECK_MS = 1_000;

export class ConnectionPool implements ConnectionOwner {
  readonly exchanges = new CompletedExchanges();
  readonly #origin: Origin;
  readonly #limit: number;
  readonly #deadlines: Deadlines;
  readonly #tls: TlsSettings | undefined;
  readonly #open = new Set<Connection>();
  /** In the order in which they became free. */
  readonly #free: Connection[] = [];
  readonly #queue: Exchange[] = [];
  /** Connections whose last reply has ended; nothing may follow it before they take the next request. */
  readonly #quieting = new Set<Connection>();
  #closed = false;
  #idleTimer: NodeJS.Timeout | undefined;

  /**
   * @param limit most connections at a time
   * @param tls settings of TLS connections
   */
  constructor(origin: Origin, limit: number, deadlines: Deadlines, tls: () => TlsSettings) {
    this.#origin = origin;
    this.#limit = limit;
    this.#deadlines = deadlines;
    this.#tls = origin.secure ? tls() : undefined;
  }

  /**
   * Makes one request. Rejects with UnsupportedReply, what `accept` threw, the network's error, or class `aborted`.
   * A request is repeated once when its connection turns out to have been closed while it was free.
   */
  request(options: ExchangeOptions): Promise<void> {
    return new Promise((resolve, reject) => this.#start(new Exchange(options, resolve, reject)));
  }

  /** Closes the connections that carry no request, and the others once their requests have ended. */
  close(): void {
    this.#closed = true;
    this.#closeFree();
  }

  #closeFree(): void {
    for (const connection of [...this.#free, ...this.#quieting]) connection.destroy();
  }

  completed(connection: Connection): void {
    // By then everything that had arrived has been read; a connection that got more than its reply is lost.
    if (this.#quieting.size === 0) setImmediate(this.#reuseQuiet);
    this.#quieting.add(connection);
  }

  readonly #reuseQuiet = (): void => {
    const quiet = [...this.#quieting];
    this.#quieting.clear();
    for (const connection of quiet) this.#reuse(connection);
  };

  #reuse(connection: Connection): void {
    const now = performance.now();
    const isOld = now - connection.openedAt > MAX_AGE_MS || now - connection.freeSince > MAX_FREE_MS;
    if (isOld || this.#closed) {
      connection.destroy();
      return;
    }
    const next = this.#queue.shift();
    if (next === undefined) this.#free.push(connection);
    else connection.start(next);
  }

  lost(connection: Connection, exchange: Exchange | undefined, error: Error): void {
    this.#open.delete(connection);
    this.#quieting.delete(connection);
    const at = this.#free.indexOf(connection);
    if (at >= 0) this.#free.splice(at, 1);
    if (exchange !== undefined) {
      if (connection.wasStale && !exchange.repeated && error.name !== 'TimeoutError') {
        // The other connections have been free for at least as long.
        this.#closeFree();
        exchange.repeated = true;
        this.#start(exchange);
      } else {
        exchange.fail(error);
      }
    }
    this.#startNext();
    if (this.#open.size === 0) this.#stopIdleChecks();
  }

  #start(exchange: Exchange): void {
    this.#queue.push(exchange);
    exchange.cancel = () => {
      this.#queue.splice(this.#queue.indexOf(exchange), 1);
    };
    this.#startNext();
  }

  #startNext(): void {
    if (this.#queue.length === 0) return;
    const connection = this.#takeFree() ?? (this.#soonFree() ? undefined : this.#connect());
    connection?.start(this.#queue.shift() as Exchange);
  }

  /** Whether connections that become free in a moment are enough for the requests that wait. */
  #soonFree(): boolean {
    return this.#quieting.size >= this.#queue.length;
  }

  #takeFree(): Connection | undefined {
    const connection = this.#free.pop();
    if (connection === undefined) return undefined;
    if (performance.now() - connection.freeSince > MAX_FREE_MS) {
      this.#closeFree();
      connection.destroy();
      return undefined;
    }
    connection.acquire();
    return connection;
  }

  #connect(): Connection | undefined {
    const replies = this.exchanges.count;
    const allowed = FIRST_CONNECTIONS + Math.floor(replies / REPLIES_PER_CONNECTION);
    if (this.#open.size >= Math.min(allowed, this.#limit)) return undefined;
    const connection = new Connection(this.#origin, this.#tls, this.#deadlines, this);
    this.#open.add(connection);
    this.#startIdleChecks();
    return connection;
  }

  /** One timer for all connections: timers of single sockets would be reset by every chunk. */
  #startIdleChecks(): void {
    const { idleMs } = this.#deadlines;
    this.#idleTimer ??= setInterval(
      () => {
        const now = runningTime();
        for (const connection of this.#open) connection.checkProgress(now, idleMs);
        // Not after each request: that would cost half a percent of a transfer.
        for (const connection of this.#free) connection.release();
      },
      Math.min(idleMs / 8, MAX_CHECK_MS),
    ).unref();
  }

  #stopIdleChecks(): void {
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
  }
}
