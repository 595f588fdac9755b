/** The CI script in docs/emulator.md, run with the built program. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bin, needsBuild, project } from '../support/built.ts';
import '../support/in-memory.ts';

async function recipe(): Promise<string> {
  const text = await readFile(join(project, 'docs/emulator.md'), 'utf8');
  const script = /### In CI\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(text)?.[1];
  assert.ok(script);
  return script;
}

/** Runs a script; resolves when all its processes have closed its output. */
async function runScript(t: TestContext, script: string) {
  const directory = await mkdtemp(join(tmpdir(), 'emulator-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'bin'));
  await symlink(bin, join(directory, 'bin/coldsnap'));
  await writeFile(join(directory, 'disk.img'), 'disk');
  await truncate(join(directory, 'disk.img'), 2 ** 30);
  const child = spawn('sh', ['-c', script], {
    cwd: directory,
    env: {
      PATH: `${directory}/bin:${process.env.PATH}`,
      HOME: directory,
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  // 'close' comes only after the emulator, which inherits stderr, has exited.
  const [exit] = (await once(child, 'close')) as [number | null];
  return { exit, output };
}

test('the CI script moves an image through the emulator and stops it', needsBuild, async (t) => {
  const { exit, output } = await runScript(t, await recipe());
  assert.equal(exit, 0, output);
});

test('the CI script fails, and stops the emulator, if a command fails', needsBuild, async (t) => {
  const { exit } = await runScript(t, `${(await recipe()).split('id=')[0]}exit 7\n`);
  assert.equal(exit, 7);
});

test('the CI script fails if the emulator cannot start', needsBuild, async (t) => {
  const script = (await recipe()).replace('emulator --quiet', 'emulator --faults missing.json --quiet');
  const { exit, output } = await runScript(t, script);
  assert.notEqual(exit, 0);
  assert.match(output, /missing\.json does not exist/);
});
