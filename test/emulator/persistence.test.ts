import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CreateTagsCommand } from '@aws-sdk/client-ec2';
import { startEmulator } from '../../src/emulator/index.ts';
import { run as execute, needsLoop, Scratch } from '../support/loop.ts';
import {
  complete,
  download,
  get,
  linearChecksum,
  list,
  put,
  randomBlock,
  run,
  SMALL,
  settled,
  start,
  testClock,
  upload,
} from './client.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'emulator-test-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('snapshots, tags and tokens survive a restart', async (t) => {
  const dataDirectory = await directory(t);
  const before = await run(t, { dataDirectory });
  const blocks = new Map([
    [0, randomBlock()],
    [40_000, randomBlock()],
  ]);
  const parent = await upload(before.emulator, before.ebs, blocks, { Description: 'd' });
  const own = new Map([[0, randomBlock()]]);
  const child = await upload(before.emulator, before.ebs, own, { ParentSnapshotId: parent });
  const thin = await before.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, parent, gone: [0] });
  await before.ec2.send(new CreateTagsCommand({ Resources: [child], Tags: [{ Key: 'a', Value: 'b' }] }));
  const tokens = await list(before.ebs, parent);
  const views = [parent, child].map((id) => before.emulator.snapshot(id));
  await before.emulator.close();

  const after = await run(t, { dataDirectory });
  assert.deepEqual(
    [parent, child].map((id) => after.emulator.snapshot(id)),
    views,
  );
  assert.deepEqual(after.emulator.snapshot(child)?.tags, { a: 'b' });
  assert.deepEqual(await download(after.ebs, parent), blocks);
  assert.deepEqual(await download(after.ebs, child), new Map([...blocks, ...own]));
  assert.deepEqual([...(await list(after.ebs, thin)).keys()], [40_000]);
  assert.deepEqual(await get(after.ebs, parent, 0, tokens.get(0)!), blocks.get(0));
});

test('a completion whose check was interrupted is checked after a restart', async (t) => {
  const dataDirectory = await directory(t);
  const clock = testClock(Date.now());
  const options = { dataDirectory, now: clock.now, completionDelayMs: 60_000 };
  const before = await run(t, options);
  const right = await start(before.ebs);
  await complete(before.ebs, right, 0);
  const wrong = await start(before.ebs);
  await complete(before.ebs, wrong, 0, linearChecksum(new Map([[0, randomBlock()]])));
  await before.emulator.close();
  const after = await run(t, options);
  assert.equal(after.emulator.snapshot(right)?.status, 'pending');
  clock.move(60_000);
  assert.equal(await settled(after.emulator, right), 'completed');
  assert.equal(await settled(after.emulator, wrong), 'error');
});

test('zeros put over unacknowledged data read as zeros', async (t) => {
  const dataDirectory = await directory(t);
  const { emulator, ebs } = await run(t, { dataDirectory });
  const id = await start(ebs);
  const image = await open(join(dataDirectory, id, 'image'), 'r+');
  await image.write(randomBlock(), 0, SMALL, 3 * SMALL);
  await image.close();
  await put(ebs, id, 3, Buffer.alloc(SMALL));
  await complete(ebs, id, 1);
  await settled(emulator, id);
  assert.deepEqual(await download(ebs, id), new Map([[3, Buffer.alloc(SMALL)]]));
});

test('the timeout counts from the last put, across a restart', async (t) => {
  const dataDirectory = await directory(t);
  const clock = testClock(Date.now());
  const before = await run(t, { dataDirectory, now: clock.now });
  const id = await start(before.ebs, { Timeout: 10 });
  await before.emulator.close();
  clock.move(9 * 60_000);
  const after = await run(t, { dataDirectory, now: clock.now });
  assert.equal(after.emulator.snapshot(id)?.status, 'pending');
  clock.move(60_000 + 1000);
  assert.equal(after.emulator.snapshot(id)?.status, 'error');
});

test('a large volume with few blocks takes little space', async (t) => {
  const dataDirectory = await directory(t);
  const { emulator } = await run(t, { dataDirectory });
  const id = await emulator.putSnapshot({
    volumeSizeGiB: 8192,
    blocks: { 0: randomBlock(), [2 ** 31 - 1]: randomBlock() },
  });
  let used = 0;
  for (const name of ['image', 'digests', 'written', 'metadata.json'])
    used += (await stat(join(dataDirectory, id, name))).blocks * 512;
  assert.ok(used < 2 ** 20, `${used} bytes`);
  assert.equal((await stat(await emulator.readImage(id))).size, 2 ** 43);
});

