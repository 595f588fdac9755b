/** Parses the project's Markdown: files, links, headings, commands. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const project = fileURLToPath(new URL('../..', import.meta.url));

export const documents: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(`${project}/docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export function read(file: string): string {
  return readFileSync(`${project}/${file}`, 'utf8');
}

/** The contents of fences of these languages, and the text without fences. */
export function split(text: string, languages: readonly string[]): { fences: string[]; prose: string } {
  const fences: string[] = [];
  const prose = text.replace(/^```(\w*)\n([\s\S]*?)^```$/gm, (_, language: string, body: string) => {
    if (languages.includes(language)) fences.push(body);
    return '';
  });
  return { fences, prose };
}

/** The code spans of a text. */
export function codeSpans(prose: string): string[] {
  return [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);
}

/** The anchors that GitHub gives the headings of a text. */
export function anchors(text: string): Set<string> {
  const headings = split(text, []).prose.matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map((match) =>
      match[1]!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** The targets of a text's links, as written. */
export function links(text: string): string[] {
  const { prose } = split(text, []);
  const inline = prose.replace(/`[^`\n]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g);
  const references = prose.matchAll(/^\[[^\]]+\]: (\S+)$/gm);
  return [...inline, ...references].map((match) => match[1]!);
}

/** The simple commands in shell text, each as its words, without variables before it and `sudo`. */
export function shellCommands(text: string): string[][] {
  const commands: string[][] = [[]];
  const tokens = text
    .replaceAll('\\\n', ' ')
    .matchAll(
      /(?:^|\s)(#.*)|([|;&()\n]|\$\()|[<>]+\s*\S+|((?:'[^']*'|"(?!\$\()[^"]*"|[^\s|;&()<>'"]|"(?=\$\())+)/g,
    );
  for (const [, comment, operator, word] of tokens) {
    if (comment !== undefined) continue;
    if (operator !== undefined) commands.push([]);
    else if (word !== undefined) commands.at(-1)!.push(word.replace(/['"]/g, ''));
  }
  return commands.map(withoutPrefix).filter((words) => words.length > 0);
}

function withoutPrefix(words: readonly string[]): string[] {
  let at = 0;
  while (/^[A-Z_a-z]+=/.test(words[at] ?? '') || ['sudo', 'env'].includes(words[at] ?? '')) {
    const wrapped = words[at] === 'sudo';
    at++;
    while (wrapped && words[at]?.startsWith('-')) at++;
  }
  return words.slice(at);
}
