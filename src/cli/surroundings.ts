/** Names that are not UTF-8, and signals that the parent ignored: Node changes both before any JavaScript runs. */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { argumentNotUtf8, variableNotUtf8 } from './messages.ts';

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

/** Variables that name files or a profile. */
const exactVariables = /^(?:HOME|STATE_DIRECTORY|XDG_STATE_HOME|AWS_.*)$/;

/**
 * Refuses names that cannot be passed on exactly: Node decodes them as UTF-8 and replaces every other byte, so that
 * another file would be read or written.
 * @throws ColdsnapError class `usage`, code `NAME_NOT_UTF8`
 */
export function checkNames(argv: readonly string[], env: Environment = process.env): void {
  // U+FFFD stands for what was replaced, but may also be a character of the name.
  const word = argv.find((argument) => argument.includes('\ufffd'));
  if (word !== undefined && !isExact('cmdline')) throw argumentNotUtf8(word);
  const name = Object.keys(env).find((key) => exactVariables.test(key) && env[key]?.includes('\ufffd'));
  if (name !== undefined && !isExact('environ', name)) throw variableNotUtf8(name);
}

/** Whether the words of the process are UTF-8, or the variable `name`. */
function isExact(file: 'cmdline' | 'environ', name = ''): boolean {
  const words = readFileSync(`/proc/self/${file}`).toString('latin1').split('\0');
  const relevant = name === '' ? words : words.filter((word) => word.startsWith(`${name}=`));
  return relevant.every((word) => isUtf8(Buffer.from(word, 'latin1')));
}
