/** Shared resources of all measurements: a directory, certificates, snapshot IDs, a clean environment, and their clean-up. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { snapshotId } from './layout.ts';
import { LoadServer, type ServerOptions } from './load-server.ts';
import { type Measurement, measure } from './measure.ts';
import { buildPrograms, type Certificates, makeCertificates } from './programs.ts';
import { Volume } from './volume.ts';

/** Thrown after the clean-up that follows a signal. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}`);
    this.exitCode = signal === 'SIGINT' ? 130 : 143;
  }
}

export type Wire = 'tls' | 'plain';

export class Workbench {
  readonly directory: string;
  readonly certificates: Certificates;
  readonly #useLoop: boolean;
  readonly #interrupted: AbortSignal;
  readonly #servers: LoadServer[] = [];
  readonly #volumes: Volume[] = [];
  #snapshots = 1;
  #homes = 0;

  private constructor(directory: string, useLoop: boolean, interrupted: AbortSignal) {
    this.#interrupted = interrupted;
    this.directory = directory;
    this.#useLoop = useLoop;
    this.certificates = makeCertificates(directory);
  }

  /** Runs `work` with a workbench, then always removes its servers, devices and files. */
  static async use<T>(
    options: { directory?: string | undefined; useLoop: boolean },
    work: (bench: Workbench) => Promise<T>,
  ): Promise<T> {
    buildPrograms();
    const directory = mkdtempSync(join(options.directory ?? tmpdir(), 'coldsnap-bench-'));
    const interrupted = new AbortController();
    const interrupt = (signal: 'SIGINT' | 'SIGTERM') => interrupted.abort(new Interrupted(signal));
    let bench: Workbench | undefined;
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    try {
      bench = new Workbench(directory, options.useLoop, interrupted.signal);
      return await work(bench);
    } catch (error) {
      throw interrupted.signal.aborted ? interrupted.signal.reason : error;
    } finally {
      if (bench !== undefined) await bench.#close();
      rmSync(directory, { recursive: true, force: true });
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    }
  }

  async #close(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    for (const volume of this.#volumes) volume.remove();
  }

  /** An unused ID, so that an earlier run's data on a target cannot count as this run's. */
  nextSnapshotId(): string {
    this.#snapshots += 1;
    return snapshotId(this.#snapshots);
  }

  async startServer(wire: Wire, options: Omit<ServerOptions, 'certificates'>): Promise<LoadServer> {
    const certificates = wire === 'tls' ? this.certificates : undefined;
    const server = await LoadServer.start({ ...options, certificates });
    this.#servers.push(server);
    return server;
  }

  caFor(wire: Wire): string | undefined {
    return wire === 'tls' ? this.certificates.ca : undefined;
  }

  createVolume(name: string, bytes: number): Volume {
    const volume = Volume.create(this.directory, name, bytes, this.#useLoop);
    this.#volumes.push(volume);
    return volume;
  }

  /**
   * Measures one command in an empty home directory, so that it finds no journal or configuration of another run.
   * @param options.stopAfterS seconds after which it is stopped
   * @param options.connects whether it must trust the server. Loading CA certificates doubles Node's start-up time, so it
   *   is skipped where possible
   */
  async measure(command: string[], { stopAfterS = 0, connects = true } = {}): Promise<Measurement> {
    this.#interrupted.throwIfAborted();
    const home = join(this.directory, `home-${this.#homes++}`);
    mkdirSync(home);
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: home,
      XDG_STATE_HOME: join(home, 'state'),
      STATE_DIRECTORY: home,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'bench',
      AWS_REGION: 'us-east-1',
      AWS_EC2_METADATA_DISABLED: 'true',
      // The CA, for Node and for Rust.
      ...(connects && { NODE_EXTRA_CA_CERTS: this.certificates.ca, SSL_CERT_FILE: this.certificates.ca }),
    };
    try {
      return await measure(command, { env, stopAfterS, signal: this.#interrupted });
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
