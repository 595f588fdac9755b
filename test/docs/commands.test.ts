/** Commands in the documents exist and parse. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { buildProgram } from '../../src/cli/program.ts';
import { codeSpans, documents, project, read, shellCommands, split } from './markdown.ts';

function newProgram(): Command {
  const program = buildProgram(async () => {});
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut() {}, writeErr() {} });
  }
  return program;
}

/** The error of parsing the words after `coldsnap`, if any. */
async function fault(words: readonly string[], complete: boolean): Promise<string | undefined> {
  try {
    await newProgram().parseAsync([...words], { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || (!complete && error.code === 'commander.missingArgument')) return undefined;
    return `coldsnap ${words.join(' ')}: ${error.message}`;
  }
}

const scripts: Readonly<Record<string, string>> = JSON.parse(read('package.json')).scripts;

for (const document of documents) {
  const { fences, prose } = split(read(document), ['sh', '']);
  const shown = fences.flatMap(shellCommands);
  const mentioned = codeSpans(prose).flatMap(shellCommands);

  test(`the coldsnap commands in ${document} parse`, async () => {
    const faults: (string | undefined)[] = [];
    for (const [program, ...words] of shown)
      if (program === 'coldsnap') faults.push(await fault(words, true));
    for (const [program, ...words] of mentioned) {
      if (program === 'coldsnap' && words.length > 0) faults.push(await fault(words, false));
    }
    assert.deepEqual(
      faults.filter((text) => text !== undefined),
      [],
    );
  });

  if (document === 'README.md') assert.ok(shown.filter(([program]) => program === 'coldsnap').length >= 8);

  test(`the scripts that ${document} runs exist`, () => {
    const missing = [...shown, ...mentioned].filter(([program = '', verb, name = '']) => {
      if (program === 'npm' && verb === 'run') return name !== '' && scripts[name] === undefined;
      return /^(\.\/)?scripts\/[\w-]+$/.test(program) && !existsSync(join(project, program));
    });
    assert.deepEqual(missing, []);
  });
}

test('the options that README.md names exist', () => {
  const program = newProgram();
  const options = [program, ...program.commands].flatMap((command) => command.options);
  const known = new Set<string | undefined>(['--help', ...options.map(({ long }) => long)]);
  const named = codeSpans(split(read('README.md'), []).prose).flatMap(
    (span) => /^--[a-z0-9-]+/.exec(span) ?? [],
  );
  assert.ok(named.length > 20);
  assert.deepEqual(
    named.filter((option) => !known.has(option)),
    [],
  );
});
