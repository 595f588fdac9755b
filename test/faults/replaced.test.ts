/** Targets and sources that another program moves, removes or replaces during a transfer. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, test } from 'node:test';
import { emptyDevice, needsLoop, run, Scratch } from '../support/loop.ts';
import { bytesAt, GIB } from '../support/service.ts';
import type { Ended } from './command.ts';
import { BLOCK, Stage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

/** Runs a download, and runs `action` with the process paused when half of the blocks have been requested. */
async function downloadInto(target: string, flags: string[], action: () => unknown): Promise<Ended> {
  stage.emulator.clearLog();
  const running = stage.download(target, flags);
  const ended = running.ended();
  await stage.request('GetSnapshotBlock', 30, ended);
  await running.whilePaused(action);
  return ended;
}

/** Does the same while the second half of the blocks is not served, so that the run must end before its end. */
async function downloadHalfInto(target: string, action: () => unknown): Promise<Ended> {
  const serveAll = stage.serveHalf();
  try {
    return await downloadInto(target, [], action);
  } finally {
    serveAll();
  }
}

/** Another program's change of the partial file, and the check that its own file is unchanged. */
const replacements: [string, (partial: string) => unknown, (partial: string) => unknown][] = [
  ['is removed', (partial) => rmSync(partial), (partial) => assert.ok(!existsSync(partial))],
  [
    'is moved away',
    (partial) => renameSync(partial, `${partial}.away`),
    (partial) => assert.equal(statSync(`${partial}.away`).size, GIB),
  ],
  [
    'is replaced by another file',
    (partial) => {
      writeFileSync(`${partial}.other`, 'theirs');
      renameSync(`${partial}.other`, partial);
    },
    (partial) => assert.equal(readFileSync(partial, 'utf8'), 'theirs'),
  ],
  [
    'is replaced by a symbolic link',
    (partial) => {
      rmSync(partial);
      writeFileSync(`${partial}.other`, 'theirs');
      symlinkSync(`${partial}.other`, partial);
    },
    (partial) => assert.equal(readFileSync(`${partial}.other`, 'utf8'), 'theirs'),
  ],
];

for (const [what, replace, assertUnchanged] of replacements) {
  test(`when the partial file ${what}, the download fails before its end and no file gets the name of the target`, async (t) => {
    const scratch = await Scratch.for(t);
    const target = scratch.path('disk.img');
    const partial = `${target}.partial`;
    const { end, stderr, stdout } = await downloadHalfInto(target, () => replace(partial));
    assert.equal(end, 1, stderr);
    assert.match(
      stderr,
      /coldsnap: \S+disk\.img\.partial was moved, removed or replaced while it was written\n {2}\S/,
    );
    assert.doesNotMatch(stderr, /kept as|to resume/);
    assert.equal(stdout, '');
    assert.ok(!existsSync(target));
    assertUnchanged(partial);
  });
}

test('a partial file replaced by an older copy is not resumed, whatever the journal lists, nor removed', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  const partial = `${target}.partial`;
  // Without its last block the run cannot end before the signal.
  const last = [...stage.blocks.keys()].slice(-1);
  stage.emulator.setFaults([{ operation: 'GetSnapshotBlock', block: last, action: { type: 'stall' } }]);
  t.after(() => stage.emulator.setFaults([]));
  stage.emulator.clearLog();
  const running = stage.download(target);
  const ended = running.ended();
  await stage.request('GetSnapshotBlock', 55, ended);
  await running.whilePaused(() => run('cp', '--sparse=always', partial, `${partial}.copy`));
  await stage.request('GetSnapshotBlock', 61, ended);
  running.process.kill('SIGTERM');
  assert.equal((await ended).end, 143);
  stage.emulator.setFaults([]);
  renameSync(`${partial}.copy`, partial);
  const before = statSync(partial, { bigint: true });
  const { end, stderr } = await stage.download(target, ['--force']).ended();
  assert.equal(end, 3, stderr);
  assert.match(stderr, /Ignoring the journal of an earlier download \(.*disk\.img\.partial is another file/);
  assert.match(stderr, /coldsnap: .* \S+disk\.img\.partial is a file of another program/);
  assert.doesNotMatch(stderr, /Overwriting/);
  const after = statSync(partial, { bigint: true });
  assert.deepEqual([after.ino, after.size, after.mtimeNs], [before.ino, before.size, before.mtimeNs]);
  rmSync(partial);
  const again = await stage.download(target).ended();
  assert.equal(again.end, 0, again.stderr);
  await stage.assertImage(target);
});

