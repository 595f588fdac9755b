/** The state of a directory, to assert that nothing changed. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Every file of a directory, with its size, times, inode and contents. */
export function stateOf(directory: string): Record<string, string> {
  const state: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name);
    const { size, mtimeMs, ctimeMs, ino, mode } = lstatSync(path);
    const small = lstatSync(path).isFile() && size < 10_000_000;
    const digest = small ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
    state[name] = [size, mtimeMs, ctimeMs, ino, mode, digest].join(' ');
  }
  return state;
}
