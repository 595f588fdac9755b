/** Describes the machine and the versions measured. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { basename } from 'node:path';
import { SOURCES } from './programs.ts';

export interface Machine {
  date: string;
  cpu: string;
  cores: number;
  /** Instruction sets relevant to hashing. */
  features: string[];
  memoryGib: number;
  kernel: string;
  node: string;
  openssl: string;
  /** OpenSSL and compiler of the C++ programs. */
  referenceOpenssl: string;
  compiler: string;
  coldsnap: string;
  peer: string | undefined;
}

const FEATURES = ['sha_ni', 'avx2', 'avx512f', 'vaes', 'sha2', 'asimd'];

function firstLine(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', cwd: SOURCES }).split('\n')[0] ?? '';
}

function ourVersion(): string {
  const { version } = JSON.parse(readFileSync(`${SOURCES}/../../package.json`, 'utf8')) as {
    version: string;
  };
  try {
    return `${version} (${firstLine('git', 'describe', '--always', '--dirty', '--abbrev=8')})`;
  } catch {
    return version; // not a checkout
  }
}

export function describeMachine(peer: string | undefined): Machine {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = new Set((/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1] ?? '').trim().split(' '));
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: cpus().length,
    features: FEATURES.filter((feature) => flags.has(feature)),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    openssl: process.versions.openssl,
    referenceOpenssl: firstLine('openssl', 'version').replace(/ \(.*/, ''),
    compiler: firstLine('g++', '--version'),
    coldsnap: ourVersion(),
    peer: peer === undefined ? undefined : basename(peer),
  };
}

export function machineText(machine: Machine): string {
  const { cpu, cores, features, memoryGib, kernel, node, openssl } = machine;
  return (
    `${machine.date.slice(0, 10)}, ${cpu}, ${cores} cores (${features.join(', ')}), ${memoryGib} GiB, Linux ${kernel}; ` +
    `coldsnap ${machine.coldsnap} on Node ${node} (OpenSSL ${openssl}); ` +
    `${machine.peer === undefined ? '' : `peer ${machine.peer}; `}` +
    `reference client: ${machine.compiler}, ${machine.referenceOpenssl}`
  );
}
