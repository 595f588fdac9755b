import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startEmulator } from '../../src/emulator/index.ts';
import { compileProgram } from '../support/compile.ts';
import {
  complete,
  download,
  ebsClient,
  linearChecksum,
  put,
  randomBlock,
  refusal,
  run,
  settled,
  start,
} from './client.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'emulator-test-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

const program = compileProgram({ file: fileURLToPath(new URL('emulator-process.ts', import.meta.url)) });

/** Starts an emulator in a process of its own; `kill` ends it with SIGKILL. */
async function startProcess(t: TestContext, dataDirectory: string) {
  const child = spawn(process.execPath, [await program, dataDirectory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(kill);
  const [url] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const ebs = ebsClient(url);
  t.after(() => ebs.destroy());
  return { ebs, kill };
}

test('a pending snapshot survives a killed emulator, which frees its data directory', async (t) => {
  const dataDirectory = await directory(t);
  const before = await startProcess(t, dataDirectory);
  const blocks = new Map([3, 1, 2].map((index) => [index, randomBlock()]));
  const input = { ClientToken: 'token', Timeout: 4320 };
  const id = await start(before.ebs, input);
  await put(before.ebs, id, 3, blocks.get(3)!);
  await assert.rejects(startEmulator({ dataDirectory }), { code: 'DATA_DIRECTORY_IN_USE' });
  await before.kill();
  const after = await run(t, { dataDirectory });
  assert.equal(await start(after.ebs, input), id);
  await assert.rejects(start(after.ebs, { ...input, VolumeSize: 2 }), refusal('ConflictException'));
  for (const index of [1, 2]) await put(after.ebs, id, index, blocks.get(index)!);
  await complete(after.ebs, id, 3, linearChecksum(blocks));
  assert.equal(await settled(after.emulator, id), 'completed');
  assert.deepEqual(await download(after.ebs, id), new Map([...blocks].sort(([a], [b]) => a - b)));
});

test('a data directory in use is rejected by name and not changed', async (t) => {
  const dataDirectory = await directory(t);
  const { emulator } = await run(t, { dataDirectory });
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const before = await readdir(dataDirectory, { recursive: true });
  await assert.rejects(startEmulator({ dataDirectory }), {
    class: 'refused',
    code: 'DATA_DIRECTORY_IN_USE',
    message: `the data directory ${dataDirectory} is in use by another emulator`,
    path: dataDirectory,
  });
  assert.deepEqual(await readdir(dataDirectory, { recursive: true }), before);
  assert.ok(emulator.snapshot(parent));
});

test('close frees the data directory, and so does a start that fails', async (t) => {
  const dataDirectory = await directory(t);
  const other = await run(t);
  await (await startEmulator({ dataDirectory })).close();
  await assert.rejects(startEmulator({ dataDirectory, port: other.emulator.port }), { code: 'EADDRINUSE' });
  const foreign = join(dataDirectory, 'snap-1');
  await mkdir(foreign);
  await writeFile(join(foreign, 'metadata.json'), '{');
  await assert.rejects(startEmulator({ dataDirectory }), /is damaged/);
  await rm(foreign, { recursive: true });
  await (await startEmulator({ dataDirectory })).close();
});

test('a directory that cannot be created is reported by the system call', async (t) => {
  const file = join(await directory(t), 'file');
  await writeFile(file, '');
  await assert.rejects(startEmulator({ dataDirectory: file }), { code: 'EEXIST', path: file });
});

test('links that another user has put into the data directory are not followed', async (t) => {
  const dataDirectory = await directory(t);
  const elsewhere = join(await directory(t), 'file');
  await symlink(elsewhere, join(dataDirectory, 'lock'));
  await assert.rejects(startEmulator({ dataDirectory }), { code: 'ELOOP' });
  await rm(join(dataDirectory, 'lock'));
  await symlink(elsewhere, join(dataDirectory, 'token-key.new'));
  const before = await run(t, { dataDirectory });
  const id = await start(before.ebs);
  await before.emulator.close();
  await writeFile(elsewhere, 'theirs');
  for (const name of ['image', 'digests', 'written']) {
    await rm(join(dataDirectory, id, name), { force: true });
    await symlink(elsewhere, join(dataDirectory, id, name));
  }
  await symlink(elsewhere, join(dataDirectory, id, 'metadata.json.new'));
  const after = await run(t, { dataDirectory });
  await assert.rejects(put(after.ebs, id, 0, randomBlock()), refusal('InternalServerException'));
  after.emulator.deleteSnapshot(id);
  assert.equal(await readFile(elsewhere, 'utf8'), 'theirs');
});
