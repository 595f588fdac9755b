/** Real paths that can be passed on as strings. */
import { isUtf8 } from 'node:buffer';
import { realpath } from 'node:fs/promises';
import { pathNotUtf8 } from './messages/common.ts';

/**
 * The real path.
 * @throws ColdsnapError class `usage`, code `NAME_NOT_UTF8`: as a string it would be the name of another file
 * @throws the system call's error
 */
export async function exactRealpath(path: string): Promise<string> {
  const real = await realpath(path, { encoding: 'buffer' });
  if (!isUtf8(real)) throw pathNotUtf8(path, real.toString());
  return real.toString();
}
