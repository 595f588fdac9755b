/** A written source is detected by its change time or by the kernel's count of writes. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, open, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { deviceNumber } from '../../src/image/device/identity.ts';
import { deviceStamp, wasWritten } from '../../src/image/device-stamp.ts';
import { openSource } from '../../src/image/open-source.ts';
import type { ImageSource } from '../../src/image/source.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { assertFails, MiB } from './blocks.ts';

const size = 2 * MiB;

/** Writes one byte and puts the times back, as `touch -r` does. */
async function writeAndHide(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const file = await open(path, 'r+');
  await file.write('x', 4096);
  await file.close();
  await utimes(path, atime, mtime);
}

/** A program that maps the file, and writes into it once for each line that it is sent. */
async function mapper(t: TestContext, path: string) {
  const script = `
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
    print('ready', flush=True)
    for line in sys.stdin:
        memory[0:1] = line[0:1].encode()
        print('written', flush=True)
`;
  const child = spawn('python3', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  await once(child.stdout, 'data');
  return async (byte: string) => {
    child.stdin.write(`${byte}\n`);
    await once(child.stdout, 'data');
  };
}

/** Asserts that the source finds a write to it, and closes it. */
async function assertWritten(source: ImageSource): Promise<void> {
  await assertFails(source.checkUnchanged(), 'SOURCE_CHANGED', /it was written to/);
  await source.close();
}

test('a file that is written is an error, although its times were put back', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(size, 1));
  const source = await openSource(path);
  await writeAndHide(path);
  await assertWritten(source);
});

test('a file is an error that is written within the tick of the clock in which it was made', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  for (let count = 0; count < 20; count++) {
    await writeFile(path, Buffer.alloc(8192, count));
    const source = await openSource(path);
    await writeAndHide(path);
    await assertWritten(source);
  }
});

test(
  'a file on a file system that keeps whole seconds is an error when it is written',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device } = await scratch.loop({ bytes: 8 * MiB });
    await run('mkfs.ext4', '-q', '-I', '128', device);
    const path = `${await scratch.mount(device)}/disk.img`;
    await writeFile(path, Buffer.alloc(size, 1));
    assert.equal((await stat(path, { bigint: true })).ctimeNs % 1_000_000_000n, 0n);
    const source = await openSource(path);
    await writeAndHide(path);
    await assertWritten(source);
  },
);

test('a file from the future, as after a clock was set back, has no stamp, and a write to it is an error', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(size, 1));
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() - 3_600_000);
  const source = await openSource(path);
  assert.equal(await source.stamp(), undefined);
  await source.checkUnchanged();
  await writeAndHide(path);
  await assertWritten(source);
});

test('a write into a mapped page that was dirty before the file was opened is an error', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(size, 1));
  const write = await mapper(t, path);
  await write('a');
  const source = await openSource(path);
  const before = await source.stamp();
  await write('b');
  assert.notEqual(await source.stamp(), before);
  await assertWritten(source);
});

test('the stamp of a file is the same until it is written, whatever its name', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(size, 1));
  const source = await openSource(path);
  const stamp = await source.stamp();
  assert.ok(stamp);
  assert.equal(await source.stamp(), stamp);
  await source.close();
  const again = await openSource(path);
  assert.equal(await again.stamp(), stamp);
  assert.deepEqual(again.journal, source.journal);
  await writeAndHide(path);
  assert.notEqual(await again.stamp(), stamp);
  await again.close();
  await rename(path, scratch.path('other.img'));
  const renamed = await openSource(scratch.path('other.img'));
  assert.equal(renamed.journal?.identity, source.journal?.identity);
  await renamed.close();
});

test('another file with the same bytes and times has another identity and stamp', async (t) => {
  const scratch = await Scratch.for(t);
  const [one, two] = [scratch.path('one'), scratch.path('two')];
  for (const path of [one, two]) {
    await writeFile(path, Buffer.alloc(size, 1));
    await utimes(path, 1, 1);
  }
  const sources = [await openSource(one), await openSource(two)];
  assert.notEqual(sources[0]!.journal?.identity, sources[1]!.journal?.identity);
  assert.notEqual(await sources[0]!.stamp(), await sources[1]!.stamp());
  for (const source of sources) await source.close();
});

test('changed attributes give another stamp, because a writer could have put everything else back', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(size, 1));
  for (const change of [() => chmod(path, 0o600), () => link(path, scratch.path('link'))]) {
    const source = await openSource(path);
    const stamp = await source.stamp();
    await change();
    assert.notEqual(await source.stamp(), stamp);
    await source.close();
  }
});

test('a file has no stamp where mapped writes leave no trace, nor has a stream', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const path = `${await scratch.tmpfs(4 * MiB)}/disk.img`;
  await writeFile(path, Buffer.alloc(size, 1));
  const file = await openSource(path);
  assert.equal(await file.stamp(), undefined);
  await file.checkUnchanged();
  await writeAndHide(path);
  await assertWritten(file);
  const stream = await openSource(Readable.from([]), { streamSize: 1024 });
  assert.equal(await stream.stamp(), undefined);
  await stream.close();
});

test('a device that is written during the upload is an error', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: size });
  const source = await openSource(device);
  const stamp = await source.stamp();
  assert.ok(stamp);
  await source.checkUnchanged();
  assert.equal(await source.stamp(), stamp);
  await writeFile(device, 'x', { flag: 'r+' });
  assert.notEqual(await source.stamp(), stamp);
  await assertWritten(source);
});

test('a loop device whose file is written is an error', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: size });
  const source = await openSource(device);
  await writeFile(backing, 'x', { flag: 'r+' });
  await assertWritten(source);
});

