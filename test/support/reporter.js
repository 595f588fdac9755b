/** A short report for `npm test`: a line for each file, failures in full, and the totals of Node's own reporters. */
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { inspect } from 'node:util';

/** Names the source of a test that scripts/test.ts compiled. */
const sourceOf = (name) =>
  name.replace(/^.*\.test-\w+\/\d+(\/.*)\.mjs$/, (_, path) => relative('', `${path}.ts`));

const maps = new Map();

/** The map of a compiled file. */
function mapOf(file) {
  if (!maps.has(file)) maps.set(file, new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8'))));
  return maps.get(file);
}

/** Replaces the places of compiled tests in a text by those of their sources. Node would load every map in every process. */
const inSources = (text) =>
  text.replace(
    /(?:file:\/\/)?(\/[^\s()]*\.test-\w+\/[^\s()]+\.mjs):(\d+)(?::(\d+))?/g,
    (place, file, line, column) => {
      const found = mapOf(file).findEntry(line - 1, (column ?? 1) - 1);
      if (found.originalSource === undefined) return place;
      const source = resolve(dirname(file), found.originalSource.replace('file://', ''));
      const end = column === undefined ? '' : `:${found.originalColumn + 1}`;
      return `${source}:${found.originalLine + 1}${end}`;
    },
  );

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* report(events) {
  let file;
  let count = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  const line = () => {
    const parts = Object.entries(count).flatMap(([what, number]) =>
      number === 0 ? [] : [`${number} ${what}`],
    );
    const text = `${relative('', sourceOf(file))}: ${parts.join(', ')}\n`;
    count = { passed: 0, failed: 0, skipped: 0 };
    return text;
  };
  for await (const { type, data } of events) {
    if (type === 'test:pass' || type === 'test:fail') {
      // Suites have no line of their own; their tests do.
      if (data.details.type === 'suite') continue;
      if (data.file !== file) {
        if (file !== undefined) yield line();
        file = data.file ?? data.name;
      }
      if (data.skip !== undefined) count.skipped++;
      else if (type === 'test:pass' || data.todo !== undefined) count.passed++;
      else {
        count.failed++;
        const { error } = data.details;
        const place = relative('', inSources(`${file}:${data.line ?? 1}`));
        const text = `not ok: ${sourceOf(data.name)}\n  at ${place}\n${inSources(inspect(error.cause ?? error))}\n`;
        failures.push(text);
        yield text;
      }
    } else if (type === 'test:stderr' || type === 'test:stdout') {
      yield inSources(data.message);
    } else if (
      type === 'test:diagnostic' &&
      /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(data.message)
    ) {
      if (file !== undefined) {
        yield line();
        file = undefined;
        if (failures.length > 0) yield `\nFailures:\n\n${failures.join('\n')}\n`;
      }
      yield `# ${data.message}\n`;
    }
  }
}
