/** An incremental download does not take a target for the base that holds something else. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, estimateDownload } from '../../src/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { BLOCK, firstWrongBlock, GIB, randomBlocks, startService } from '../support/service.ts';

/** A base with these blocks, and two children, each with changes of its own. */
async function makeSiblings(t: TestContext, indexes: readonly number[]) {
  const { emulator, service } = await startService(t, { pageSize: 100 });
  const baseBlocks = randomBlocks(indexes);
  const base = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const child = async (blocks: Map<number, Buffer>) => ({
    id: await emulator.putSnapshot({ volumeSizeGiB: 1, blocks, parent: base }),
    blocks: new Map([...baseBlocks, ...blocks]),
  });
  const first = await child(randomBlocks([600, 601, 602, 603]));
  const second = await child(randomBlocks([700]));
  return { emulator, service, base, baseBlocks, first, second };
}

function writeBlocks(path: string, blocks: ReadonlyMap<number, Uint8Array>): void {
  const file = openSync(path, 'r+');
  for (const [block, data] of blocks) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
}

function writeImage(path: string, blocks: ReadonlyMap<number, Uint8Array>): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, GIB);
  closeSync(file);
  writeBlocks(path, blocks);
}

/** Aborts a download when it requests this block. */
async function interrupt(
  emulator: Emulator,
  options: Parameters<typeof downloadSnapshot>[0],
  block: number,
): Promise<void> {
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ snapshotId, blockIndex }) => snapshotId === options.snapshotId && blockIndex === block)
    .then(() => controller.abort());
  const { signal } = controller;
  await assert.rejects(downloadSnapshot({ ...options, workers: 1, checkpointIntervalMs: 1, signal }), {
    class: 'aborted',
  });
}

for (const { name, options, code } of [
  { name: 'with force', options: { force: true }, code: 'TARGET_BETWEEN' },
  { name: 'when it starts over', options: { fresh: true }, code: 'TARGET_BETWEEN' },
  { name: 'when its journal is lost', options: {}, code: 'BASE_DIFFERS' },
  { name: 'when its journal is damaged', options: {}, code: 'BASE_DIFFERS' },
])
  test(
    `a device between two states is not taken for a base that begins with zeros, ${name}`,
    needsLoop,
    async (t) => {
      const { emulator, service, base, baseBlocks, first, second } = await makeSiblings(t, [500, 900]);
      const scratch = await Scratch.for(t);
      process.env.STATE_DIRECTORY = scratch.directory;
      const { device: target, backing } = await scratch.loop({ bytes: GIB });
      writeBlocks(backing, baseBlocks);
      await interrupt(emulator, { since: base, snapshotId: first.id, target, ...service }, 603);
      const journals = () => readdirSync(scratch.directory).filter((entry) => entry.endsWith('-progress'));
      for (const journal of journals()) {
        if (name.endsWith('lost')) rmSync(scratch.path(journal));
        if (name.endsWith('damaged')) writeFileSync(scratch.path(journal), '{}');
      }
      const other = { since: base, snapshotId: second.id, target, ...service, ...options };
      await assert.rejects(downloadSnapshot(other), { code });
      if (code === 'TARGET_BETWEEN') await assert.rejects(estimateDownload(other), { code });
      assert.equal(await firstWrongBlock(backing, baseBlocks, GIB), 600);
      if (journals().length === 0) return;
      await downloadSnapshot({ ...other, snapshotId: first.id });
      assert.equal(await firstWrongBlock(backing, first.blocks, GIB), undefined);
    },
  );

test('a device that begins with zeros is updated when all of it is the base', needsLoop, async (t) => {
  const { service, base, baseBlocks, first } = await makeSiblings(t, [500, 900]);
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  const { device: target, backing } = await scratch.loop({ bytes: GIB });
  writeBlocks(backing, baseBlocks);
  await downloadSnapshot({ since: base, snapshotId: first.id, target, ...service });
  assert.equal(await firstWrongBlock(backing, first.blocks, GIB), undefined);
});

