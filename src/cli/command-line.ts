/** Prints a command line so that it can be pasted into a shell and means the same again. */

/** Characters that no POSIX shell, nor zsh, treats specially anywhere in a word. */
const plainWord = /^[\w@%+:,./-][\w@%+=:,./-]*$/;

/** Quotes one argument for sh, bash, zsh and fish alike. */
export function shellQuote(argument: string): string {
  if (plainWord.test(argument)) return argument;
  if (argument === '') return "''";
  // A single quote cannot stand within single quotes, and fish alone reads a backslash there as an escape:
  // both stand outside of them, in their own double quotes or backslash.
  return argument
    .split(/(['\\]+)/)
    .filter((part) => part !== '')
    .map((part) =>
      /^'+$/.test(part) ? `"${part}"` : /^['\\]+$/.test(part) ? part.replace(/./g, '\\$&') : `'${part}'`,
    )
    .join('');
}

/**
 * Options as words of a command line: `{ timeoutMs: 1500, desiredStatus: 'error' }` is `--timeout 1.5s --desired-status
 * error`.
 */
export function optionWords(options: object): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const words = name.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return [`--${words}`, name.endsWith('Ms') ? `${value / 1000}s` : String(value)];
  });
}

/**
 * The command line that does the rest of an interrupted run: the same one, but without `--fresh`, which would throw
 * away what was done.
 */
export function runAgainLine(argv: readonly string[]): string {
  const end = argv.indexOf('--');
  const words = argv.filter((word, index) => word !== '--fresh' || (end !== -1 && index > end));
  return ['coldsnap', ...words].map(shellQuote).join(' ');
}
