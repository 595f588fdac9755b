/** The programs measured, and their command lines. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LoadServer } from './load-server.ts';
import type { BenchOptions, ContenderKey } from './options.ts';
import { programPath, SOURCES } from './programs.ts';

/** A copy reads from the server and writes to it; `since` and `incremental` are an incremental download and upload. */
export type Direction = 'download' | 'upload' | 'copy' | 'verify' | 'since' | 'incremental';

export interface Job {
  direction: Direction;
  server: LoadServer;
  /** CA to trust if the server uses TLS. */
  ca: string | undefined;
  snapshotId: string;
  /** The snapshot that an incremental transfer starts from. */
  baseId?: string;
  /** Target or source. */
  path: string;
  /** Further targets. */
  more?: readonly string[];
  workers: number;
  /** Blocks of the source. */
  blocks: number;
}

export interface Contender {
  key: ContenderKey;
  title: string;
  command(job: Job): string[];
}

const OURS = resolve(SOURCES, '../../bin/coldsnap.js');
const BUILT = resolve(SOURCES, '../../dist/cli/main.js');

/** Whether coldsnap itself is built. */
export function oursIsBuilt(): boolean {
  return existsSync(OURS) && existsSync(BUILT);
}

export function ours(...args: string[]): string[] {
  return [process.execPath, OURS, ...args];
}

function transport(kind: 'fast' | 'sdk') {
  return (job: Job) => {
    const what = {
      download: ['download', job.snapshotId, job.path, ...(job.more ?? []), '--force'],
      upload: ['upload', job.path],
      copy: ['copy', job.snapshotId, '--description', 'bench'],
      verify: ['verify', job.snapshotId, job.path],
      since: ['download', '--since', job.baseId ?? '', job.snapshotId, job.path],
      incremental: [
        'upload',
        '--incremental',
        '--detect-holes',
        '--parent-snapshot-id',
        job.baseId ?? '',
        job.path,
      ],
    }[job.direction];
    const how = ['--endpoint', job.server.url, '--workers', String(job.workers), '--transport', kind];
    return ours(...what, ...how);
  };
}

function peer(binary: string) {
  return (job: Job) => {
    const what = job.direction === 'download' ? ['--force', job.snapshotId, job.path] : [job.path];
    return [binary, '--endpoint', job.server.url, job.direction, '--workers', String(job.workers), ...what];
  };
}

function reference(job: Job): string[] {
  return [
    ...[programPath('client'), job.direction, '--port', String(job.server.port), '--file', job.path],
    ...['--snapshot', job.snapshotId, '--workers', String(job.workers), '--blocks', String(job.blocks)],
    ...(job.ca === undefined ? [] : ['--ca', job.ca]),
  ];
}

/** The requested contenders that are available; warns about the others. @throws Error if none is, or the peer is missing */
export function chooseContenders(options: Pick<BenchOptions, 'contenders' | 'peer'>): Contender[] {
  const chosen: Contender[] = [];
  for (const key of options.contenders) {
    if (key === 'reference') chosen.push({ key, title: 'C++ reference client', command: reference });
    if (key === 'peer' && options.peer !== undefined) {
      const binary = resolve(options.peer);
      if (!existsSync(binary)) throw new Error(`--peer ${options.peer}: no such file`);
      chosen.push({ key, title: 'Rust coldsnap 0.12', command: peer(binary) });
    }
    if (key === 'fast' || key === 'sdk') {
      if (oursIsBuilt())
        chosen.push({
          key,
          title: key === 'fast' ? 'coldsnap' : 'coldsnap --transport sdk',
          command: transport(key),
        });
      else process.stderr.write(`bench: skipping ${key}: coldsnap is not built (npm run build)\n`);
    }
  }
  if (chosen.length === 0) throw new Error('no program to measure');
  return chosen;
}
