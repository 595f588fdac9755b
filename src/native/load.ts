/** Finds the addon's binary and loads it. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ColdsnapError, isError } from '../errors.ts';
import { packageRoot } from '../package-root.ts';

/** The addon did not load. The message lists every file tried; the hint is what to do. */
export class AddonLoadError extends ColdsnapError {
  readonly tried: readonly Attempt[];

  constructor(message: string, hint: string, tried: readonly Attempt[], cause?: unknown) {
    super('config', 'ADDON_NOT_LOADED', message, { hint, cause });
    this.tried = tried;
  }
}

/** A file that could not be loaded, and why. */
interface Attempt {
  readonly path: string;
  readonly reason: string;
}

/**
 * Loads the addon: the build of a clone, else the prebuilt one for glibc, else the one for musl. Only a clone has a build,
 * and it is of the clone's own sources, whereas prebuilt files there may be of older ones.
 * @throws AddonLoadError class `config`, code `ADDON_NOT_LOADED`
 */
export function loadAddon(from: string = dirname(fileURLToPath(import.meta.url))): unknown {
  const root = packageRoot(from);
  if (root === undefined) {
    throw new AddonLoadError(
      `cannot find the native addon: no package.json of coldsnap in ${from} or above`,
      "Keep coldsnap's package.json beside its dist directory.",
      [],
    );
  }
  const system = `${process.platform}-${process.arch}`;
  const tried: Attempt[] = [];
  let cause: unknown;
  for (const directory of ['build/Release', `prebuilds/${system}`, `prebuilds/${system}-musl`]) {
    const path = join(root, directory, 'coldsnap.node');
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
      const message = isError(error) ? error.message : String(error);
      tried.push({ path, reason: `${message} [${contentsOf(path)}]` });
    }
  }
  const lines = tried.map(({ path, reason }) => `  ${path}: ${reason}`);
  const running = `  this process: Node ${process.version}, ${system}, ${libc()}`;
  const message = ['the native addon did not load', ...lines, running].join('\n');
  throw new AddonLoadError(message, hintFor(root, tried), tried, cause);
}

/** The remedy: the command that installs an addon for this machine, unless something else keeps it from loading. */
function hintFor(root: string, tried: readonly Attempt[]): string {
  if (process.platform !== 'linux') return 'Use Linux: coldsnap does not run on other systems.';
  if (tried.some(({ reason }) => /loading addons is disabled/.test(reason))) {
    return 'Allow Node.js to load it: drop --no-addons, or add --allow-addons to --permission.';
  }
  const denied = tried.find(({ reason }) => /permission denied|not permitted|failed to map/i.test(reason));
  if (denied !== undefined) {
    return `Make ${denied.path} readable, and mount its file system without noexec.`;
  }
  if (existsSync(join(root, 'binding.gyp'))) return `Run: cd ${root} && npm ci`;
  if (process.arch !== 'x64' && process.arch !== 'arm64') {
    return `Run npm ci in a clone of coldsnap: there is no prebuilt addon for ${process.arch}.`;
  }
  if (basename(dirname(root)) !== 'node_modules') return 'Reinstall the coldsnap package.';
  const isGlobal = basename(dirname(dirname(root))) === 'lib';
  return `Run: npm install ${isGlobal ? '--global ' : ''}--force coldsnap`;
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
    return isError(error) ? error.message : String(error);
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