test('when the directory is moved away, the download fails and creates no new one', async (t) => {
  const scratch = await Scratch.for(t);
  const directory = scratch.path('images');
  mkdirSync(directory);
  const move = () => renameSync(directory, `${directory}.away`);
  const { end, stderr } = await downloadInto(`${directory}/disk.img`, [], move);
  assert.equal(end, 1, stderr);
  assert.match(stderr, /disk\.img\.partial was moved, removed or replaced/);
  assert.ok(!existsSync(directory));
});

for (const flags of [[], ['--force']]) {
  test(`a file that appears under the name of the target is not overwritten${flags.map((flag) => `, not even with ${flag}`)}`, async (t) => {
    const scratch = await Scratch.for(t);
    const target = scratch.path('disk.img');
    const { end, stderr } = await downloadInto(target, flags, () => writeFileSync(target, 'theirs'));
    assert.equal(end, 3, stderr);
    assert.match(stderr, /coldsnap: \S+disk\.img was created by another program in the meantime/);
    assert.equal(readFileSync(target, 'utf8'), 'theirs');
    stage.assertJournalMatches(`${target}.partial`, `${target}.coldsnap-progress`);
    stage.emulator.clearLog();
    const again = await stage.download(target, ['--force']).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertImage(target);
    assert.deepEqual(stage.requestedBlocks(), [], 'the journal lists all blocks');
  });
}

test('--force replaces the file that was there, and no other that has taken its place', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  writeFileSync(target, 'old');
  const { end, stderr } = await downloadInto(target, ['--force'], () => {
    writeFileSync(`${target}.other`, 'theirs');
    renameSync(`${target}.other`, target);
  });
  assert.equal(end, 3, stderr);
  assert.match(stderr, /disk\.img was created by another program in the meantime/);
  assert.equal(readFileSync(target, 'utf8'), 'theirs');
});

test('--force does not mind that the file it was to replace has gone', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  writeFileSync(target, 'old');
  const { end, stderr } = await downloadInto(target, ['--force'], () => rmSync(target));
  assert.equal(end, 0, stderr);
  await stage.assertImage(target);
});

/** A device node outside /dev that can be made to refer to another device. */
async function nodeFor(
  scratch: Scratch,
  device: string,
): Promise<{ node: string; point(to: string): Promise<string> }> {
  const node = scratch.path('disk');
  const point = async (to: string) => {
    rmSync(node, { force: true });
    const [major, minor] = (await run('lsblk', '--noheadings', '--nodeps', '-o', 'MAJ:MIN', to))
      .trim()
      .split(':');
    return run('mknod', node, 'b', major as string, minor as string);
  };
  await point(device);
  return { node, point };
}

test(
  'when the path of the device refers to another one at the end, that is an error and block 0 stays zeros',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const [one, other] = [await scratch.loop({ bytes: GIB }), await scratch.loop({ bytes: GIB })];
    const { node, point } = await nodeFor(scratch, one.device);
    for (const replace of [() => point(other.device), () => rmSync(node)]) {
      await point(one.device);
      await emptyDevice(one);
      const { end, stderr } = await downloadInto(node, [], replace);
      assert.equal(end, 1, stderr);
      assert.match(stderr, /coldsnap: \S+\/disk no longer refers to the device that was written\n {2}\S/);
      for (const { backing } of [one, other]) {
        assert.ok(bytesAt(backing, 0, BLOCK).every((byte) => byte === 0));
      }
    }
    assert.equal(statSync(other.backing).blocks, 0, 'the other device was written');
    // With the path restored, the download can be resumed.
    await point(one.device);
    stage.emulator.clearLog();
    const again = await stage.download(node).ended();
    assert.equal(again.end, 0, again.stderr);
    await stage.assertImage(one.backing);
    // The blocks of the first 2 MiB and the last that are not zeros.
    assert.deepEqual(
      stage.requestedBlocks().sort((a, b) => a - b),
      [0, 12, 24, 36, 48, 60, 72, 84, 96, 108, 120, GIB / BLOCK - 1],
    );
  },
);

test('an upload whose source was replaced by another file fails', async (t) => {
  const scratch = await Scratch.for(t);
  const source = scratch.path('disk.img');
  writeFileSync(source, randomBytes(40 * BLOCK));
  stage.emulator.clearLog();
  const running = stage.upload(source);
  const ended = running.ended();
  await stage.request('PutSnapshotBlock', 20, ended);
  await running.whilePaused(() => {
    copyFileSync(source, `${source}.other`);
    renameSync(`${source}.other`, source);
  });
  const { end, stderr, stdout } = await ended;
  assert.equal(end, 1, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /disk\.img changed while it was read: the path now refers to another file/);
  assert.equal(stage.emulator.requests('CompleteSnapshot').length, 0);
});
