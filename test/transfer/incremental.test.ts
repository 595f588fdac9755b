import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, type UploadOptions, uploadSnapshot } from '../../src/index.ts';
import { firstWrongBlock, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';

const BLOCK = 524_288;
const LAST = GIB / BLOCK - 1;

/** The blocks of an image, zeros elsewhere. */
type Blocks = Map<number, Buffer>;

interface Parts {
  readonly emulator: Emulator;
  readonly service: { endpoint: string; region: string };
  readonly directory: string;
  readonly parent: string;
  readonly parentBlocks: Blocks;
  readonly source: string;
  readonly blocks: Blocks;
  /** Blocks that differ, ascending. */
  readonly differing: number[];
}

/** A parent with data and listed zeros, and a source with the same, changed, new, zeroed and no blocks. */
async function makeParts(t: TestContext, options: { encrypted?: boolean } = {}): Promise<Parts> {
  const { emulator, service } = await startService(t, { pageSize: 100 });
  const directory = scratch(t);
  const parentBlocks = randomBlocks([0, 1, 5, 100, 101, 500, 900, LAST], [7, 8, 9]);
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: parentBlocks, ...options });
  const blocks: Blocks = new Map([...parentBlocks, ...randomBlocks([5, 8, 200, 201])]);
  // Zeros over data.
  for (const zero of [100, 900]) blocks.set(zero, Buffer.alloc(BLOCK));
  const source = join(directory, 'disk.img');
  writeImage(source, blocks);
  return {
    emulator,
    service,
    directory,
    parent,
    parentBlocks,
    source,
    blocks,
    differing: [5, 8, 100, 200, 201, 900],
  };
}

/** Zero blocks become holes. */
function writeImage(path: string, blocks: Blocks, size = GIB): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  for (const [block, data] of blocks)
    if (data.some((byte) => byte !== 0)) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
}

const incremental = ({ source, parent, service }: Parts): UploadOptions => ({
  source,
  parentSnapshotId: parent,
  incremental: true,
  ...service,
});

const putBlocks = ({ emulator }: Parts) =>
  emulator
    .requests('PutSnapshotBlock')
    .map(({ blockIndex }) => blockIndex!)
    .sort((a, b) => a - b);

const fetched = ({ emulator, parent }: Parts) =>
  emulator
    .requests('GetSnapshotBlock')
    .filter(({ snapshotId }) => snapshotId === parent)
    .map(({ blockIndex }) => blockIndex!)
    .sort((a, b) => a - b);

async function assertChild({ emulator, blocks, parent }: Parts, snapshotId: string): Promise<void> {
  const child = emulator.snapshot(snapshotId);
  assert.deepEqual([child?.status, child?.parentSnapshotId], ['completed', parent]);
  assert.equal(await firstWrongBlock(await emulator.readImage(snapshotId), blocks, GIB), undefined);
}

/** The three kinds of base. */
const bases = {
  'the service': async () => ({}),
  'an image': async (parts: Parts) => {
    const base = join(parts.directory, 'parent.img');
    writeImage(base, parts.parentBlocks);
    return { base };
  },
  'a digest file': async (parts: Parts) => {
    const base = join(parts.directory, 'parent.digests');
    const target = join(parts.directory, 'downloaded.img');
    await downloadSnapshot({ snapshotId: parts.parent, target, saveDigests: base, ...parts.service });
    return { base };
  },
} as const;

for (const [name, makeBase] of Object.entries(bases)) {
  for (const detectHoles of [false, true]) {
    const holes = detectHoles ? ', with holes' : '';
    test(`only the blocks that differ are put, by ${name}${holes}`, async (t) => {
      const parts = await makeParts(t);
      const base = await makeBase(parts);
      parts.emulator.clearLog();
      const { events, onEvent } = recorder();
      const result = await uploadSnapshot({ ...incremental(parts), ...base, detectHoles, onEvent });
      await assertChild(parts, result.snapshotId);
      assert.deepEqual(putBlocks(parts), parts.differing);
      const gets = fetched(parts);
      if (name === 'the service') assert.deepEqual(gets, [...parts.parentBlocks.keys()]);
      if (name === 'an image') assert.ok(gets.length <= 64, 'only a sample is fetched');
      if (name === 'a digest file') assert.deepEqual(gets, []);
      const { blocksTransferred, blocksSkipped, bytesDone, bytesTransferred, bytesToMove } = result;
      assert.equal(blocksTransferred, parts.differing.length);
      assert.equal(blocksSkipped, LAST + 1 - parts.differing.length);
      assert.deepEqual([bytesDone, bytesTransferred], [GIB, parts.differing.length * BLOCK]);
      assert.equal(bytesToMove, bytesTransferred);
      const saved = (blocksSkipped! * 0.006 - (name === 'the service' ? gets.length : 0) * 0.003) / 1_000;
      assert.ok(Math.abs(result.dollarsSaved! - saved) < 1e-9);
      assert.equal(events.filter(({ type }) => type === 'warning').length, 0);
    });
  }
}

test('over an encrypted parent, zeros are put where it lists nothing, and only there', async (t) => {
  const parts = await makeParts(t, { encrypted: true });
  const base = await bases['a digest file'](parts);
  parts.emulator.clearLog();
  const { snapshotId } = await uploadSnapshot({ ...incremental(parts), ...base });
  await assertChild(parts, snapshotId);
  const same = [...parts.parentBlocks.keys()].filter((block) => !parts.differing.includes(block));
  const expected = Array.from({ length: LAST + 1 }, (_, block) => block).filter(
    (block) => !same.includes(block),
  );
  assert.deepEqual(putBlocks(parts), expected);
});

test('where EC2 may not be asked, the parent counts as encrypted, with a warning', async (t) => {
  const parts = await makeParts(t);
  const denied = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  parts.emulator.setFaults([{ operation: 'DescribeSnapshots', action: denied }]);
  const controller = new AbortController();
  // One block of zeros that the parent does not list is enough.
  void parts.emulator
    .waitForRequest(({ operation, blockIndex }) => operation === 'PutSnapshotBlock' && blockIndex === 3)
    .then(() => controller.abort());
  const { events, onEvent } = recorder();
  const options = { ...incremental(parts), onEvent, signal: controller.signal };
  await assert.rejects(uploadSnapshot(options), { class: 'aborted' });
  const [warning] = events.filter((event) => event.type === 'warning');
  assert.deepEqual([warning?.code, warning?.message.includes(parts.parent)], ['NOT_DESCRIBED', true]);
});
