/**
 * A strict local EBS direct API with the EC2 operations on snapshots, on one port, for testing programs that read or
 * write snapshots. See docs/emulator.md.
 */

import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ColdsnapError } from '../errors.ts';
import { lockDirectory } from './data-lock.ts';
import { parseFaults } from './fault-file.ts';
import { FaultRules } from './faults.ts';
import type { Emulator, EmulatorOptions } from './options.ts';
import { putSnapshot, readImage, viewOf } from './put-snapshot.ts';
import { Quotas } from './quotas.ts';
import { RequestLog } from './request-log.ts';
import { Handler } from './server.ts';
import { resolveSettings } from './settings.ts';
import { Store } from './store.ts';
import { Tokens } from './tokens.ts';

export type * from './faults.ts';
export type {
  Emulator,
  EmulatorOptions,
  EmulatorQuotas,
  EmulatorSecret,
  PutSnapshotOptions,
  RequestRecord,
  SnapshotStatus,
  SnapshotView,
} from './options.ts';
export { parseFaults };

/** How long an idle connection stays open. */
const KEEP_ALIVE_MS = 60_000;

/**
 * Starts an emulator; resolves when it is listening.
 *
 * @throws RangeError for an option out of range; ColdsnapError of class `usage` for invalid fault rules, credentials or
 *   TLS files, of class `refused` for a data directory that another emulator uses, of class `local` for a damaged one;
 *   or a system call's error (port in use, directory not writable)
 */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const settings = resolveSettings(options);
  const faults = new FaultRules(parseFaults(options.faults ?? []));
  const server = createServer(options.tls);
  const directory = options.dataDirectory ?? mkdtempSync(join(tmpdir(), 'ebs-emulator-'));
  const unlock = options.dataDirectory === undefined ? () => {} : lockDirectory(directory);
  const release = (): void => {
    if (options.dataDirectory === undefined) rmSync(directory, { recursive: true, force: true });
    unlock();
  };
  let store: Store;
  let tokens: Tokens;
  try {
    store = new Store(directory, settings.now, settings.completionDelayMs);
    tokens = new Tokens(store.tokenKey());
  } catch (error) {
    release();
    throw error;
  }
  const quotas = new Quotas(settings.quotas, settings.now);
  const log = new RequestLog();
  const closing = new AbortController();
  // Every request that a fault delays adds a listener.
  setMaxListeners(0, closing.signal);
  const service = { settings, store, tokens, quotas };
  const handler = new Handler(service, log, faults, closing.signal);

  const running = new Set<Promise<void>>();
  server.on('request', (request, response) => {
    const work = handler.handle(request, response).finally(() => running.delete(work));
    running.add(work);
  });
  const host = options.host ?? '127.0.0.1';
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port ?? 0, host, () => resolve());
    });
  } catch (error) {
    await store.close();
    release();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  const urlHost = host.includes(':') ? `[${host}]` : host;

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing.abort();
    log.close();
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await ended;
    await Promise.allSettled(running);
    await store.close();
    release();
  };

  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${urlHost}:${port}`,
    port,
    region: settings.region,
    get log() {
      return log.records;
    },
    requests: (operation) =>
      log.records.filter((record) => operation === undefined || record.operation === operation),
    clearLog: () => {
      log.records.length = 0;
    },
    setFaults: (rules) => {
      handler.faults = new FaultRules(parseFaults(rules));
    },
    waitForRequest: (predicate, count) => log.wait(predicate, count),
    putSnapshot: (snapshotOptions) => putSnapshot(store, settings, snapshotOptions),
    snapshot: (id) => {
      const snapshot = store.get(id);
      return snapshot && viewOf(snapshot);
    },
    readImage: async (id) => {
      const snapshot = store.get(id);
      if (snapshot === undefined) throw new Error(`snapshot ${id} does not exist`);
      return readImage(snapshot);
    },
    deleteSnapshot: (id) => store.delete(id),
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** @throws ColdsnapError (`usage`, `BAD_TLS_FILES`) if key and certificate cannot be used */
function createServer(tls: EmulatorOptions['tls']): Server {
  let server: Server;
  try {
    server = tls === undefined ? createHttpServer() : createHttpsServer(tls);
  } catch (cause) {
    const message = 'the TLS key and certificate are not valid PEM, or do not belong together';
    throw new ColdsnapError('usage', 'BAD_TLS_FILES', message, { cause });
  }
  server.requestTimeout = 0; // a slow upload must not time out
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return server;
}
