/** Concurrent runs of the command line with one target, and with one source. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { needsLoop, Scratch } from '../support/loop.ts';
import { bytesAt, GIB } from '../support/service.ts';
import type { Ended, Running } from './command.ts';
import { BLOCK, Stage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

/**
 * Runs the others to their ends while the first run is paused in the middle.
 * @returns the results of the first run and of the others
 */
async function whileRunning(first: Running, operation: string, others: (() => Running)[]) {
  const ended = first.ended();
  await stage.request(operation, 20, ended);
  // Requests that the first run had sent may arrive while it is paused, but over its own connections only.
  const connections = () => new Set(stage.emulator.log.map(({ connectionId }) => connectionId)).size;
  const refused: Ended[] = [];
  await first.whilePaused(async () => {
    for (const other of others) {
      const before = connections();
      refused.push(await other().ended());
      assert.equal(connections(), before, 'a refused run connected to the service');
    }
  });
  return { first: await ended, refused };
}

function assertRefused(ended: readonly Ended[], message: RegExp): void {
  for (const { end, stderr, stdout } of ended) {
    assert.equal(end, 3, stderr);
    assert.match(stderr, message);
    assert.equal(stdout, '');
  }
}

test('a second download to a file is refused under any path, and the first completes', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  symlinkSync(scratch.directory, scratch.path('link'));
  stage.emulator.clearLog();
  const { first, refused } = await whileRunning(stage.download(target), 'GetSnapshotBlock', [
    () => stage.download(target),
    () => stage.download(target, ['--force']),
    () => stage.download(target, ['--fresh', '--no-checkpoint']),
    () => stage.download(scratch.path('link/disk.img'), ['--checkpoint-file', scratch.path('other')]),
  ]);
  assertRefused(
    refused,
    /coldsnap: another run is writing \S+disk\.img \(it holds a lock on \S+disk\.img\.partial\)\n {2}Wait until it ends/,
  );
  assert.equal(first.end, 0, first.stderr);
  await stage.assertImage(target);
  stage.assertRequestedAllExcept([]);
  assert.deepEqual(readdirSync(scratch.directory).sort(), ['disk.img', 'link']);
});

test('a second download that replaces the same file is refused', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  writeFileSync(target, 'old');
  stage.emulator.clearLog();
  const { first, refused } = await whileRunning(stage.download(target, ['--force']), 'GetSnapshotBlock', [
    () => stage.download(target, ['--force']),
    () => stage.download(target, ['--force', '--fresh']),
  ]);
  assertRefused(refused, /coldsnap: another run is writing/);
  assert.equal(first.end, 0, first.stderr);
  await stage.assertImage(target);
});

test(
  'a second download to a device is refused naming the process, and the first completes',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: GIB });
    symlinkSync(device, scratch.path('link'));
    const options = { stateDirectory: scratch.path('state') };
    stage.emulator.clearLog();
    const running = stage.download(device, [], options);
    const { first, refused } = await whileRunning(running, 'GetSnapshotBlock', [
      () => stage.download(device, [], options),
      () => stage.download(device, ['--force', '--fresh'], options),
      () => stage.download(scratch.path('link'), ['--force', '--no-checkpoint'], options),
    ]);
    const program = `${basename(process.execPath)} \\(process ${running.process.pid}\\)`;
    assertRefused(
      refused,
      new RegExp(
        `coldsnap: \\S+ is in use: open for writing in ${program}.*\\n  Unmount or release it first; --force does not`,
      ),
    );
    assert.equal(first.end, 0, first.stderr);
    await stage.assertImage(backing);
    stage.assertRequestedAllExcept([]);
  },
);

test('a second upload of a source is refused, and the first completes', async (t) => {
  const scratch = await Scratch.for(t);
  const source = scratch.path('disk.img');
  const image = randomBytes(60 * BLOCK);
  writeFileSync(source, image);
  symlinkSync(source, scratch.path('link'));
  stage.emulator.clearLog();
  const { first, refused } = await whileRunning(stage.upload(source), 'PutSnapshotBlock', [
    () => stage.upload(source),
    () => stage.upload(source, ['--fresh']),
    () => stage.upload(scratch.path('link')),
  ]);
  assertRefused(
    refused,
    /coldsnap: another run is uploading \S+ \(it holds \S+disk\.img\.coldsnap-upload\.lock\)\n {2}Wait until it ends/,
  );
  assert.equal(first.end, 0, first.stderr);
  assert.equal(stage.emulator.requests('StartSnapshot').length, 1);
  assert.ok(bytesAt(await stage.emulator.readImage(first.stdout.trim()), 0, image.length).equals(image));
  assert.deepEqual(readdirSync(scratch.directory).sort(), ['disk.img', 'link']);
});

test('a second upload of a device is refused, and the first completes', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const image = randomBytes(60 * BLOCK);
  const backing = scratch.path('source.img');
  writeFileSync(backing, image);
  const device = await scratch.attach(backing);
  const options = { stateDirectory: scratch.path('state') };
  stage.emulator.clearLog();
  const { first, refused } = await whileRunning(stage.upload(device, [], options), 'PutSnapshotBlock', [
    () => stage.upload(device, [], options),
  ]);
  assertRefused(refused, /coldsnap: another run is uploading \/dev\/loop\d+ \(it holds/);
  assert.equal(first.end, 0, first.stderr);
  assert.ok(bytesAt(await stage.emulator.readImage(first.stdout.trim()), 0, image.length).equals(image));
});