test('on a full disk a deletion that was reported survives a restart', needsLoop, async (t) => {
  const dataDirectory = join(await (await Scratch.for(t)).tmpfs(2 ** 20), 'data');
  const { emulator, ebs } = await run(t, { dataDirectory });
  const blocks = new Map([[0, randomBlock()]]);
  const parent = await upload(emulator, ebs, blocks);
  const child = await upload(emulator, ebs, new Map(), { ParentSnapshotId: parent });
  const alone = await upload(emulator, ebs, new Map());
  const { bavail, bsize } = await statfs(dataDirectory);
  await execute('fallocate', '--length', String(bavail * bsize), join(dataDirectory, 'ballast'));
  assert.throws(() => emulator.deleteSnapshot(parent), { code: 'ENOSPC', path: /metadata\.json$/ });
  emulator.deleteSnapshot(alone);
  await emulator.close();
  await rm(join(dataDirectory, 'ballast'));
  const after = await run(t, { dataDirectory });
  assert.deepEqual(await download(after.ebs, parent), blocks);
  assert.deepEqual(await download(after.ebs, child), blocks);
  assert.equal(after.emulator.snapshot(alone), undefined);
  await after.emulator.close();
});

test('the files of a deleted snapshot are removed once no child needs them', async (t) => {
  const dataDirectory = await directory(t);
  const { emulator, ebs } = await run(t, { dataDirectory });
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: randomBlock() } });
  const child = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, parent });
  emulator.deleteSnapshot(parent);
  assert.equal(emulator.snapshot(parent), undefined);
  assert.ok(await stat(join(dataDirectory, parent)));
  assert.equal((await list(ebs, child)).size, 1);
  emulator.deleteSnapshot(child);
  for (const id of [parent, child]) await assert.rejects(stat(join(dataDirectory, id)), { code: 'ENOENT' });
});

test('putSnapshot reads the nonzero blocks of an image file, and readImage returns the same image', async (t) => {
  const path = join(await directory(t), 'disk.img');
  const image = Buffer.concat([randomBlock(), Buffer.alloc(SMALL), randomBlock(), Buffer.of(1)]);
  await writeFile(path, image);
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: path });
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, [0, 2, 3]);
  const padded = Buffer.alloc(5 * SMALL);
  image.copy(padded);
  const file = await open(await emulator.readImage(id));
  const { buffer } = await file.read(Buffer.alloc(padded.length), 0, padded.length, 0);
  await file.close();
  assert.deepEqual(buffer, padded);
  assert.deepEqual((await download(ebs, id)).get(3), padded.subarray(3 * SMALL, 4 * SMALL));
});

test('putSnapshot rejects invalid options', async (t) => {
  const { emulator } = await run(t);
  const id = await emulator.putSnapshot({ id: 'snap-1', volumeSizeGiB: 1, blocks: {} });
  const put = (options: object) => emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, ...options });
  await assert.rejects(put({ id }), /already/);
  await assert.rejects(put({ id: 'disk' }), /snap-/);
  await assert.rejects(put({ volumeSizeGiB: 0 }), /volumeSizeGiB/);
  await assert.rejects(put({ parent: 'snap-2' }), /snapshot snap-2 does not exist/);
  await assert.rejects(put({ blocks: { 0: Buffer.alloc(1) } }), /block 0 has 1 bytes/);
  await assert.rejects(put({ blocks: { [2 ** 18]: randomBlock() } }), /outside the volume/);
  await assert.rejects(put({ blocks: '/does/not/exist' }), { code: 'ENOENT' });
  await assert.rejects(put({ id: 'snap-2', blocks: { 0: randomBlock(), 1: Buffer.alloc(1) } }), /block 1/);
  assert.equal(emulator.snapshot('snap-2'), undefined);
  await assert.rejects(emulator.readImage('snap-2'), /does not exist/);
});

test('close removes the temporary directory', async () => {
  const temporary = await startEmulator();
  const path = await temporary.readImage(await temporary.putSnapshot({ volumeSizeGiB: 1, blocks: {} }));
  await temporary.close();
  await temporary.close();
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('a data directory with damaged or foreign files is rejected, naming the file', async (t) => {
  const dataDirectory = await directory(t);
  await mkdir(join(dataDirectory, 'snap-1'));
  const metadata = join(dataDirectory, 'snap-1', 'metadata.json');
  await writeFile(metadata, '{');
  await assert.rejects(startEmulator({ dataDirectory }), new RegExp(`${metadata} is damaged`));
  await writeFile(metadata, '{"version": 2}');
  await assert.rejects(
    startEmulator({ dataDirectory }),
    new RegExp(`${metadata} was not written by this emulator`),
  );
});
