/** Prints command lines so that they can be pasted into a shell. */

/** Characters that no POSIX shell, nor zsh, treats specially anywhere in a word. */
const plainWord = /^[\w@%+:,./-][\w@%+=:,./-]*$/;

/** Control characters, with the next character: the shell drops newlines at the end of a substitution. */
const controlCharacters = /(\p{Cc}+\P{Cc}?)/u;

/** Quotes one argument for sh, bash, zsh and fish alike. Control characters, which a terminal would act on, are printed by printf. */
export function shellQuote(argument: string): string {
  const parts = argument.split(controlCharacters).filter((part) => part !== '');
  if (parts.length <= 1 && !controlCharacters.test(argument)) return quoteText(argument);
  return parts
    .map((part) => (controlCharacters.test(part) && !part.endsWith('\n') ? printed(part) : quoteText(part)))
    .join('');
}

/** A substitution that yields the text. */
function printed(text: string): string {
  const octal = [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`);
  return `"$(printf '${octal.join('')}')"`;
}

function quoteText(argument: string): string {
  if (plainWord.test(argument)) return argument;
  if (argument === '') return "''";
  // Single quotes cannot contain a single quote, and fish treats a backslash inside them as an escape.
  // Both go outside, in double quotes or after a backslash.
  return argument
    .split(/(['\\]+)/)
    .filter((part) => part !== '')
    .map((part) =>
      /^'+$/.test(part) ? `"${part}"` : /^['\\]+$/.test(part) ? part.replace(/./g, '\\$&') : `'${part}'`,
    )
    .join('');
}

/** The flag of each option; `ms` after the flag of a time in milliseconds. */
export type FlagNames<Options> = {
  readonly [Name in keyof Options]-?: readonly [flag: `--${string}`, unit?: 'ms'];
};

/** Options as words of a command line: `['--timeout', '1.5s', '--desired-status', 'error']`. */
export function optionWords<Options extends object>(options: Options, flags: FlagNames<Options>): string[] {
  const names = Object.keys(flags) as (keyof Options)[];
  return names.flatMap((name) => {
    const [flag, unit] = flags[name];
    const value = options[name];
    if (value === undefined) return [];
    return [flag, unit === 'ms' ? `${Number(value) / 1000}s` : String(value)];
  });
}

/** A command line of these words. */
export function commandLine(words: readonly string[]): string {
  return ['coldsnap', ...words].map(shellQuote).join(' ');
}

/**
 * The command line that resumes an interrupted run: the same one without `--fresh`, which would start over.
 * @param dropped indexes of words to drop
 */
export function runAgainLine(argv: readonly string[], dropped: readonly number[] = []): string {
  const end = argv.indexOf('--');
  const words = argv.filter(
    (word, index) => !dropped.includes(index) && (word !== '--fresh' || (end !== -1 && index > end)),
  );
  return commandLine(words);
}
