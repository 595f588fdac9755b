/** Real paths that can be passed on as strings. */
import { isUtf8 } from 'node:buffer';
import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isErrno, localError } from './errno.ts';
import { pathNotUtf8 } from './messages/common.ts';

/**
 * The real path.
 * @throws ColdsnapError class `usage`, code `NAME_NOT_UTF8`: as a string it would be the name of another file
 * @throws the system call's error
 */
export async function exactRealpath(path: string): Promise<string> {
  // With Yarn's Plug'n'Play, whose fs knows no buffers here, it is a string.
  const real = (await realpath(path, { encoding: 'buffer' })) as Buffer | string;
  const isExact = typeof real === 'string' ? !real.includes('\ufffd') : isUtf8(real);
  if (!isExact) throw pathNotUtf8(path, real.toString());
  return real.toString();
}

/** As many as the kernel follows. */
const MAX_LINKS = 40;

/**
 * The path that a file which does not exist now has while it exists: absolute, with links followed. Unchanged where its
 * directory does not exist.
 */
export async function pathOfMissing(path: string): Promise<string> {
  let real = path;
  for (let links = 0; links <= MAX_LINKS && real !== '' && !real.endsWith('/'); links++) {
    try {
      real = join(await exactRealpath(dirname(real)), basename(real));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return path;
      throw localError(error, `examine ${path}`, path);
    }
    const next = await readlink(real).catch(() => undefined);
    if (next === undefined) return real;
    real = resolve(dirname(real), next);
  }
  return path;
}
