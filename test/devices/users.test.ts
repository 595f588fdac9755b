/** Users of a target that the kernel's exclusive claim does not exclude. Each refuses it, even with force. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { describeFileUsers, describeUsers } from '../../src/image/device/users.ts';
import { openTarget } from '../../src/image/open-target.ts';
import { assertFails, MiB, sha256Of } from '../image/blocks.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';

/** A program that has a file open until the test ends, opened or locked by `script` (Python, `path` is the file). */
async function program(scratch: Scratch, path: string, script: string): Promise<number> {
  const prelude = 'import sys, os, fcntl\npath = sys.argv[1]\n';
  const wait = '\nprint("open", flush=True)\nsys.stdin.read()\n';
  const child = spawn('python3', ['-c', prelude + script + wait, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  scratch.onEnd(
    () =>
      new Promise((resolve) => {
        child.once('exit', resolve);
        child.stdin.end();
      }),
  );
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child.pid!;
}

async function mkext4(device: string): Promise<void> {
  await run('mkfs.ext4', '-q', '-F', device);
}

async function refusesDevice(device: string, backing: string, message: RegExp): Promise<void> {
  const before = sha256Of(await readFile(backing));
  const error = await assertFails(openTarget(device), 'DEVICE_IN_USE', message);
  assert.equal(error.class, 'refused');
  assert.deepEqual(sha256Of(await readFile(backing)), before);
}

async function refusesFile(path: string, message: RegExp): Promise<void> {
  const target = await openTarget(path);
  const error = await assertFails(
    target.checkOverwrite({ force: true, resuming: false }),
    'TARGET_IN_USE',
    message,
  );
  assert.equal(error.class, 'refused');
  await target.abandon({ keepForResume: false });
}

test('a device below a mounted loop device is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 16 * MiB });
  const above = await scratch.attach(device, ['--offset', String(4 * MiB)]);
  await mkext4(above);
  const point = await scratch.mount(above);
  await refusesDevice(
    device,
    backing,
    new RegExp(`which shares its storage, is mounted at ${point} \\(ext4\\)`),
  );
});

test(
  'a device that a loop device is attached to is refused though nobody uses that',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 4 * MiB });
    const above = await scratch.attach(device);
    await refusesDevice(device, backing, new RegExp(`attached to ${above}`));
  },
);

test(
  'the second of two loop devices of one file is refused, unless they share no byte',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 8 * MiB });
    const second = await scratch.attach(backing, ['--offset', String(4 * MiB)]);
    await refusesDevice(second, backing, new RegExp(`attached to ${device}`));
    await refusesDevice(device, backing, new RegExp(`attached to ${second}`));
    await scratch.detach(device);
    const first = await scratch.attach(backing, ['--sizelimit', String(4 * MiB)]);
    await (await openTarget(first)).abandon({ keepForResume: false });
  },
);

test('a loop device over a disk whose partition is mounted there is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 16 * MiB });
  const partition = await scratch.partition(device, 8192, 16384);
  await mkext4(partition);
  const point = await scratch.mount(partition);
  const overlapping = await scratch.attach(device, ['--sizelimit', String(8 * MiB)]);
  await refusesDevice(
    overlapping,
    backing,
    new RegExp(`p1, which shares its storage, is mounted at ${point}`),
  );
  const before = await scratch.attach(device, ['--sizelimit', String(4 * MiB)]);
  const { rdev } = await stat(before, { bigint: true });
  const users = (await describeUsers(rdev)).filter((use) => use.includes('mounted'));
  assert.deepEqual(users, []);
});

test(
  'a device that another program has open for writing is refused; one that is only read is not',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 4 * MiB });
    await program(scratch, device, 'fd = os.open(path, os.O_RDONLY)');
    await (await openTarget(device)).abandon({ keepForResume: false });
    // By another name, as in a container.
    const node = scratch.path('node');
    const [major, minor] = (await readFile(`/sys/block/${device.slice(5)}/dev`, 'utf8')).trim().split(':');
    await run('mknod', node, 'b', major!, minor!);
    const pid = await program(scratch, node, 'fd = os.open(path, os.O_RDWR)');
    await refusesDevice(device, backing, new RegExp(`open for writing in python3\\S* \\(process ${pid}\\)`));
  },
);

test(
  'a disk is refused while a program writes to its partition, and a partition while one writes to the disk',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 16 * MiB });
    const partition = await scratch.partition(device, 2048, 16384);
    await program(scratch, partition, 'fd = os.open(path, os.O_RDWR)');
    await refusesDevice(device, backing, /its partition \S+ is open for writing in/);
    await program(scratch, device, 'fd = os.open(path, os.O_RDWR)');
    await refusesDevice(partition, backing, /its disk \S+ is open for writing in/);
  },
);

test('a loop device whose file another program writes is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB });
  await program(scratch, backing, 'fd = os.open(path, os.O_WRONLY)');
  await refusesDevice(device, backing, /the file behind it is open for writing in/);
});

