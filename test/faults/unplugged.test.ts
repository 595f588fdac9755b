/** Disks that go away, fail or shrink while the whole program reads or writes them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { backingOf, noLoopDevices, run, Scratch } from '../support/loop.ts';
import { bytesAt, GIB } from '../support/service.ts';
import type { Running } from './command.ts';
import { BLOCK, onlyJournal, Stage } from './stage.ts';

const MIB = 2 ** 20;
const noPython = spawnSync('python3', ['-c', '']).status === 0 ? undefined : 'python3 is not there';
const skip = noLoopDevices ?? noPython;
const needs = skip === undefined ? {} : { skip };

let stage: Stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

/** Lets a run come to a request, does something while it stands still, and waits for its end. */
async function interrupt(running: Running, operation: string, number: number, action: () => unknown) {
  const ended = running.ended();
  await stage.request(operation, number);
  await running.meanwhile(action);
  return ended;
}

/** From now on all of a file system fails with EIO, and what was not synced is lost: its disk was pulled out. */
async function pullOut(directory: string): Promise<void> {
  const EXT4_IOC_SHUTDOWN = 0x8004587d;
  const call = `fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), ${EXT4_IOC_SHUTDOWN}, b"\\2\\0\\0\\0")`;
  await run('python3', '-c', `import fcntl, os, sys\n${call}`, directory);
}

/** A file system whose disk can be pulled out. */
async function disk(scratch: Scratch) {
  const { device } = await scratch.loop({ bytes: 2 * GIB });
  await run('mkfs.ext4', '-q', device);
  const directory = await scratch.mount(device);
  const plugIn = async () => {
    await run('umount', directory);
    await run('mount', device, directory);
  };
  return { directory, plugIn };
}

for (const [operation, number] of [
  ['ListSnapshotBlocks', 1],
  ['GetSnapshotBlock', 30],
] as const) {
  // The kernel waits with that until the last one has closed it.
  test(
    `a device that is detached at ${operation} has all in its file when the download ends well`,
    needs,
    async (t) => {
      const scratch = await Scratch.for(t);
      const { device, backing } = await scratch.loop({ bytes: GIB });
      stage.emulator.clearLog();
      const options = { stateDirectory: scratch.path('state') };
      const { end, stderr } = await interrupt(stage.download(device, [], options), operation, number, () =>
        run('losetup', '--detach', device),
      );
      assert.equal(end, 0, stderr);
      assert.notEqual(backingOf(device), backing, 'it is still attached');
      await stage.assertWhole(backing);
      assert.deepEqual(readdirSync(options.stateDirectory), []);
    },
  );
}

test(
  'a download to a device that begins to fail says so, and goes on when the device is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, plugIn } = await disk(scratch);
    const { device, backing } = await scratch.loop({ bytes: GIB, directory });
    const options = { stateDirectory: scratch.path('state') };
    stage.emulator.clearLog();
    const { end, stderr } = await interrupt(stage.download(device, [], options), 'GetSnapshotBlock', 30, () =>
      pullOut(directory),
    );
    assert.equal(end, 1, stderr);
    assert.match(
      stderr,
      /coldsnap: could not (write to|sync|zero a range of) \/dev\/loop\d+.*: input\/output error\n {2}The storage reports a fault/,
    );
    await run('losetup', '--detach', device);
    await plugIn();
    assert.ok(
      bytesAt(backing, 0, BLOCK).every((byte) => byte === 0),
      'block 0 must not be there',
    );
    const safe = stage.assertHonest(backing, onlyJournal(options.stateDirectory));
    assert.ok(safe.length > 0, 'nothing was safe');
    stage.emulator.clearLog();
    const again = await stage.download(await scratch.attach(backing), [], options).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertWhole(backing);
    stage.assertAskedAllBut(safe);
  },
);

test(
  'a download to a file on a disk that is pulled out says so, and goes on when it is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, plugIn } = await disk(scratch);
    const target = join(directory, 'disk.img');
    stage.emulator.clearLog();
    const { end, stderr } = await interrupt(stage.download(target), 'GetSnapshotBlock', 30, () =>
      pullOut(directory),
    );
    assert.equal(end, 1, stderr);
    assert.match(
      stderr,
      /coldsnap: could not \w+ .*disk\.img\.partial.*: input\/output error\n {2}The storage/,
    );
    await plugIn();
    assert.ok(!existsSync(target));
    const safe = stage.assertHonest(`${target}.partial`, `${target}.coldsnap-progress`);
    assert.ok(safe.length > 0, 'nothing was safe');
    stage.emulator.clearLog();
    const again = await stage.download(target).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertWhole(target);
    stage.assertAskedAllBut(safe);
  },
);

