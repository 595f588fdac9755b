/** Block devices that are refused, unharmed. */
import { strict as assert } from 'node:assert';
import { open, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { blankProbes, isBlank } from '../../src/image/device/blank.ts';
import { openTarget } from '../../src/image/open-target.ts';
import {
  arrived,
  assertFails,
  assertSameBytes,
  KiB,
  MiB,
  restore,
  sha256Of,
  volumeOf,
} from '../image/blocks.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';

const blockSize = 512 * KiB;
const used = 0xff;

test('a device that is too small is refused with both sizes, unharmed', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  const error = await assertFails(
    target.prepare({ volumeSize: 3 * MiB, blockSize }, { resume: false }),
    'TARGET_TOO_SMALL',
    /2097152 bytes \(2 MiB\).*3145728 bytes \(3 MiB\)/,
  );
  assert.equal(error.class, 'refused');
  await target.abandon({ keepForResume: false });
  assertSameBytes(await readFile(backing), Buffer.alloc(2 * MiB, used));
});

test('a mounted device is refused, naming its mount point, and unchanged', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 8 * MiB });
  await run('mkfs.ext4', '-q', device);
  const point = await scratch.mount(device, ['-o', 'ro']);
  const before = sha256Of(await readFile(backing));
  const error = await assertFails(
    openTarget(device),
    'DEVICE_IN_USE',
    new RegExp(`${device} is in use: mounted at ${point} \\(ext4\\)`),
  );
  assert.equal(error.class, 'refused');
  assert.deepEqual(sha256Of(await readFile(backing)), before);
});

test('a device with a mounted partition is refused, naming the partition', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 16 * MiB });
  const partition = await scratch.partition(device, 2048, 16384);
  await run('mkfs.ext4', '-q', partition);
  const point = await scratch.mount(partition);
  const name = device.replace('/dev/', '');
  await assertFails(
    openTarget(device),
    'DEVICE_IN_USE',
    new RegExp(`its partition ${name}p1 is mounted at ${point}`),
  );
  await assertFails(
    openTarget(`${device}p1`),
    'DEVICE_IN_USE',
    new RegExp(`p1 is in use: mounted at ${point}`),
  );
});

test('a device with a mounted partition is refused even while others read it', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 16 * MiB });
  const partition = await scratch.partition(device, 2048, 16384);
  await run('mkfs.ext4', '-q', partition);
  await scratch.mount(partition);
  const read = (path: string) => run('dd', `if=${path}`, 'of=/dev/null', 'count=1', 'status=none');
  for (let times = 0; times < 10; times++) {
    const others = Promise.all([read(device), read(partition)]);
    for (let tries = 0; tries < 5; tries++) await assertFails(openTarget(device), 'DEVICE_IN_USE');
    await others;
  }
});

test('a device used as swap is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 4 * MiB, fill: 0 });
  await run('mkswap', device);
  await run('swapon', device);
  scratch.onEnd(() => run('swapoff', device));
  await assertFails(openTarget(device), 'DEVICE_IN_USE', /used as swap/);
});

test(
  'a device that another program holds is refused, also a second run into the same device',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device } = await scratch.loop({ bytes: 2 * MiB });
    const first = await openTarget(device);
    await assertFails(
      openTarget(device),
      'DEVICE_IN_USE',
      new RegExp(`open in .* \\(process ${process.pid}\\)`),
    );
    await first.abandon({ keepForResume: false });
    await (await openTarget(device)).abandon({ keepForResume: false });
  },
);

test('a read-only device is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 2 * MiB, readOnly: true });
  const error = await assertFails(openTarget(device), 'TARGET_READ_ONLY');
  assert.equal(error.class, 'refused');
});

test('a device without a medium is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 2 * MiB });
  const file = await open(device, 'r+');
  try {
    // Capacity 0 is what card readers and detached network disks show; the file behind this one is cut away.
    await run('truncate', '--size', '0', `${scratch.directory}/loop-0.img`);
    await run('losetup', '--set-capacity', device);
  } finally {
    await file.close();
  }
  await assertFails(openTarget(device), 'TARGET_NO_MEDIUM');
});

test(
  'a device that is not blank is refused naming its contents, and force overwrites it',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 8 * MiB });
    await run('mkfs.ext4', '-q', '-L', 'precious', device);
    const before = sha256Of(await readFile(backing));
    const target = await openTarget(device);
    const error = await assertFails(
      target.checkOverwrite({ force: false, resuming: false }),
      'TARGET_NOT_BLANK',
      /is not blank: it holds .*ext4 "precious"/,
    );
    assert.match(error.hint ?? '', /allow overwriting/);
    assert.deepEqual(sha256Of(await readFile(backing)), before);
    await target.checkOverwrite({ force: true, resuming: false });
    await restore(target, [arrived(0, blockSize)], 8 * MiB, blockSize);
    assertSameBytes(await readFile(backing), volumeOf([arrived(0, blockSize)], 8 * MiB));
  },
);

test(
  'a single byte anywhere that a label may be makes a device not blank; one that nobody samples does not',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const size = 80 * MiB;
    for (const [offset, blank] of [
      [0, false],
      [MiB, false],
      [2 * MiB + 64 * KiB - 1, false],
      [4 * MiB, false],
      [16 * MiB + 4 * KiB, false],
      [64 * MiB + 64, false],
      [size - 2 * MiB - 64 * KiB, false],
      [size - 1, false],
      [40 * MiB, true],
    ] as const) {
      const { device } = await scratch.loop({ bytes: size });
      const file = await open(device, 'r+');
      await file.write(Buffer.from([1]), 0, 1, offset);
      await file.close();
      const target = await openTarget(device);
      const check = target.checkOverwrite({ force: false, resuming: false });
      if (blank) await check;
      else await assertFails(check, 'TARGET_NOT_BLANK', /data of an unknown kind/);
      await target.abandon({ keepForResume: false });
    }
  },
);

test('places spread over a large device are sampled, and none is read twice', () => {
  for (const size of [512, MiB, 5 * MiB + 512, 80 * MiB, 300 * 1024 * MiB, 64 * 1024 ** 4]) {
    const probes = blankProbes(size);
    let end = 0;
    for (const { offset, length } of probes) {
      assert.ok(offset >= end && length > 0, `${offset} of ${size}`);
      end = offset + length;
    }
    assert.equal(end, size);
    if (size > 1024 * MiB) assert.ok(probes.length > 256);
    const gaps = probes.map(({ offset }, i) => offset - (probes[i - 1]?.offset ?? 0));
    assert.ok(Math.max(...gaps) <= size / 256 + 4 * MiB, String(size));
  }
});

/** Bytes that this process has read so far. */
async function bytesRead(): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
}

test('of a large device with a label at its start, little more than the label is read', async (t) => {
  const scratch = await Scratch.for(t);
  const file = await open(scratch.path('labelled.img'), 'w+');
  try {
    await file.truncate(1024 * MiB);
    await file.write(Buffer.from([0x53, 0xef]), 0, 2, KiB + 56);
    const before = await bytesRead();
    assert.equal(await isBlank(file.fd, 1024 * MiB), false);
    const read = (await bytesRead()) - before;
    assert.ok(read < 128 * KiB, `${read} bytes`);
  } finally {
    await file.close();
  }
});
