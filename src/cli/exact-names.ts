/** Names that are not UTF-8: Node changes them before any JavaScript runs. */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { argumentNotUtf8, variableNotUtf8 } from './messages.ts';

type Environment = Readonly<Record<string, string | undefined>>;

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
