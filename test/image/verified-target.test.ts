import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import type { ImageTarget, ResumableTarget } from '../../src/image/target.ts';
import { VerifiedTarget } from '../../src/image/verified-target.ts';
import { sha256 } from '../../src/native/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { bytesAt, GIB, randomBlocks, scratch } from '../support/service.ts';

const BLOCK = 65_536;
const LAST = GIB / BLOCK - 1;
const geometry = { volumeSize: GIB, blockSize: BLOCK };

interface Place {
  readonly target: VerifiedTarget;
  /** The file that holds the bytes. */
  readonly medium: string;
  /** Damages the medium after the next syncs, this many times. */
  damage(offset: number, times: number): void;
  /** The same after the next commits. */
  damageAtCommit(offset: number, times: number): void;
  readonly rewritten: number[];
  readonly blocks: Map<number, Buffer>;
  write(...indexes: number[]): Promise<string[]>;
}

/** A target on a medium that can be damaged. */
async function place(t: TestContext, path: string, medium: string, onRead?: () => void): Promise<Place> {
  const inner = await openTarget(path);
  const pending: { offset: number; at: 'sync' | 'commit' }[] = [];
  const flipBit = (at: 'sync' | 'commit') => {
    const next = pending.findIndex((damage) => damage.at === at);
    if (next < 0) return;
    const [{ offset } = { offset: 0 }] = pending.splice(next, 1);
    const file = openSync(medium, 'r+');
    writeSync(file, Buffer.from([bytesAt(medium, offset, 1)[0]! ^ 1]), 0, 1, offset);
    closeSync(file);
  };
  const sync = inner.sync.bind(inner);
  const commit = inner.commit.bind(inner);
  inner.sync = async () => {
    await sync();
    flipBit('sync');
  };
  inner.commit = async () => {
    const notices = await commit();
    flipBit('commit');
    return notices;
  };
  const blocks = new Map<number, Buffer>();
  const rewritten: number[] = [];
  const unverified = async (index: number) => {
    const data = blocks.get(index) as Buffer;
    const [digest] = await sha256([data]);
    return { data, digest: digest as Uint8Array, offset: index * BLOCK };
  };
  const options = {
    rewrite: async (offset: number) => {
      rewritten.push(offset / BLOCK);
      await inner.writeBlocks([await unverified(offset / BLOCK)]);
    },
    ...(onRead === undefined ? {} : { onRead }),
  };
  const target = new VerifiedTarget(inner as ImageTarget, inner.resumable as ResumableTarget, options);
  t.after(() => target.abandon({ keepForResume: false }));
  await target.checkOverwrite({ force: false, resuming: false });
  await target.prepare(geometry, { resume: false });
  const add = (at: 'sync' | 'commit') => (offset: number, times: number) => {
    for (let count = 0; count < times; count++) pending.push({ offset, at });
  };
  return {
    target,
    medium,
    damage: add('sync'),
    damageAtCommit: add('commit'),
    rewritten,
    blocks,
    write: async (...indexes) => {
      for (const index of indexes)
        if (!blocks.has(index)) blocks.set(index, randomBlocks([index], [], BLOCK).get(index)!);
      return target.writeBlocks(await Promise.all(indexes.map(unverified)));
    },
  };
}

async function filePlace(t: TestContext): Promise<Place> {
  const path = join(scratch(t), 'disk.img');
  return place(t, path, `${path}.partial`);
}

async function devicePlace(t: TestContext): Promise<Place> {
  const space = await Scratch.for(t);
  const { device, backing } = await space.loop({ bytes: GIB });
  return place(t, device, backing);
}

