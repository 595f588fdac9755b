/** Each operation without faults, over every stack. The emulator verifies every signature. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { version } from '../../src/version.ts';
import {
  BLOCK,
  connect,
  getsBlock,
  sha256,
  stacks,
  storedBlock,
  withBlock,
  withPending,
} from './contract.ts';

for (const stack of stacks) {
  const says = (sentence: string) => `${stack.name}: ${sentence}`;

  test(says('a list has pages with sizes and tokens, and starts at the requested position'), async (t) => {
    const { api, emulator } = await connect(t, stack, { emulator: { pageSize: 2 } });
    const blocks = Object.fromEntries([3, 4, 9].map((index) => [index, randomBytes(BLOCK)]));
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 2, blocks });
    const first = await api.listSnapshotBlocks({ snapshotId });
    assert.deepEqual(
      [first.volumeSizeGiB, first.blockSize, first.blocks.map((block) => block.blockIndex)],
      [2, BLOCK, [3, 4]],
    );
    const second = await api.listSnapshotBlocks({ snapshotId, pageToken: first.nextToken as string });
    assert.deepEqual(
      second.blocks.map((block) => block.blockIndex),
      [9],
    );
    assert.equal(second.nextToken, undefined);
    const later = await api.listSnapshotBlocks({ snapshotId, startingBlockIndex: 4, maxResults: 100 });
    assert.deepEqual(
      later.blocks.map((block) => block.blockIndex),
      [4, 9],
    );
    assert.match(emulator.requests()[0]?.path ?? '', /maxResults=10000/);
  });

  test(says('changed blocks have tokens for the snapshots that hold them'), async (t) => {
    const { api, emulator } = await connect(t, stack);
    const [a, b, c] = [randomBytes(BLOCK), randomBytes(BLOCK), randomBytes(BLOCK)];
    const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: a, 2: b } });
    const child = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: c, 8: c }, parent, gone: [2] });
    const page = await api.listChangedBlocks({ firstSnapshotId: parent, secondSnapshotId: child });
    const sides = page.changedBlocks.map(({ blockIndex, firstBlockToken, secondBlockToken }) => [
      blockIndex,
      firstBlockToken !== undefined,
      secondBlockToken !== undefined,
    ]);
    assert.deepEqual(sides, [
      [1, true, true],
      [2, true, false],
      [8, false, true],
    ]);
    const changed = page.changedBlocks[2];
    const buffer = Buffer.alloc(BLOCK);
    const blockToken = changed?.secondBlockToken as string;
    await api.getSnapshotBlock({ snapshotId: child, blockIndex: 8, blockToken }, buffer);
    assert.ok(buffer.equals(c));
  });

  test(says('a block arrives in the buffer, with its length and digest'), async (t) => {
    const connected = await connect(t, stack);
    const fixture = await withBlock(connected);
    await getsBlock(connected, fixture);
    await getsBlock(connected, fixture);
    assert.equal(connected.emulator.log.length, 2);
  });

  test(says('a block of 512 KiB is received and sent like a small one'), async (t) => {
    const size = 524_288;
    const { api, emulator } = await connect(t, stack, { emulator: { blockSize: size } });
    const data = randomBytes(size);
    const { snapshotId } = await api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'x' });
    await api.putSnapshotBlock({ snapshotId, blockIndex: 2047, data, digest: sha256(data) });
    await api.completeSnapshot({ snapshotId, changedBlocksCount: 1, linearDigest: sha256(sha256(data)) });
    await emulator.waitForRequest((request) => request.operation === 'CompleteSnapshot');
    const { blocks } = await api.listSnapshotBlocks({ snapshotId });
    assert.equal(blocks.length, 1);
    const buffer = Buffer.alloc(size);
    await api.getSnapshotBlock({ snapshotId, ...blocks[0]! }, buffer);
    assert.ok(buffer.equals(data));
  });

  test(says('a snapshot is started, filled, overwritten and completed'), async (t) => {
    const connected = await connect(t, stack);
    const { api, emulator } = connected;
    const started = await api.startSnapshot({
      volumeSizeGiB: 3,
      clientToken: 'token-1',
      description: 'späce & more',
      tags: [{ key: 'Name', value: 'root disk' }],
      timeoutMinutes: 60,
    });
    const { snapshotId } = started;
    assert.deepEqual([started.blockSize, started.volumeSizeGiB, started.status], [BLOCK, 3, 'pending']);
    const again = await api.startSnapshot({
      volumeSizeGiB: 3,
      clientToken: 'token-1',
      description: 'späce & more',
      tags: [{ key: 'Name', value: 'root disk' }],
      timeoutMinutes: 60,
    });
    assert.equal(again.snapshotId, snapshotId);
    const data = randomBytes(BLOCK);
    await api.putSnapshotBlock({
      snapshotId,
      blockIndex: 0,
      data: Buffer.alloc(BLOCK),
      digest: sha256(Buffer.alloc(BLOCK)),
    });
    await api.putSnapshotBlock({ snapshotId, blockIndex: 0, data, digest: sha256(data) });
    assert.ok((await storedBlock(emulator, snapshotId, 0)).equals(data));
    const linearDigest = sha256(sha256(data));
    assert.equal(await api.completeSnapshot({ snapshotId, changedBlocksCount: 1, linearDigest }), 'pending');
    const view = emulator.snapshot(snapshotId);
    assert.deepEqual(
      [view?.description, view?.tags.Name, view?.writtenBlocks],
      ['späce & more', 'root disk', [0]],
    );
  });

  test(says('data and digest may be views into larger memory'), async (t) => {
    const connected = await connect(t, stack);
    const { api, emulator } = connected;
    const { snapshotId } = await withPending(connected);
    const slab = randomBytes(3 * BLOCK);
    const data = slab.subarray(BLOCK, 2 * BLOCK);
    const digest = Buffer.concat([Buffer.alloc(5), sha256(data), Buffer.alloc(5)]).subarray(5, 37);
    await api.putSnapshotBlock({ snapshotId, blockIndex: 3, data, digest });
    assert.ok((await storedBlock(emulator, snapshotId, 3)).equals(data));
  });

  test(says('temporary credentials are sent with their session token'), async (t) => {
    const keys = {
      accessKeyId: 'ASIAEXAMPLE',
      secretAccessKey: 'the secret of the session',
      sessionToken: 'tok/en+==',
    };
    const connected = await connect(t, stack, {
      emulator: { credentials: { ASIAEXAMPLE: keys } },
      credentials: async () => keys,
    });
    await getsBlock(connected, await withBlock(connected));
    const { block } = await withPending(connected);
    await connected.api.putSnapshotBlock(block);
  });

  test(says('every request names the program in its user agent'), async (t) => {
    const connected = await connect(t, stack);
    const { block } = await withPending(connected);
    await connected.api.putSnapshotBlock(block);
    await getsBlock(connected, await withBlock(connected));
    await connected.api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'y' });
    const agents = connected.emulator.log.map((request) => request.headers['user-agent'] ?? '');
    assert.ok(agents.length >= 2);
    for (const agent of agents) assert.ok(agent.split(' ').includes(`app/coldsnap-${version}`), agent);
  });

  test(says('a put is signed with the digest of its payload'), async (t) => {
    const connected = await connect(t, stack);
    const { block } = await withPending(connected);
    await connected.api.putSnapshotBlock(block);
    const { headers } = connected.emulator.requests('PutSnapshotBlock')[0]!;
    assert.equal(headers['x-amz-content-sha256'], Buffer.from(block.digest).toString('hex'));
    assert.equal(headers['x-amz-checksum'], Buffer.from(block.digest).toString('base64'));
    assert.equal(headers['x-amz-data-length'], String(BLOCK));
    assert.equal(headers['transfer-encoding'], undefined);
  });
}
