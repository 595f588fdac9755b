/** Parses AWS configuration files as the AWS CLI does, which reads them with Python's configparser. */

/** The keys of one section. Keys of a nested block have the name of the block and a dot before them. */
export type Section = Readonly<Record<string, string | undefined>>;

/** A line that cannot be parsed. Its text may be a secret, so it is not repeated. */
export class IniError extends Error {
  override readonly name = 'IniError';
  readonly line: number;

  constructor(line: number, problem: string) {
    super(problem);
    this.line = line;
  }
}

/** Sections and keys by names of the user's, of which one may be "constructor". */
export function emptyRecord<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

/** Its keys count in all sections. */
const DEFAULTS = 'DEFAULT';

/**
 * Keys are in lower case and end at `=` or `:`. Lines that are indented more than their key continue its value; if nothing
 * follows the key on its own line, they are a nested block. A comment may also follow a value, after a space.
 *
 * @throws IniError for a line that is neither section, key nor comment, and for a section or key that is there twice
 */
export function parseIni(text: string): Record<string, Section> {
  const sections = emptyRecord<Record<string, string[]>>();
  const defaults = emptyRecord<string[]>();
  let section: Record<string, string[]> | undefined;
  let key: string | undefined;
  let indent = 0;
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || /^[#;]/.test(trimmed)) continue;
    const indentOfLine = line.search(/\S/);
    if (section !== undefined && key !== undefined && indentOfLine > indent) {
      section[key]?.push(withoutComment(key, trimmed));
      continue;
    }
    indent = indentOfLine;
    const [, name] = /^\[(.+)\]/.exec(trimmed) ?? [];
    if (name !== undefined) {
      if (name in sections) throw new IniError(index + 1, `has the section [${name}] again`);
      section = name === DEFAULTS ? defaults : emptyRecord();
      if (name !== DEFAULTS) sections[name] = section;
      key = undefined;
      continue;
    }
    if (section === undefined) throw new IniError(index + 1, 'is not in a section');
    const [, left, value = ''] = /^([^=:]*)[=:](.*)$/.exec(trimmed) ?? [];
    if (left === undefined) throw new IniError(index + 1, 'has no "="');
    key = left.trimEnd().toLowerCase();
    if (key === '') throw new IniError(index + 1, 'has no key before the "="');
    if (key in section) throw new IniError(index + 1, `has the key ${key} of its section again`);
    section[key] = [withoutComment(key, value).trim()];
  }
  const parsed = emptyRecord<Section>();
  for (const [name, keys] of Object.entries(sections)) parsed[name] = flatten({ ...defaults, ...keys });
  return parsed;
}

/** A command may have a "#" or ";" of its own, and the shell knows comments. */
function withoutComment(key: string, value: string): string {
  return key === 'credential_process' ? value : ` ${value}`.replace(/\s[#;].*$/, '').trimStart();
}

function flatten(keys: Record<string, string[]>): Section {
  const section = emptyRecord<string>();
  for (const [key, [first = '', ...rest]] of Object.entries(keys)) {
    if (first !== '' || rest.length === 0) {
      section[key] = [first, ...rest].join('\n');
      continue;
    }
    for (const line of rest) {
      const [name = '', ...value] = line.split('=');
      section[`${key}.${name.trim()}`] = value.join('=').trim();
    }
  }
  return section;
}

/** The name in `[KIND NAME]`, which may be quoted as in a shell; undefined for a section of another kind. */
export function nameOfSection(kind: string, section: string): string | undefined {
  const words = section.match(/(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+/g) ?? [];
  const [first, name, ...more] = words;
  if (first !== kind || name === undefined || more.length > 0) return undefined;
  return name.replace(/\\(.)|"((?:\\.|[^"\\])*)"|'([^']*)'/g, (_all, escaped, double, single) =>
    String(escaped ?? double?.replace(/\\(["\\])/g, '$1') ?? single),
  );
}
