/** The directory for journals that cannot be beside the disk image. */
import { createHash } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import { homeDirectory } from '../home.ts';
import { fitsJournal } from './names.ts';

/**
 * The directory for journals of devices; it may not exist yet. systemd's `$STATE_DIRECTORY` (the first, if it names
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
  return join(homeDirectory(env), '.local/state/coldsnap');
}

/** A path in the state directory for this identity; `suffix` names the kind of file. */
export function stateFile(identity: string, suffix: string): string {
  const readable = identity.replace(/[^A-Za-z0-9.]+/g, '-').slice(0, 80);
  const exact = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  return join(stateDirectory(), `${readable}-${exact}.${suffix}`);
}

/** A journal's path: beside the file, or in the state directory where its name would be too long. */
export function journalPath(beside: string, identity: string): string {
  const suffix = beside.slice(beside.lastIndexOf('.') + 1);
  return fitsJournal(beside) ? beside : stateFile(identity, suffix);
}
