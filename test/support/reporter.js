/** A short report for `npm test`: a line for each file, failures in full, and the totals of Node's own reporters. */
import { relative } from 'node:path';
import { inspect } from 'node:util';

/** Names the source of a test that scripts/test.ts compiled: Node names the compiled file of one that does not load. */
const sourceOf = (name) =>
  name.replace(/^.*\.test-\w+\/\d+(\/.*)\.mjs$/, (_, path) => relative('', `${path}.ts`));

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
        const text = `not ok: ${sourceOf(data.name)}\n  at ${relative('', sourceOf(file))}:${data.line ?? 1}\n${inspect(error.cause ?? error)}\n`;
        failures.push(text);
        yield text;
      }
    } else if (type === 'test:stderr' || type === 'test:stdout') {
      yield data.message;
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
