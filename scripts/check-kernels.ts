/**
 * Loads an addon and fails unless it selects exactly the SHA-256 kernels that /proc/cpuinfo promises, or those given
 * (under qemu /proc/cpuinfo describes another machine).
 *
 *   node --import tsx scripts/check-kernels.ts ADDON [KERNEL…]
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The kernels of this machine, fastest first, from the flags that Linux lists. */
export function promisedKernels(arch: string, cpuinfo: string): string[] {
  const flags = new Set(/^(?:flags|Features)\s*: (.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
  const has = (...wanted: string[]) => wanted.every((flag) => flags.has(flag));
  if (arch === 'arm64') return has('sha2') ? ['armv8', 'portable'] : ['portable'];
  const shaNi = has('sha_ni', 'sse4_1', 'ssse3');
  const avx512 = has('avx512f', 'avx512bw');
  const kernels: [string, boolean][] = [
    ['avx512+sha-ni', avx512 && shaNi],
    ['sha-ni', shaNi],
    ['avx512', avx512],
    ['avx2', has('avx2')],
    ['portable', true],
  ];
  return kernels.filter(([, promised]) => promised).map(([name]) => name);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, ...given] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: check-kernels ADDON [KERNEL…]');
  const module: { exports: { sha256Kernels?: () => { available: string[] } } } = { exports: {} };
  process.dlopen(module, resolve(path));
  const found = module.exports.sha256Kernels?.().available.join(' ');
  const promised =
    given.length > 0 ? given : promisedKernels(process.arch, readFileSync('/proc/cpuinfo', 'utf8'));
  if (found !== promised.join(' ')) {
    console.error(`${path} selects the kernels ${found}; this processor runs ${promised.join(' ')}`);
    process.exitCode = 1;
  }
}
