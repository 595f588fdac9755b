/** Finds the addon's binary and loads it, or says what it saw and what to do. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.ts';

/** The addon did not load. The message ends with what may help, chosen from what was seen. */
export class AddonLoadError extends Error {
  readonly code = 'ADDON_NOT_LOADED';
  /** Every path looked at, with why it was not taken. */
  readonly tried: readonly { path: string; reason: string }[];

  constructor(message: string, tried: readonly { path: string; reason: string }[], cause: unknown) {
    super(message, { cause });
    this.name = 'AddonLoadError';
    this.tried = tried;
  }
}

/**
 * Loads the addon: a prebuilt binary for this platform first, else the one that the installation compiled.
 * @throws AddonLoadError
 */
export function loadAddon(from: string = dirname(fileURLToPath(import.meta.url))): unknown {
  const root = packageRoot(from);
  if (root === undefined) {
    throw new AddonLoadError(
      `coldsnap's native addon cannot be looked for: no package.json of coldsnap in ${from} or above.\n` +
        'Possible solutions:\n  - keep the package.json of coldsnap beside its dist folder, or reinstall the package',
      [],
      undefined,
    );
  }
  const paths = [
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'coldsnap.node'),
    join(root, 'build', 'Release', 'coldsnap.node'),
  ];
  const tried: { path: string; reason: string }[] = [];
  let cause: unknown;
  for (const path of paths) {
    if (!existsSync(path)) {
      tried.push({ path, reason: 'no such file' });
      continue;
    }
    try {
      const module: { exports: unknown } = { exports: {} };
      process.dlopen(module, path);
      return module.exports;
    } catch (error) {
      cause ??= error;
      const message = error instanceof Error ? error.message : String(error);
      tried.push({ path, reason: `${message} [${contentsOf(path)}]` });
    }
  }
  throw new AddonLoadError(explain(root, tried), tried, cause);
}

function explain(root: string, tried: readonly { path: string; reason: string }[]): string {
  const solutions = new Set<string>();
  for (const { reason } of tried) for (const solution of solutionsFor(reason)) solutions.add(solution);
  if (tried.every(({ reason }) => reason === 'no such file')) {
    if (process.platform !== 'linux')
      solutions.add(`use Linux: coldsnap does not run on ${process.platform}`);
    solutions.add(`build it: \`npm rebuild coldsnap\` (in a checkout, ${root}: \`npm ci\`)`);
    solutions.add('allow install scripts (`npm config get ignore-scripts` should print false), then rebuild');
    solutions.add(
      'install a C++17 compiler, make and Python 3 (Debian: `apt-get install g++ make python3`), then rebuild',
    );
  }
  return [
    "coldsnap's native addon did not load.",
    ...tried.map(({ path, reason }) => `  ${path}: ${reason}`),
    `  this process: Node ${process.version}, ${process.platform}-${process.arch}, ${libc()}, module ABI ${process.versions.modules}, Node-API ${process.versions.napi}`,
    'Possible solutions:',
    ...[...solutions].map((solution) => `  - ${solution}`),
  ].join('\n');
}

/** The remedy for a message of dlopen. */
function solutionsFor(reason: string): string[] {
  if (reason === 'no such file') return [];
  const machine = /\[a library for (.*)\]$/.exec(reason)?.[1];
  if (/\[no library\]$/.test(reason) || (machine !== undefined && machine !== process.arch)) {
    return [
      `the file is not a library for this machine (${process.arch}); was node_modules copied from another? Run \`npm rebuild coldsnap\``,
    ];
  }
  if (/GLIBC|GLIBCXX|CXXABI/.test(reason)) {
    return [
      'the binary wants newer system libraries than there are here: `npm rebuild coldsnap --build-from-source`',
    ];
  }
  if (/Permission denied|Operation not permitted|failed to map segment/i.test(reason)) {
    return [
      'the file may not be read or executed here: check its permissions and that the file system is not mounted noexec',
    ];
  }
  if (/cannot open shared object file|Error loading shared library/.test(reason)) {
    return [
      'a library that the binary needs is missing (it is named above; on a system without glibc, such as Alpine, that is expected): `npm rebuild coldsnap --build-from-source`',
    ];
  }
  if (/undefined symbol|NODE_MODULE_VERSION|napi/i.test(reason)) {
    return [
      `the binary does not fit this Node (${process.version}): use Node 20.19 or later, then \`npm rebuild coldsnap\``,
    ];
  }
  return ['rebuild it: `npm rebuild coldsnap`'];
}

/** Reads the ELF header, because glibc reports "No such file" for another machine's binary. */
function contentsOf(path: string): string {
  const header = Buffer.alloc(20);
  try {
    const fd = openSync(path, 'r');
    try {
      readSync(fd, header, 0, header.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (header.readUInt32BE(0) !== 0x7f454c46) return 'no library';
  const machine = header.readUInt16LE(18);
  return `a library for ${{ 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' }[machine] ?? `machine ${machine}`}`;
}

function libc(): string {
  // The report is an object with a header, or, where it is switched off, nothing useful.
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const version = report?.header?.glibcVersionRuntime;
  return version === undefined ? 'not glibc (musl?)' : `glibc ${version}`;
}