test('an incremental download that starts over fetches again what was done', async (t) => {
  const { emulator, service, base, baseBlocks, first } = await makeSiblings(t, [0, 500]);
  const target = (await Scratch.for(t)).path('disk.img');
  writeImage(target, baseBlocks);
  const options = { since: base, snapshotId: first.id, target, ...service };
  await interrupt(emulator, options, 603);
  const fresh = { ...options, fresh: true };
  assert.equal((await estimateDownload(fresh)).blocks, 4);
  emulator.clearLog();
  const result = await downloadSnapshot(fresh);
  assert.equal(result.bytesResumed, 0);
  const fetched = emulator.requests('GetSnapshotBlock').filter(({ snapshotId }) => snapshotId === first.id);
  assert.equal(fetched.length, 4);
  assert.equal(await firstWrongBlock(target, first.blocks, GIB), undefined);
});

test('the target of a download whose journal was kept is a base, and no other snapshot is', async (t) => {
  const { service, base, baseBlocks, first, second } = await makeSiblings(t, [0, 5, 500]);
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  const kept = { target, keepCheckpoint: true, ...service };
  await downloadSnapshot({ ...kept, snapshotId: base });
  const plan = await estimateDownload({ ...kept, since: base, snapshotId: first.id });
  assert.ok(plan.blocks > 0);
  await downloadSnapshot({ ...kept, since: base, snapshotId: first.id });
  assert.equal(await firstWrongBlock(target, first.blocks, GIB), undefined);

  // By its journal it holds the first child, not the base, which a sample may not show.
  for (const attempt of [downloadSnapshot, estimateDownload])
    await assert.rejects(attempt({ ...kept, since: base, snapshotId: second.id }), {
      class: 'refused',
      code: 'TARGET_HOLDS_NO_BASE',
      message: new RegExp(`^${target} holds ${first.id} by the journal that was kept \\(.*progress\\)`),
    });
  await downloadSnapshot({ ...kept, since: first.id, snapshotId: base });
  assert.equal(await firstWrongBlock(target, baseBlocks, GIB), undefined);
  // Nor is it between two states for a full download.
  await assert.rejects(downloadSnapshot({ ...kept, snapshotId: first.id }), { code: 'TARGET_EXISTS' });
});

test('a device whose journal was kept is a base', needsLoop, async (t) => {
  const { service, base, first } = await makeSiblings(t, [0, 5, 500]);
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  const { device, backing } = await scratch.loop({ bytes: GIB });
  const kept = { target: device, keepCheckpoint: true, ...service };
  await downloadSnapshot({ ...kept, snapshotId: base });
  await downloadSnapshot({ ...kept, since: base, snapshotId: first.id });
  assert.equal(await firstWrongBlock(backing, first.blocks, GIB), undefined);
});

test('a journal that is kept does not answer for what an incremental download kept', async (t) => {
  const { service, base, baseBlocks, first } = await makeSiblings(t, [0, 5, 500]);
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  writeImage(target, baseBlocks);
  const options = { since: base, snapshotId: first.id, target, keepCheckpoint: true, ...service };
  await downloadSnapshot(options);
  const result = await downloadSnapshot(options);
  assert.equal(result.bytesResumed, GIB);
  // Written, with the time put back.
  const dated = scratch.path('dated');
  writeFileSync(dated, '');
  execFileSync('touch', ['-r', target, dated]);
  writeBlocks(target, randomBlocks([5]));
  execFileSync('touch', ['-r', dated, target]);
  await assert.rejects(downloadSnapshot(options), { class: 'integrity', code: 'BASE_DIFFERS' });
});

