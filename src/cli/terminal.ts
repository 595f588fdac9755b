/** Which characters a terminal shows. */
type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the locale is UTF-8. The Linux console lacks most characters. */
export function showsUnicode(env: Environment): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return /utf-?8/i.test(locale) && env.TERM !== 'linux';
}

/** Text in ASCII: other characters become `?`. */
export function toAscii(text: string): string {
  return text.replaceAll('\u2026', '...').replace(/[^\x20-\x7e\n]/gu, '?');
}
