/** scripts/test.ts, which compiles and runs the tests. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { project } from './built.ts';

test('names the sources of tests that fail, and their lines', async (t) => {
  const folder = folderOf(t, {
    'fails.test.ts': `
      import assert from 'node:assert/strict';
      import { test } from 'node:test';
      interface Removed { readonly field: number }

      test('is wrong', () => {
        const three: Removed = { field: 3 };
        assert.equal(three.field, 4);
      });`,
    'broken.test.ts': "\nthrow new Error('does not load');",
  });
  const { runner, stdout } = start([join(folder, 'fails.test.ts'), join(folder, 'broken.test.ts')]);
  const output = await stdout;
  assert.deepEqual(await once(runner, 'exit'), [1, null]);
  assert.match(output, /not ok: is wrong\n {2}at \S+\/fails\.test\.ts:6\n/);
  assert.match(output, /at .*\/fails\.test\.ts:8:16\)\n/);
  assert.match(output, /\/fails\.test\.ts: 1 failed\n/);
  assert.match(output, /\/broken\.test\.ts:2\n/);
  assert.match(output, /\/broken\.test\.ts: 1 failed\n/);
});

test('fails a file with an uncaught error, and prints the error', async (t) => {
  const uncaught = {
    'throws.test.ts': "setTimeout(() => { throw new Error('thrown late'); });",
    'rejects.test.ts': "void Promise.reject(new Error('rejected'));",
  };
  const files = Object.entries(uncaught).map(([name, line]) => [
    name,
    `import { test } from 'node:test';
     test('passes', () => {});
     test('waits', () => { ${line} return new Promise(() => setInterval(() => {}, 1000)); });`,
  ]);
  const folder = folderOf(t, Object.fromEntries(files));
  const { runner, stdout } = start(Object.keys(uncaught).map((name) => join(folder, name)));
  const output = await stdout;
  assert.deepEqual(await once(runner, 'exit'), [1, null]);
  assert.match(output, /^Error: thrown late\n.*\/throws\.test\.ts:3:\d+/m);
  assert.match(output, /^Error: rejected\n.*\/rejects\.test\.ts:3:\d+/m);
  for (const name of Object.keys(uncaught))
    assert.match(output, new RegExp(`${name}: (1 passed, )?1 failed`));
});

test('runs tests inside of suites and of tests', async (t) => {
  const folder = folderOf(t, {
    'inside.test.ts': `
      import { describe, test } from 'node:test';
      describe('a suite', { concurrency: 2 }, () => {
        test('one', () => {});
        describe('another', () => test('two', (t) => t.test('three', () => {})));
      });`,
  });
  const { runner, stdout } = start([join(folder, 'inside.test.ts'), '--test-reporter', 'spec']);
  const output = (await stdout).replace(/ \([\d.]+ms\)/g, '');
  assert.deepEqual(await once(runner, 'exit'), [0, null]);
  assert.match(output, /a suite\n {2}. one\n {2}. another\n {4}. two\n {6}. three\n/);
});

test('gives import.meta the path of the source, and passes options on', async (t) => {
  const folder = folderOf(t, {
    'meta.test.ts': `
      import { test } from 'node:test';
      test('prints', () => console.log(import.meta.url, import.meta.dirname, import.meta.resolve('tsx')));
      test('fails', () => { throw new Error('a failure'); });`,
  });
  const { runner, stdout } = start([join(folder, 'meta.test.ts'), '--test-name-pattern', 'prints']);
  const output = await stdout;
  assert.deepEqual(await once(runner, 'exit'), [0, null]);
  const [line] = output.split('\n');
  assert.equal(line, `file://${folder}/meta.test.ts ${folder} ${import.meta.resolve('tsx')}`);
});

test('removes what it compiled when it is interrupted', async (t) => {
  const folder = folderOf(t, {
    'waits.test.ts': `
      import { test } from 'node:test';
      test('waits', () => new Promise(() => setInterval(() => console.log(process.argv[1]), 100)));`,
  });
  const { runner, stdout } = start([join(folder, 'waits.test.ts')]);
  const [line] = await once(runner.stdout as Readable, 'data');
  const compiled = String(line).trimEnd().split('\n', 1)[0]!;
  assert.ok(compiled.startsWith(`${project}.test-`) && existsSync(compiled), compiled);
  runner.kill('SIGINT');
  const [code] = await once(runner, 'exit');
  await stdout;
  assert.notEqual(code, 0);
  assert.equal(existsSync(compiled), false);
});

/** A directory with these files, until the end of the test. */
function folderOf(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'coldsnap-runner-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

function start(args: readonly string[]): { runner: ChildProcess; stdout: Promise<string> } {
  // Node runs no tests in a process that says it is one of a test itself.
  const { NODE_TEST_CONTEXT, ...env } = process.env;
  const runner = spawn(process.execPath, ['--import', 'tsx', join(project, 'scripts/test.ts'), ...args], {
    cwd: project,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { runner, stdout: text(runner.stdout as Readable) };
}