for (const [kind, open] of [
  ['a file', filePlace],
  ['a device', devicePlace],
] as const) {
  const options = kind === 'a device' ? needsLoop : {};

  test(`a block of ${kind} that differs is written once more`, options, async (t) => {
    const { target, medium, blocks, rewritten, damage, write } = await open(t);
    await write(100, 101, 102);
    damage(101 * BLOCK + 5, 1);
    await target.sync();
    assert.deepEqual(rewritten, [101]);
    for (const index of [100, 101, 102])
      assert.ok(blocks.get(index)?.equals(bytesAt(medium, index * BLOCK, BLOCK)), `block ${index}`);
    // It is not read again.
    damage(100 * BLOCK, 1);
    await write(103);
    await target.sync();
    assert.deepEqual(rewritten, [101]);
  });

  test(`a block of ${kind} that differs again fails with its range`, options, async (t) => {
    const { target, damage, write, rewritten } = await open(t);
    await write(100, 101);
    damage(101 * BLOCK + 5, 2);
    const failure = {
      class: 'integrity',
      code: 'TARGET_DAMAGED',
      message: new RegExp(`bytes ${101 * BLOCK}-${102 * BLOCK} differ`),
    };
    await assert.rejects(target.sync(), failure);
    assert.deepEqual(rewritten, [101]);
    // What was not verified is not forgotten, and a later sync finds it.
    damage(100 * BLOCK, 2);
    await assert.rejects(target.sync(), { code: 'TARGET_DAMAGED' });
  });

  test(`more blocks of ${kind} than fit in memory are read back without a sync`, options, async (t) => {
    const { target, damage, write, rewritten } = await open(t);
    damage(100 * BLOCK, 1);
    for (let at = 0; at < 4_096; at += 64)
      await write(...Array.from({ length: 64 }, (_, index) => 100 + at + index));
    assert.deepEqual(rewritten, [100]);
    await target.sync();
  });
}

test('zeros of a device must read as zeros', needsLoop, async (t) => {
  const { target, medium, damage } = await devicePlace(t);
  await target.zero(100 * BLOCK, 50 * BLOCK);
  damage(120 * BLOCK + 7, 1);
  await target.sync();
  assert.equal(bytesAt(medium, 120 * BLOCK + 7, 1)[0], 0);
  await target.zero(100 * BLOCK, 50 * BLOCK);
  damage(149 * BLOCK, 2);
  await assert.rejects(target.sync(), { message: new RegExp(`bytes ${149 * BLOCK}-${150 * BLOCK} differ`) });
});

test('zeros of a file must read as zeros, and its holes are not read', async (t) => {
  const { target, medium, damage } = await filePlace(t);
  await target.zero(0, GIB);
  damage(120 * BLOCK + 7, 1);
  // Nothing was written there, so nothing can be written again.
  await assert.rejects(target.sync(), { message: new RegExp(`bytes ${120 * BLOCK}-${121 * BLOCK} differ`) });
  assert.equal(bytesAt(medium, 120 * BLOCK + 7, 1)[0], 1);
});

test('the first and the last blocks of a device are read back after the commit', needsLoop, async (t) => {
  const { target, medium, blocks, damageAtCommit, write } = await devicePlace(t);
  assert.deepEqual(await write(0, 1, LAST), ['held', 'held', 'held']);
  damageAtCommit(9, 1);
  await target.commit();
  for (const index of [0, 1, LAST])
    assert.ok(blocks.get(index)?.equals(bytesAt(medium, index * BLOCK, BLOCK)), `block ${index}`);
});

test('a first block that differs again after the commit fails', needsLoop, async (t) => {
  const { target, damageAtCommit, write } = await devicePlace(t);
  await write(0, LAST);
  damageAtCommit(9, 2);
  await assert.rejects(target.commit(), {
    code: 'TARGET_DAMAGED',
    message: new RegExp(`bytes 0-${BLOCK} differ`),
  });
});

test('the commit reads back what no sync has', async (t) => {
  const { target, damage, write, rewritten } = await filePlace(t);
  await write(3);
  damage(3 * BLOCK, 2);
  await assert.rejects(target.commit(), { code: 'TARGET_DAMAGED' });
  assert.deepEqual(rewritten, [3]);
});
