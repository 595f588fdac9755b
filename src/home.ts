/** The home directory, also of a user without one. */
import { userInfo } from 'node:os';

/** `$HOME` unless it is empty, else that of the passwd entry, else `/`: containers run users that have neither. */
export function homeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.HOME) return env.HOME;
  try {
    // Not homedir(), which is empty where $HOME is.
    return userInfo().homedir || '/';
  } catch {
    return '/';
  }
}
