/** Disks that are detached, fail or shrink during a transfer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { backingOf, noLoopDevices, run, Scratch } from '../support/loop.ts';
import { bytesAt, GIB } from '../support/service.ts';
import { until } from '../support/until.ts';
import type { Running } from './command.ts';
import { BLOCK, onlyJournal, Stage } from './stage.ts';

const MIB = 2 ** 20;
const noPython = spawnSync('python3', ['-c', '']).status === 0 ? undefined : 'python3 is not installed';
const skip = noLoopDevices ?? noPython;
const needs = skip === undefined ? {} : { skip };

let stage: Stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

/** Waits for a request of a run, runs `action` while the run is paused, and waits for its end. */
async function interrupt(running: Running, operation: string, number: number, action: () => unknown) {
  const ended = running.ended();
  await stage.request(operation, number, ended);
  await running.whilePaused(action);
  return ended;
}

/** Interrupts a download when its journal lists blocks and half of all blocks are not yet served. */
async function interruptWithJournal(start: () => Running, journal: () => string, action: () => unknown) {
  const serveAll = stage.serveHalf();
  const running = start();
  const ended = running.ended();
  await stage.journalled(journal, ended);
  await running.whilePaused(action);
  serveAll();
  return ended;
}

/** Makes a file system fail with EIO and lose unsynced data, as if its disk were unplugged. */
async function unplug(directory: string): Promise<void> {
  const EXT4_IOC_SHUTDOWN = 0x8004587d;
  const call = `fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), ${EXT4_IOC_SHUTDOWN}, b"\\2\\0\\0\\0")`;
  await run('python3', '-c', `import fcntl, os, sys\n${call}`, directory);
}

/** A file system whose disk can be unplugged. */
async function disk(scratch: Scratch) {
  const { device, backing } = await scratch.loop({ bytes: 2 * GIB });
  await run('mkfs.ext4', '-q', device);
  const directory = await scratch.mount(device);
  // A program that makes a mount namespace meanwhile keeps the failed file system on the first device.
  const spare = await scratch.attach(backing);
  const replug = `umount '${directory}'; blockdev --flushbufs ${spare}; mount ${spare} '${directory}'`;
  return { directory, replug };
}

for (const [operation, number] of [
  ['ListSnapshotBlocks', 1],
  ['GetSnapshotBlock', 30],
] as const) {
  // The kernel detaches it when the last file descriptor is closed.
  test(
    `a download to a device that is detached at ${operation} completes its backing file`,
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
      await until(() => backingOf(device) !== backing);
      await stage.assertImage(backing);
      assert.deepEqual(readdirSync(options.stateDirectory), []);
    },
  );
}

test(
  'a download to a device that begins to fail reports it, and resumes when the device is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, replug } = await disk(scratch);
    const { device, backing } = await scratch.loop({ bytes: GIB, directory });
    const options = { stateDirectory: scratch.path('state') };
    stage.emulator.clearLog();
    const { end, stderr } = await interruptWithJournal(
      () => stage.download(device, [], options),
      () => onlyJournal(options.stateDirectory),
      () => unplug(directory),
    );
    assert.equal(end, 1, stderr);
    assert.match(
      stderr,
      /coldsnap: could not (write to|sync|zero a range of) \/dev\/loop\d+.*: input\/output error\n {2}The storage reports a fault/,
    );
    await scratch.reattach(device, backing, replug);
    assert.ok(
      bytesAt(backing, 0, BLOCK).every((byte) => byte === 0),
      'block 0 must be zeros',
    );
    const safe = stage.assertJournalMatches(backing, onlyJournal(options.stateDirectory));
    assert.ok(safe.length > 0, 'the journal lists no block');
    stage.emulator.clearLog();
    const again = await stage.download(device, [], options).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertImage(backing);
    stage.assertRequestedAllExcept(safe);
  },
);

test(
  'a download to a file on a disk that is unplugged reports it, and resumes when it is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, replug } = await disk(scratch);
    const target = join(directory, 'disk.img');
    stage.emulator.clearLog();
    const { end, stderr } = await interruptWithJournal(
      () => stage.download(target),
      () => `${target}.coldsnap-progress`,
      () => unplug(directory),
    );
    assert.equal(end, 1, stderr);
    assert.match(
      stderr,
      /coldsnap: could not \w+ .*disk\.img\.partial.*: input\/output error\n {2}The storage/,
    );
    await run('sh', '-ec', replug);
    assert.ok(!existsSync(target));
    const safe = stage.assertJournalMatches(`${target}.partial`, `${target}.coldsnap-progress`);
    assert.ok(safe.length > 0, 'the journal lists no block');
    stage.emulator.clearLog();
    const again = await stage.download(target).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertImage(target);
    stage.assertRequestedAllExcept(safe);
  },
);

/** A device with an image of 4 MiB, whose backing file is in `directory`. */
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

test('an upload from a device that is detached meanwhile completes', needs, async (t) => {
  const scratch = await Scratch.for(t);
  const { image, backing, device, options } = await sourceDevice(scratch);
  const { end, stderr, stdout } = await interrupt(
    stage.upload(device, [], options),
    'PutSnapshotBlock',
    40,
    () => run('losetup', '--detach', device),
  );
  assert.equal(end, 0, stderr);
  await until(() => backingOf(device) !== backing);
  await assertUploaded(stdout, image);
});

test(
  'an upload from a device that begins to fail reports it, and resumes when the device is back',
  needs,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { directory, replug } = await disk(scratch);
    const { image, backing, device, options } = await sourceDevice(scratch, directory);
    await run('sync', '--file-system', directory);
    const { end, stderr, stdout } = await interrupt(
      stage.upload(device, [], options),
      'PutSnapshotBlock',
      40,
      () => unplug(directory),
    );
    assert.equal(end, 1, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /coldsnap: could not read \/dev\/loop\d+ at offset \d+: input\/output error/);
    const pending = /Snapshot (snap-\w+) is unfinished\. Run the same command again to resume/.exec(
      stderr,
    )?.[1];
    assert.equal(stage.emulator.snapshot(pending ?? '')?.status, 'pending', stderr);
    await scratch.reattach(device, backing, replug);
    const again = await stage.upload(device, [], options).ended();
    assert.equal(again.end, 0, again.stderr);
    assert.equal(again.stdout.trim(), pending);
    await assertUploaded(again.stdout, image);
  },
);

test('an upload from a device whose backing file was truncated is an error', needs, async (t) => {
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
