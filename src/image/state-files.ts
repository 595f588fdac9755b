/** Where journals live that cannot lie beside the disk image, and what tells one device from another. */
import { createHash } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { deviceNumber } from './device/users.ts';

/**
 * The directory for journals of devices; it may not exist yet. systemd's `$STATE_DIRECTORY` (the first, where it names
 * several), `/var/lib/coldsnap` for root, else `$XDG_STATE_HOME/coldsnap` or `~/.local/state/coldsnap`.
 */
export function stateDirectory(
  env: NodeJS.ProcessEnv = process.env,
  uid: number | undefined = process.geteuid?.(),
): string {
  const fromSystemd = env.STATE_DIRECTORY?.split(':')[0];
  if (fromSystemd !== undefined && isAbsolute(fromSystemd)) return fromSystemd;
  if (uid === 0) return '/var/lib/coldsnap';
  const home = env.XDG_STATE_HOME;
  if (home !== undefined && isAbsolute(home)) return join(home, 'coldsnap');
  return join(env.HOME ?? homedir(), '.local/state/coldsnap');
}

/** A file in the state directory for something with this identity; `suffix` says what for. */
export function stateFile(identity: string, suffix: string): string {
  const readable = identity.replace(/[^A-Za-z0-9.]+/g, '-').slice(0, 80);
  const exact = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  return join(stateDirectory(), `${readable}-${exact}.${suffix}`);
}

async function attribute(directory: string, name: string): Promise<string | undefined> {
  try {
    const text = (await readFile(`${directory}/${name}`, 'utf8')).trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

/**
 * What stays the same when the device gets another name, and differs between devices: its WWID or serial (with the
 * partition's number), the UUID of a device-mapper or md device, a loop device's backing file, else number and size.
 */
export async function deviceIdentity(rdev: bigint, sizeBytes: number, sys = '/sys'): Promise<string> {
  const number = deviceNumber(rdev);
  const fallback = `device:${number}:${sizeBytes}`;
  let directory: string;
  try {
    directory = await realpath(`${sys}/dev/block/${number}`);
  } catch {
    return fallback;
  }
  const partition = await attribute(directory, 'partition');
  const disk = partition === undefined ? directory : dirname(directory);
  const which = partition === undefined ? '' : `:part${partition}`;
  for (const name of ['wwid', 'device/wwid', 'dm/uuid', 'md/uuid', 'device/serial', 'serial'] as const) {
    const value = await attribute(disk, name);
    if (value !== undefined) return `${basename(name)}:${value}${which}`;
  }
  const backing = await attribute(disk, 'loop/backing_file');
  if (backing === undefined) return fallback;
  const offset = (await attribute(disk, 'loop/offset')) ?? '0';
  return `loop:${backing}:${offset}:${sizeBytes}${which}`;
}
