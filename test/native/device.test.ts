import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import {
  deviceInfo,
  loopFile,
  openExclusive,
  rereadPartitionTable,
  writeBlocks,
  zeroRange,
} from '../../src/native/index.ts';
import {
  digestOf,
  inodeOf,
  noise,
  noLoopDevices,
  withDevice,
  withDirectory,
  withFile,
  withLoop,
} from './support.ts';

const K = 1024;
const M = 1024 * K;
const skip = noLoopDevices;

function isOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // closed meanwhile
    }
  });
}

test('the info of a device is what losetup was given', { skip }, async () => {
  await withLoop(8 * M + 512, async (device) => {
    await withDevice(device, async (fd) => {
      assert.deepEqual(await deviceInfo(fd), {
        sizeBytes: 8 * M + 512,
        logicalBlockSize: 512,
        readOnly: false,
      });
    });
  });
  await withLoop(
    8 * M,
    async (device) => {
      await withDevice(
        device,
        async (fd) => {
          const { logicalBlockSize, readOnly } = await deviceInfo(fd);
          assert.deepEqual([logicalBlockSize, readOnly], [4096, true]);
        },
        { write: false },
      );
    },
    ['-b', '4096', '-r'],
  );
});

test('a file that is not a block device has no info and no partition table', async () => {
  await withFile(noise(512), async (fd) => {
    await assert.rejects(deviceInfo(fd), {
      code: 'ENOTTY',
      syscall: 'ioctl',
      message: 'ENOTTY: inappropriate ioctl for device, ioctl(BLKGETSIZE64)',
    });
    assert.equal(await rereadPartitionTable(fd), false);
  });
  await assert.rejects(deviceInfo(2 ** 31 - 1), { code: 'EBADF' });
  await assert.rejects(rereadPartitionTable(2 ** 31 - 1), { code: 'EBADF', syscall: 'ioctl' });
});

test('a loop device tells the file or device behind it; others have none', { skip }, async () => {
  await withFile(noise(512), async (fd) => {
    assert.equal(await loopFile(fd), null);
  });
  await withLoop(M, async (device) => {
    const inner = statSync(device, { bigint: true });
    await withDevice(device, async (fd) => {
      const file = await loopFile(fd);
      const backing = readFileSync(`/sys/block/${device.slice(5)}/loop/backing_file`, 'utf8').trim();
      const { dev, ino } = statSync(backing, { bigint: true });
      assert.deepEqual(file, { dev, ino, rdev: 0n });
    });
    const outer = execFileSync('losetup', ['-f', '--show', device], { encoding: 'utf8' }).trim();
    try {
      await withDevice(outer, async (fd) => assert.equal((await loopFile(fd))?.rdev, inner.rdev));
    } finally {
      execFileSync('losetup', ['-d', outer]);
    }
  });
  await assert.rejects(loopFile(2 ** 31 - 1), { code: 'EBADF', syscall: 'ioctl' });
});

test('a writer excludes other writers, but not readers', { skip }, async () => {
  await withLoop(M, async (device) => {
    await withDevice(device, async () => {
      const again = openExclusive(device, inodeOf(device));
      await assert.rejects(again, { code: 'EBUSY', syscall: 'open', path: device });
      await withDevice(device, async (fd) => assert.equal((await deviceInfo(fd)).sizeBytes, M), {
        write: false,
      });
    });
    await withDevice(device, async () => {}, {});
  });
});

test('a mounted device is EBUSY', { skip }, async () => {
  await withLoop(8 * M, async (device) => {
    execFileSync('mkfs.ext4', ['-q', device]);
    await withDirectory(async (directory) => {
      execFileSync('mount', [device, directory]);
      try {
        const open = openExclusive(device, inodeOf(device));
        await assert.rejects(open, { code: 'EBUSY' });
      } finally {
        execFileSync('umount', [directory]);
      }
    });
  });
});

