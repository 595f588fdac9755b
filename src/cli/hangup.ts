/** Whether SIGHUP was ignored when the process started: Node restores the default action before any JavaScript runs. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Set by the launchers, which still see the signal: `1` if SIGHUP is ignored. */
const launcherVariable = 'COLDSNAP_NOHUP';

/**
 * Whether the parent had SIGHUP ignored, as nohup does. Node restores the default action, so without a launcher only the
 * parent's own state and the shell's variable `_` tell.
 */
export function isHangupIgnored(env: Environment = process.env): boolean {
  const told = env[launcherVariable];
  if (told !== undefined) return told === '1';
  if (basename(env._ ?? '') === 'nohup') return true;
  try {
    const status = readFileSync(`/proc/${process.ppid}/status`, 'latin1');
    const ignored = /^SigIgn:\s*[0-9a-f]*([0-9a-f])$/m.exec(status)?.[1] ?? '0';
    return (Number.parseInt(ignored, 16) & 1) === 1;
  } catch {
    return false;
  }
}