for (const kind of ['file', 'device'] as const)
  test(
    `a ${kind} that another service's download interrupted is refused, though the snapshots have the same names`,
    kind === 'device' ? needsLoop : {},
    async (t) => {
      const ids = { base: 'snap-00000000000000001', child: 'snap-00000000000000002' };
      const baseBlocks = randomBlocks([0, 5, 500]);
      const services = await Promise.all(
        [
          [600, 601, 602],
          [601, 602, 700],
        ].map(async (indexes) => {
          const { emulator, service } = await startService(t, { pageSize: 100 });
          const blocks = randomBlocks(indexes);
          await emulator.putSnapshot({ id: ids.base, volumeSizeGiB: 1, blocks: baseBlocks });
          await emulator.putSnapshot({ id: ids.child, volumeSizeGiB: 1, blocks, parent: ids.base });
          return { emulator, service, blocks: new Map([...baseBlocks, ...blocks]) };
        }),
      );
      const [first, second] = services as [(typeof services)[0], (typeof services)[0]];
      const scratch = await Scratch.for(t);
      process.env.STATE_DIRECTORY = scratch.directory;
      const loop = kind === 'device' ? await scratch.loop({ bytes: GIB }) : undefined;
      const target = loop?.device ?? scratch.path('disk.img');
      const medium = loop?.backing ?? target;
      writeImage(medium, baseBlocks);
      const options = { since: ids.base, snapshotId: ids.child, target };
      await interrupt(first.emulator, { ...options, ...first.service }, 602);
      const refused = {
        class: 'refused',
        code: 'TARGET_BETWEEN',
        message: /of another service was interrupted/,
      };
      await assert.rejects(downloadSnapshot({ ...options, ...second.service }), refused);
      await assert.rejects(estimateDownload({ ...options, ...second.service }), refused);
      await downloadSnapshot({ ...options, ...first.service, keepCheckpoint: true });
      assert.equal(await firstWrongBlock(medium, first.blocks, GIB), undefined);
      // Nor is the finished image the base.
      await assert.rejects(downloadSnapshot({ ...options, ...second.service }), refused);
      assert.equal(await firstWrongBlock(medium, first.blocks, GIB), undefined);
    },
  );

/** Calls `meanwhile` while a download waits for the list of changes, when the target is claimed. @returns its outcome */
async function duringTheList(
  emulator: Emulator,
  options: Parameters<typeof downloadSnapshot>[0],
  meanwhile: () => unknown,
): Promise<unknown> {
  const controller = new AbortController();
  emulator.setFaults([{ operation: 'ListChangedBlocks', first: 1, action: { type: 'stall', ms: 1_500 } }]);
  const listed = emulator.waitForRequest(({ operation }) => operation === 'ListChangedBlocks');
  const outcome = downloadSnapshot({ ...options, signal: controller.signal }).catch(
    (error: unknown) => error,
  );
  try {
    await listed;
    await meanwhile();
  } catch (error) {
    controller.abort();
    await outcome;
    throw error;
  }
  return outcome;
}

for (const trustBase of [true, false])
  test(`two incremental downloads to one file exclude each other, the base ${trustBase ? '' : 'not '}trusted`, async (t) => {
    const { emulator, service, base, baseBlocks, first, second } = await makeSiblings(t, [0, 500]);
    const scratch = await Scratch.for(t);
    const target = scratch.path('disk.img');
    writeImage(target, baseBlocks);
    symlinkSync(target, scratch.path('link'));
    const options = { since: base, trustBase, ...service };
    await duringTheList(emulator, { ...options, snapshotId: first.id, target }, async () => {
      for (const path of [target, scratch.path('link')])
        await assert.rejects(downloadSnapshot({ ...options, snapshotId: second.id, target: path }), {
          class: 'refused',
          code: 'TARGET_BUSY',
        });
    });
    assert.equal(await firstWrongBlock(target, first.blocks, GIB), undefined);
    assert.deepEqual(readdirSync(scratch.directory).sort(), ['disk.img', 'link']);
  });

for (const [what, change] of [
  ['is written', (target: string) => writeBlocks(target, randomBlocks([5]))],
  [
    'is replaced',
    (target: string) => {
      writeImage(`${target}.new`, randomBlocks([5]));
      renameSync(`${target}.new`, target);
    },
  ],
] as const)
  test(`a file that ${what} after it was claimed is not changed, though the base is trusted`, async (t) => {
    const { emulator, service, base, baseBlocks, first } = await makeSiblings(t, [0, 500]);
    const target = (await Scratch.for(t)).path('disk.img');
    writeImage(target, baseBlocks);
    const options = { since: base, snapshotId: first.id, target, trustBase: true, ...service };
    let before: bigint | undefined;
    const error = await duringTheList(emulator, options, () => {
      change(target);
      before = statSync(target, { bigint: true }).ctimeNs;
    });
    assert.match(String(error), /is in use: it was written, moved or replaced meanwhile/);
    assert.equal(statSync(target, { bigint: true }).ctimeNs, before);
    assert.ok(!existsSync(`${target}.partial`));
  });