test('a descriptor is for reading and writing, and closed on exec', { skip }, async () => {
  await withLoop(M, async (device) => {
    await withDevice(device, async (fd) => {
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      const flags = Number.parseInt(/flags:\s*([0-7]+)/.exec(info)![1]!, 8);
      assert.equal((flags & 0o2000000) !== 0, true, 'O_CLOEXEC');
      assert.equal(flags & 3, constants.O_RDWR);
    });
  });
});

test('an unexpected inode is refused, and nothing stays open', { skip }, async () => {
  await withLoop(M, async (device) => {
    const inode = inodeOf(device);
    for (const expect of [
      { ...inode, dev: inode.dev + 1n },
      { ...inode, ino: inode.ino + 1n },
      { ...inode, rdev: inode.rdev + 1n },
    ]) {
      await assert.rejects(openExclusive(device, expect), {
        code: 'EINODECHANGED',
        syscall: 'open',
        path: device,
        message: `EINODECHANGED: it is no longer the block device that was examined, open '${device}'`,
      });
      assert.equal(isOpen(device), false);
    }
  });
});

test('a file instead of a device is refused even if its inode is the expected one, and unchanged', async () => {
  await withFile(noise(4096), async (_, path) => {
    const open = openExclusive(path, inodeOf(path));
    await assert.rejects(open, { code: 'EINODECHANGED' });
    assert.deepEqual(new Uint8Array(readFileSync(path)), noise(4096));
  });
});

test('a device is opened through a symlink such as those in /dev/disk', { skip }, async () => {
  await withLoop(M, async (device) => {
    await withDirectory(async (directory) => {
      symlinkSync(device, `${directory}/link`);
      await withDevice(`${directory}/link`, async (fd) => assert.equal((await deviceInfo(fd)).sizeBytes, M));
    });
  });
});

test('a missing device and a directory are refused with the error of open()', {
  skip,
}, async () => {
  const expect = { dev: 0n, ino: 0n, rdev: 0n };
  const missing = openExclusive('/dev/no-such-disk', expect);
  await assert.rejects(missing, {
    code: 'ENOENT',
    errno: -2,
    syscall: 'open',
    path: '/dev/no-such-disk',
    message: "ENOENT: no such file or directory, open '/dev/no-such-disk'",
  });
  await assert.rejects(openExclusive('/dev', expect), { code: 'EISDIR' });
});

test('the info of a read-only device says so, and it cannot be opened for writing or written', {
  skip,
}, async () => {
  await withLoop(
    M,
    async (device) => {
      const data = noise(4096);
      try {
        await withDevice(device, async (fd) => {
          assert.equal((await deviceInfo(fd)).readOnly, true);
          const write = writeBlocks(fd, [{ data, offset: 0, digest: digestOf(data) }], {
            zero: 'skip',
            zeroMethod: 'write',
          });
          await assert.rejects(write, { code: 'EPERM', syscall: 'pwrite' });
          await assert.rejects(zeroRange(fd, 0, 4096, 'blkzeroout'), { code: 'EPERM', syscall: 'pwrite' });
        });
      } catch (error) {
        // Which kernels let a read-only device be opened for writing differs.
        if (!['EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    },
    ['-r'],
  );
});

test('rereading the partition table drops a partition that is not in it, unless it is in use', {
  skip,
}, async () => {
  await withLoop(
    16 * M,
    async (device) => {
      // Adds a partition that the (blank) device does not have; rereading must remove it.
      execFileSync('addpart', [device, '1', '2048', '16384']);
      const name = `${device.slice('/dev/'.length)}p1`;
      const known = () => readFileSync('/proc/partitions', 'utf8').includes(name);
      assert.equal(known(), true);
      const [major, minor] = readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim().split(':');
      await withDirectory(async (directory) => {
        const node = `${directory}/p1`;
        execFileSync('mknod', [node, 'b', major!, minor!]);
        await withDevice(node, async () => {
          await withDevice(device, async (whole) => assert.equal(await rereadPartitionTable(whole), false), {
            write: false,
          });
          assert.equal(known(), true);
        });
      });
      await withDevice(device, async (fd) => assert.equal(await rereadPartitionTable(fd), true));
      assert.equal(known(), false);
    },
    ['-P'],
  );
});