test('the file behind a loop device, mounted or not, is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 16 * MiB });
  await refusesFile(backing, new RegExp(`attached to ${device}`));
  await mkext4(device);
  const point = await scratch.mount(device);
  await run('ln', backing, scratch.path('link.img'));
  await refusesFile(scratch.path('link.img'), new RegExp(`mounted at ${point}`));
});

test('a swap file is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const point = await scratch.mount((await mkext4On(scratch, 32 * MiB)).device);
  const path = `${point}/swap`;
  await writeFile(path, Buffer.alloc(8 * MiB), { mode: 0o600 });
  await run('mkswap', path);
  await run('swapon', path);
  scratch.onEnd(() => run('swapoff', path));
  await refusesFile(path, /used as swap/);
});

async function mkext4On(scratch: Scratch, bytes: number) {
  const loop = await scratch.loop({ bytes });
  await mkext4(loop.device);
  return loop;
}

test('a file that another program writes or has locked is refused, however it is locked', async (t) => {
  const scratch = await Scratch.for(t);
  const cases = [
    ['fd = os.open(path, os.O_WRONLY)', /open for writing in python3\S* \(process \d+\)/],
    ['fd = os.open(path, os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_SH)', /locked by process \d+/],
    ['fd = os.open(path, os.O_RDONLY); fcntl.lockf(fd, fcntl.LOCK_SH, 1, 100)', /locked by process \d+/],
    [
      'import struct; fd = os.open(path, os.O_RDONLY); fcntl.fcntl(fd, 37, struct.pack("hhqqi", 0, 0, 100, 1, 0))',
      /locked by a program/,
    ],
  ] as const;
  for (const [i, [script, message]] of cases.entries()) {
    const path = scratch.path(`${i}.img`);
    await writeFile(path, 'theirs');
    await program(scratch, path, script);
    await refusesFile(path, message);
    assert.equal(await readFile(path, 'utf8'), 'theirs');
  }
});

test(
  'a file or device that a program has mapped to write is refused, though it has closed it',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: MiB });
    const path = scratch.path('disk.img');
    await writeFile(path, 'theirs');
    // Python keeps a descriptor of its own for a mapping.
    const map = (protection: string) =>
      `import ctypes; fd = os.open(path, os.O_RDWR); libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mmap(None, 4096, ${protection}, 1, fd, 0); os.close(fd)`;
    const users = async () => describeFileUsers(path, await stat(path, { bigint: true }));
    await program(scratch, path, map('1'));
    assert.deepEqual(await users(), []);
    const pid = await program(scratch, path, map('3'));
    await refusesFile(path, new RegExp(`open for writing in python3\\S* \\(process ${pid}\\)`));
    await program(scratch, device, map('3'));
    await refusesDevice(device, backing, /open for writing in python3/);
  },
);

test('a loop device whose file was deleted is known by the other name of the file', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 16 * MiB });
  // The cleanup knows a device by the name of its file.
  scratch.onEnd(() => run('losetup', '--detach', device));
  const other = scratch.path('other.img');
  await run('ln', backing, other);
  await run('rm', backing);
  await refusesFile(other, new RegExp(`attached to ${device}`));
  const second = await scratch.attach(other);
  await refusesDevice(second, other, new RegExp(`attached to ${device}`));
  await scratch.detach(second);
});

test(
  'a loop device is known by its file, though another file system hides the name',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const directory = scratch.path('hidden');
    await run('mkdir', directory);
    const { device, backing } = await scratch.loop({ bytes: MiB, directory });
    const other = scratch.path('other.img');
    await run('ln', backing, other);
    await run('mount', '-t', 'tmpfs', 'tmpfs', directory);
    scratch.onEnd(() => run('umount', directory));
    await writeFile(backing, 'another file');
    await refusesFile(other, new RegExp(`attached to ${device}`));
    assert.deepEqual(await describeFileUsers(backing, await stat(backing, { bigint: true })), []);
  },
);

test('a file that is only read is not in use', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'theirs');
  await program(scratch, path, 'fd = os.open(path, os.O_RDONLY)');
  assert.deepEqual(await describeFileUsers(path, await stat(path, { bigint: true })), []);
});

test(
  'asked for writers, says who has a device mounted read-write or open for writing',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await mkext4On(scratch, 16 * MiB);
    const { rdev } = await stat(device, { bigint: true });
    const writers = () => describeUsers(rdev, { writers: true });
    const readOnly = await scratch.mount(device, ['-o', 'ro']);
    assert.deepEqual(await writers(), []);
    await run('mount', '-o', 'remount,rw', readOnly);
    assert.deepEqual(await writers(), [`mounted at ${readOnly} (ext4)`]);
    // A mount that is read-only itself may be of a file system that is written elsewhere.
    await run('mount', '-o', 'remount,bind,ro', readOnly);
    assert.deepEqual(await writers(), [`mounted at ${readOnly} (ext4)`]);
    const file = await stat(backing, { bigint: true });
    const name = device.slice('/dev/'.length);
    assert.deepEqual(await describeFileUsers(backing, file, { writers: true }), [
      `${name}, which shares its storage, is mounted at ${readOnly} (ext4)`,
    ]);
  },
);
