/** A disk that may be written while it is uploaded is refused, because its snapshot would mix several states. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { Descriptor } from '../../src/image/descriptor.ts';
import { describeWriters } from '../../src/image/device/users.ts';
import { openStoredSource, type StoredSourceOptions } from '../../src/image/stored-source.ts';
import { uploadSnapshot } from '../../src/index.ts';
import { compiledCommand } from '../faults/command.ts';
import { assertFails, MiB } from '../image/blocks.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { recorder, startService } from '../support/service.ts';

/** Options of a test that needs btrfs. */
const needsBtrfs =
  needsLoop.skip !== undefined || (await hasBtrfs()) ? needsLoop : { skip: 'there is no btrfs' };

async function hasBtrfs(): Promise<boolean> {
  const tools = await run('mkfs.btrfs', '--version').catch(() => undefined);
  await run('modprobe', 'btrfs').catch(() => {});
  return tools !== undefined && /\tbtrfs$/m.test(await readFile('/proc/filesystems', 'utf8'));
}

async function setUp(t: TestContext) {
  const place = await Scratch.for(t);
  const { device } = await place.loop({ bytes: 16 * MiB });
  return { place, device, ...(await startService(t)) };
}

/** Has a program open the device, for as long as the test lasts. */
async function openedBy(t: TestContext, redirection: string): Promise<void> {
  const child = spawn('sh', ['-c', `exec 3${redirection}; echo open; exec sleep 600`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  await once(child.stdout, 'data');
}

test('refuses a disk that is mounted read-write, before any request', needsLoop, async (t) => {
  const { place, device, emulator, service } = await setUp(t);
  await run('mkfs.ext4', '-q', device);
  const point = await place.mount(device);
  const error = await assertFails(
    uploadSnapshot({ source: device, ...service }),
    'SOURCE_IN_USE',
    new RegExp(`${device} may be written during the upload: mounted at ${point}`),
  );
  assert.equal(error.class, 'refused');
  assert.deepEqual(emulator.log, []);
});

test('refuses a mounted disk also where there is no /proc, as in a chroot', needsLoop, async (t) => {
  const { place, device, emulator, service } = await setUp(t);
  await run('mkfs.ext4', '-q', device);
  await place.mount(device);
  const line = [process.execPath, await compiledCommand(), '--endpoint', service.endpoint, 'upload', device];
  const script = 'umount --lazy /proc && exec "$@"';
  const ended = run('unshare', '--mount', 'sh', '-c', script, 'sh', ...line);
  await assert.rejects(ended, { code: 3, stderr: /\S+ may be written during the upload: / });
  assert.deepEqual(emulator.log, []);
});

test('refuses a disk of which a partition is mounted read-write', needsLoop, async (t) => {
  const { place, device, service } = await setUp(t);
  const partition = await place.partition(device, 2048, 20_480);
  await run('mkfs.ext4', '-q', partition);
  await place.mount(partition);
  await assertFails(
    uploadSnapshot({ source: device, ...service }),
    'SOURCE_IN_USE',
    /its partition .* mounted/,
  );
});

test('refuses a disk that a mounted btrfs has as its second device', needsBtrfs, async (t) => {
  const place = await Scratch.for(t);
  const [one, other] = [await place.loop({ bytes: 128 * MiB }), await place.loop({ bytes: 128 * MiB })];
  await run('mkfs.btrfs', '-q', one.device, other.device);
  await run('btrfs', 'device', 'scan', one.device, other.device);
  const point = await place.mount(one.device);
  const { service } = await startService(t);
  for (const source of [one.device, other.device])
    await assertFails(
      uploadSnapshot({ source, ...service }),
      'SOURCE_IN_USE',
      new RegExp(`${source} may be written during the upload: mounted at ${point} \\(btrfs\\)`),
    );
});

test('refuses a disk that holds the journal of a mounted file system', needsLoop, async (t) => {
  const { place, device, service } = await setUp(t);
  const journal = await place.loop({ bytes: 16 * MiB });
  await run('mke2fs', '-q', '-b', '4096', '-O', 'journal_dev', journal.device);
  await run('mkfs.ext4', '-q', '-b', '4096', '-J', `device=${journal.device}`, device);
  await place.mount(device);
  await assertFails(
    uploadSnapshot({ source: journal.device, ...service }),
    'SOURCE_IN_USE',
    /another program or the kernel holds it exclusively/,
  );
});

test('two uploads of one disk at a time are not refused for each other', needsLoop, async (t) => {
  const { device } = await setUp(t);
  const { rdev } = await stat(device, { bigint: true });
  const descriptor = await Descriptor.open(device, constants.O_RDONLY);
  t.after(() => descriptor.close());
  const asked = Array.from({ length: 4 }, () => describeWriters(descriptor, rdev));
  assert.deepEqual((await Promise.all(asked)).flat(), []);
});

test('refuses a disk that a program has open for writing', needsLoop, async (t) => {
  const { device, emulator, service } = await setUp(t);
  await openedBy(t, `<>${device}`);
  await assertFails(uploadSnapshot({ source: device, ...service }), 'SOURCE_IN_USE', /sleep.*process \d+/);
  assert.deepEqual(emulator.log, []);
});

test('uploads a disk that is mounted read-only or open for reading', needsLoop, async (t) => {
  const { place, device, emulator, service } = await setUp(t);
  await run('mkfs.ext4', '-q', device);
  await place.mount(device, ['-o', 'ro']);
  await openedBy(t, `<${device}`);
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ source: device, onEvent, ...service });
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  assert.ok(!events.some((event) => event.type === 'warning'));
});

