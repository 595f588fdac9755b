/** Starts the load server and reads its counters. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Layout } from './layout.ts';
import { layoutArguments } from './layout.ts';
import { type Certificates, programPath } from './programs.ts';

export interface ServerOptions {
  layout: Layout;
  /** Serve TLS with these. */
  certificates?: Certificates | undefined;
  /** Bytes a second on each connection. */
  pace?: number;
  /** Milliseconds before the first byte of each reply. */
  delayMs?: number;
  /** Blocks a second over all connections. */
  rate?: number;
  /** Hash the data of puts; without it only their checksum header is compared. */
  checkBodies?: boolean;
}

/** Counters since the last reading. Times are in seconds since the epoch, 0 for never. */
export interface ServerStats {
  lists: number;
  gets: number;
  puts: number;
  starts: number;
  completes: number;
  refused: number;
  connections: number;
  wrongPuts: number;
  /** When the first block was requested. */
  firstBlockAt: number;
  /** When the last block's reply was sent. */
  lastBlockAt: number;
  countRight: boolean;
  linearRight: boolean;
  linearGiven: boolean;
}

export class LoadServer {
  readonly port: number;
  readonly url: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: AsyncIterator<string>,
    port: number,
    tls: boolean,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.port = port;
    this.url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  static async start(options: ServerOptions): Promise<LoadServer> {
    const args = layoutArguments(options.layout);
    const add = (name: string, value: number | string | undefined) => {
      if (value !== undefined) args.push(`--${name}`, String(value));
    };
    add('certificate', options.certificates?.certificate);
    add('key', options.certificates?.key);
    add('pace', options.pace);
    add('delay-ms', options.delayMs);
    add('rate', options.rate);
    add('check-bodies', options.checkBodies ? 1 : undefined);
    const child = spawn(programPath('server'), args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done) throw new Error('the load server did not start');
    const { port } = JSON.parse(first.value) as { port: number };
    return new LoadServer(child, lines, port, options.certificates !== undefined);
  }

  async takeStats(): Promise<ServerStats> {
    this.#child.stdin.write('\n');
    const line = await this.#lines.next();
    if (line.done) throw new Error('the load server has ended');
    return JSON.parse(line.value) as ServerStats;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.stdin.end();
    await once(this.#child, 'exit');
  }
}