/** A device that holds an image of 4 MiB, in a directory. */
async function sourceDevice(scratch: Scratch, directory = scratch.directory) {
  const image = randomBytes(4 * MIB);
  const backing = join(directory, 'source.img');
  writeFileSync(backing, image);
  const options = { stateDirectory: scratch.path('state') };
  stage.emulator.clearLog();
  return { image, backing, device: await scratch.attach(backing), options };
}

async function assertUploaded(stdout: string, image: Buffer): Promise<void> {
  const snapshotId = stdout.trim();
  assert.equal(stage.emulator.snapshot(snapshotId)?.status, 'completed');
  assert.ok(bytesAt(await stage.emulator.readImage(snapshotId), 0, image.length).equals(image));
}

test('a device that is detached while it is uploaded is uploaded whole', needs, async (t) => {
  const scratch = await Scratch.for(t);
  const { image, backing, device, options } = await sourceDevice(scratch);
  const { end, stderr, stdout } = await interrupt(
    stage.upload(device, [], options),
    'PutSnapshotBlock',
    40,
    () => run('losetup', '--detach', device),
  );
  assert.equal(end, 0, stderr);
  assert.notEqual(backingOf(device), backing, 'it is still attached');
  await assertUploaded(stdout, image);
});

test(
  'an upload from a device that begins to fail says so, and goes on when the device is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, plugIn } = await disk(scratch);
    const { image, backing, device, options } = await sourceDevice(scratch, directory);
    await run('sync', '--file-system', directory);
    const { end, stderr, stdout } = await interrupt(
      stage.upload(device, [], options),
      'PutSnapshotBlock',
      40,
      () => pullOut(directory),
    );
    assert.equal(end, 1, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /coldsnap: could not read \/dev\/loop\d+ at offset \d+: input\/output error/);
    const left = /Snapshot (snap-\w+) is left unfinished\. Run the same command again to go on/.exec(
      stderr,
    )?.[1];
    assert.equal(stage.emulator.snapshot(left ?? '')?.status, 'pending', stderr);
    await run('losetup', '--detach', device);
    await plugIn();
    const again = await stage.upload(await scratch.attach(backing), [], options).ended();
    assert.equal(again.end, 0, again.stderr);
    assert.equal(again.stdout.trim(), left);
    await assertUploaded(again.stdout, image);
  },
);

test('an upload from a device whose storage was cut short is an error', needs, async (t) => {
  const scratch = await Scratch.for(t);
  const { backing, device, options } = await sourceDevice(scratch);
  const { end, stderr, stdout } = await interrupt(
    stage.upload(device, [], options),
    'PutSnapshotBlock',
    40,
    () => truncateSync(backing, 2 * MIB),
  );
  assert.equal(end, 1, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /coldsnap: could not read \/dev\/loop\d+ at offset \d+: input\/output error/);
  assert.equal(stage.emulator.requests('CompleteSnapshot').length, 0);
});

test('a device that shrinks is an error, in both directions', needs, async (t) => {
  const scratch = await Scratch.for(t);
  const shrink = async (device: string, backing: string) => {
    truncateSync(backing, 2 * MIB);
    await run('losetup', '--set-capacity', device);
  };
  const { backing, device, options } = await sourceDevice(scratch);
  const up = await interrupt(stage.upload(device, [], options), 'PutSnapshotBlock', 40, () =>
    shrink(device, backing),
  );
  assert.equal(up.end, 1, up.stderr);
  assert.match(up.stderr, /\/dev\/loop\d+ changed while it was read: it became shorter than 4194304 bytes/);
  assert.equal(stage.emulator.requests('CompleteSnapshot').length, 0);

  const target = await scratch.loop({ bytes: GIB });
  const down = await interrupt(stage.download(target.device, [], options), 'GetSnapshotBlock', 30, () =>
    shrink(target.device, target.backing),
  );
  assert.equal(down.end, 1, down.stderr);
  assert.match(down.stderr, /coldsnap: could not \w+ .*\/dev\/loop\d+/);
  assert.ok(bytesAt(target.backing, 0, BLOCK).every((byte) => byte === 0));
});