test('uploads a disk in use with force, and warns', needsLoop, async (t) => {
  const { device, emulator, service } = await setUp(t);
  await openedBy(t, `<>${device}`);
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ source: device, force: true, onEvent, ...service });
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event] : []));
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['SOURCE_IN_USE'],
  );
  assert.match(warnings[0]!.message, /sleep.*several states/);
});

test('does not look again for who uses a disk that was examined before', needsLoop, async (t) => {
  const { device } = await setUp(t);
  await openedBy(t, `<>${device}`);
  const warningsOf = async (options: StoredSourceOptions) => {
    const image = await openStoredSource(device, { format: 'raw', ...options });
    await image.close();
    return image.warnings.map(([code]) => code);
  };
  assert.deepEqual(await warningsOf({ force: true }), ['SOURCE_IN_USE']);
  assert.deepEqual(await warningsOf({ examined: true }), []);
});

test('says at the end that a disk was written, where force allowed that', needsLoop, async (t) => {
  const { device, emulator, service } = await setUp(t);
  await openedBy(t, `<>${device}`);
  const { events, onEvent } = recorder();
  const running = uploadSnapshot({ source: device, force: true, workers: 1, onEvent, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  await writeFile(device, 'x', { flag: 'r+', flush: true });
  const { snapshotId } = await running;
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  const codes = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  assert.deepEqual(codes, ['SOURCE_IN_USE', 'SOURCE_WRITTEN']);
});

test('fails when a disk that nobody used is written during the upload', needsLoop, async (t) => {
  const { device, emulator, service } = await setUp(t);
  const running = uploadSnapshot({ source: device, workers: 1, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  await writeFile(device, 'x', { flag: 'r+', flush: true });
  await assertFails(running, 'SOURCE_CHANGED', /it was written to/);
  assert.equal(emulator.requests('CompleteSnapshot').length, 0);
  assert.equal(emulator.requests('DeleteSnapshot').length, 1);
});

test('fails when a partition is written through its disk during the upload', needsLoop, async (t) => {
  const { place, device, emulator, service } = await setUp(t);
  const partition = await place.partition(device, 2048, 20_480);
  const running = uploadSnapshot({ source: partition, workers: 1, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  const disk = await open(device, 'r+');
  await disk.write(Buffer.alloc(4_096, 'x'), 0, 4_096, 4 * MiB);
  await disk.sync();
  await disk.close();
  await assertFails(running, 'SOURCE_CHANGED', /it was written to/);
});

test('a write to another partition of the disk does not fail an upload', needsLoop, async (t) => {
  const { place, device, emulator, service } = await setUp(t);
  const partition = await place.partition(device, 2048, 10_240);
  const other = await place.partition(device, 12_288, 10_240, 2);
  const running = uploadSnapshot({ source: partition, workers: 1, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  await writeFile(other, 'x', { flag: 'r+', flush: true });
  const { snapshotId } = await running;
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
});
