/** Several targets, from the command line. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { BLOCK, firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { ours, Workplace } from '../support/workplace.ts';

const indexes = [0, 1, 5, 100, 101, 500, 900, GIB / BLOCK - 1];

/** The command that is printed for a repeat. */
const repeat = (stderr: string) => /^ {2}Run it again: coldsnap (.*)$/m.exec(stderr)?.[1]?.split(' ') ?? [];

test('one of several targets fills its disk: the others are whole, and the printed command finishes it', {
  skip: needsBuild.skip ?? needsLoop.skip ?? false,
}, async (t) => {
  const place = await Workplace.for(t);
  const { emulator } = place;
  const blocks = randomBlocks(indexes, [7]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const scratch = await Scratch.for(t);
  const directory = await scratch.tmpfs(3 * 2 ** 20);
  const small = join(directory, 'small.img');
  const { device, backing } = await scratch.loop({ bytes: GIB });
  const file = place.path('disk.img');
  const env = { AWS_ENDPOINT_URL: emulator.url };
  const args = ['download', snapshotId, device, small, 'disk.img', '--workers', '1'];
  const { exit, stderr, stdout } = await place.run(ours, args, env);
  assert.deepEqual([exit, stdout], [1, ''], stderr);
  assert.match(stderr, /^warning: \S+small\.img failed and is not written any more \(no space left/m);
  assert.match(
    stderr,
    new RegExp(`^${device} is whole\n.*small.img is not whole: no space left.*\ndisk.img is whole$`, 'm'),
  );
  for (const image of [backing, file]) assert.equal(await firstWrongBlock(image, blocks, GIB), undefined);
  assert.ok(!existsSync(small));
  assert.equal(emulator.requests('GetSnapshotBlock').length, blocks.size);
  const again = repeat(stderr);
  assert.deepEqual(again, ['download', snapshotId, small, '--workers', '1']);
  await run('mount', '-o', 'remount,size=16m', directory);
  const second = await place.run(ours, again, env);
  assert.equal(second.exit, 0, second.stderr);
  assert.equal(await firstWrongBlock(small, blocks, GIB), undefined);
});

test('Ctrl-C leaves several targets resumable, and the same command finishes them', needsBuild, async (t) => {
  const place = await Workplace.for(t);
  const { emulator } = place;
  const blocks = randomBlocks(indexes, [7]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const env = { AWS_ENDPOINT_URL: emulator.url };
  emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 900, action: { type: 'stall' } }]);
  const line = ['download', '--workers', '1', snapshotId, 'a.img', 'b.img'];
  const child = place.start(ours, line, env);
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const ended = new Promise((resolve) => child.on('close', resolve));
  await emulator.waitForRequest(({ blockIndex }) => blockIndex === 900);
  child.kill('SIGINT');
  assert.equal(await ended, 130, stderr);
  assert.match(stderr, /^a\.img is not whole\nb\.img is not whole$/m);
  assert.deepEqual(repeat(stderr), line);
  for (const name of ['a.img', 'b.img']) assert.ok(existsSync(place.path(`${name}.partial`)), name);
  emulator.setFaults([]);
  emulator.clearLog();
  const again = await place.run(ours, line, env);
  assert.equal(again.exit, 0, again.stderr);
  assert.deepEqual(
    emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex),
    indexes.slice(-2),
  );
  for (const name of ['a.img', 'b.img'])
    assert.equal(await firstWrongBlock(place.path(name), blocks, GIB), undefined);
});

test(
  'a dry run of several targets lists the blocks once, and fetches and changes nothing',
  needsBuild,
  async (t) => {
    const place = await Workplace.for(t);
    const { emulator } = place;
    const blocks = randomBlocks(indexes, [7]);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const env = { AWS_ENDPOINT_URL: emulator.url };
    writeFileSync(place.path('old.img'), 'old');
    const args = ['--json', 'download', '--dry-run', '--force', snapshotId, 'new.img', 'old.img'];
    const { exit, stdout, stderr } = await place.run(ours, args, env);
    assert.equal(exit, 0, stderr);
    const { dryRun, operation, blocks: count, requests, targets } = JSON.parse(stdout);
    assert.deepEqual([dryRun, operation, count, requests], [true, 'download', blocks.size, blocks.size + 1]);
    const own = { blocks: blocks.size, bytes: blocks.size * BLOCK, bytesResumed: 0 };
    assert.deepEqual(targets, [
      { path: 'new.img', ...own },
      { path: 'old.img', ...own, overwrites: 'old.img already exists' },
    ]);
    assert.deepEqual(
      emulator.log.map((request) => request.operation),
      ['ListSnapshotBlocks'],
    );
    assert.ok(!existsSync(place.path('new.img')) && !existsSync(place.path('new.img.partial')));
    assert.equal(readFileSync(place.path('old.img'), 'utf8'), 'old');
  },
);