for (const layers of ['a partition', 'a loop device over another', 'a partition over two loop devices'])
  test(
    `the file below ${layers} that is written is an error, and has another stamp`,
    needsLoop,
    async (t) => {
      const scratch = await Scratch.for(t);
      const { device, backing } = await scratch.loop({ bytes: 8 * MiB });
      const disk = layers === 'a partition' ? device : await scratch.attach(device);
      const path = layers.startsWith('a partition') ? await scratch.partition(disk, 2048, 4096) : disk;
      const source = await openSource(path);
      const stamp = await source.stamp();
      assert.ok(stamp);
      await source.checkUnchanged();
      assert.equal(await source.stamp(), stamp);
      await writeFile(backing, 'x', { flag: 'r+' });
      assert.notEqual(await source.stamp(), stamp);
      await assertWritten(source);
    },
  );

test(
  'a partition is unchanged when another partition of its loop device is written',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device } = await scratch.loop({ bytes: 8 * MiB });
    const partition = await scratch.partition(device, 2048, 4096);
    const other = await scratch.partition(device, 8192, 4096, 2);
    const source = await openSource(partition);
    const stamp = await source.stamp();
    const file = await open(other, 'r+');
    await file.write('x');
    await file.sync();
    await file.close();
    await source.checkUnchanged();
    assert.notEqual(await source.stamp(), stamp);
    await source.close();
  },
);

test('the stamp of a loop device also tells of writes to the device below it', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 8 * MiB });
  const source = await openSource(await scratch.attach(device));
  const stamp = await source.stamp();
  assert.ok(stamp);
  const disk = await open(device, 'r+');
  await disk.write('x');
  await disk.sync();
  await disk.close();
  assert.notEqual(await source.stamp(), stamp);
  await source.close();
});

test('a loop device has no stamp where its file may be written without a trace', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const directory = await scratch.tmpfs(16 * MiB);
  const mapped = await openSource((await scratch.loop({ bytes: size, directory })).device);
  assert.equal(await mapped.stamp(), undefined);
  assert.deepEqual(mapped.warnings, []);
  await mapped.close();
  const { device, backing } = await scratch.loop({ bytes: size });
  // The cleanup knows a device by the name of its file.
  scratch.onEnd(() => run('losetup', '--detach', device));
  await rename(backing, `${backing}.away`);
  await link(`${backing}.away`, backing);
  await unlink(`${backing}.away`);
  const deleted = await openSource(device);
  assert.equal(await deleted.stamp(), undefined);
  assert.deepEqual(
    deleted.warnings.map(([code]) => code),
    ['CHANGES_NOT_DETECTED'],
  );
  await deleted.close();
});

test('the stamp of a partition also tells of writes to the whole disk', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 8 * MiB });
  const partition = await scratch.partition(device, 2048, 4096);
  const source = await openSource(partition);
  const stamp = await source.stamp();
  assert.ok(stamp);
  const disk = await open(device, 'r+');
  await disk.write('x');
  await disk.sync();
  await disk.close();
  assert.notEqual(await source.stamp(), stamp);
  await source.close();
});

test('says that it cannot tell where the kernel does not count what is written', async (t) => {
  const scratch = await Scratch.for(t);
  const number = deviceNumber(0n);
  const directory = scratch.path(`sys/dev/block/${number}`);
  await run('mkdir', '-p', `${directory}/queue`, scratch.path('proc/sys/kernel/random'));
  await writeFile(scratch.path('proc/sys/kernel/random/boot_id'), 'boot\n');
  const files = { proc: scratch.path('proc'), sys: scratch.path('sys') };
  await writeFile(`${directory}/stat`, ' 0 0 0 0 0 0 0 0 0 0 0\n');
  assert.equal(await deviceStamp(0n, files), undefined);
  // A new disk that was only read, by a kernel that counts.
  await writeFile(`${directory}/stat`, ' 9 0 72 0 0 0 0 0 0 0 0\n');
  assert.ok(await deviceStamp(0n, files));
  await writeFile(`${directory}/queue/iostats`, '0\n');
  assert.equal(await deviceStamp(0n, files), undefined);
});

test('a kernel that does not number its disks proves nothing about one that was attached again', async (t) => {
  const scratch = await Scratch.for(t);
  const directory = scratch.path(`sys/dev/block/${deviceNumber(0n)}`);
  await run('mkdir', '-p', directory, scratch.path('proc/sys/kernel/random'));
  await writeFile(scratch.path('proc/sys/kernel/random/boot_id'), 'boot\n');
  await writeFile(`${directory}/stat`, ' 9 0 72 0 0 0 0 0 0 0 0\n');
  const files = { proc: scratch.path('proc'), sys: scratch.path('sys') };
  const before = await deviceStamp(0n, files);
  assert.equal(before?.stamp, undefined);
  // A write during a run is noticed.
  await writeFile(`${directory}/stat`, ' 9 0 72 0 1 0 8 0 0 0 0\n');
  assert.ok(wasWritten(before, await deviceStamp(0n, files)));
  await writeFile(`${directory}/diskseq`, '5\n');
  assert.match((await deviceStamp(0n, files))?.stamp ?? '', / 5 8/);
});

test('a device whose writes are not counted is uploaded with a warning', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: size });
  const iostats = `/sys/block/${device.slice('/dev/'.length)}/queue/iostats`;
  assert.equal((await readFile(iostats, 'utf8')).trim(), '1');
  const counted = await openSource(device);
  assert.deepEqual(counted.warnings, []);
  await counted.close();
  scratch.onEnd(() => writeFile(iostats, '1'));
  await writeFile(iostats, '0');
  const source = await openSource(device);
  assert.deepEqual(
    source.warnings.map(([code]) => code),
    ['CHANGES_NOT_DETECTED'],
  );
  assert.match(source.warnings[0]![1], /cannot be detected whether .* is written/);
  await source.close();
});
