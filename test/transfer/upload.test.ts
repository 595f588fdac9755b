import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { ColdsnapError, listPendingSnapshots, uploadSnapshot } from '../../src/index.ts';
import { BLOCK, bytesAt, GIB, recorder, scratch, startService } from '../support/service.ts';

/** A block size for tests that move many images. */
const SMALL = 65_536;

/** An image of `length` bytes with data at the given blocks, and holes elsewhere. */
function sparseImage(
  path: string,
  length: number,
  data: ReadonlyMap<number, Buffer>,
  blockSize = BLOCK,
): string {
  const file = openSync(path, 'w');
  ftruncateSync(file, length);
  for (const [block, bytes] of data)
    writeSync(file, bytes, 0, Math.min(bytes.length, length - block * blockSize), block * blockSize);
  closeSync(file);
  return path;
}

test('announces the snapshot before the first put and completes it with count and LINEAR checksum', async (t) => {
  const { emulator, service } = await startService(t);
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(9 * BLOCK + 5));
  let putsAtAnnouncement = -1;
  const { snapshotId } = await uploadSnapshot({
    source,
    ...service,
    onEvent: (event) => {
      if (event.type === 'snapshot') putsAtAnnouncement = emulator.requests('PutSnapshotBlock').length;
    },
  });
  assert.equal(putsAtAnnouncement, 0);
  const [completion] = emulator.requests('CompleteSnapshot');
  assert.equal(completion?.headers['x-amz-changedblockscount'], '10');
  assert.equal(completion?.headers['x-amz-checksum-aggregation-method'], 'LINEAR');
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  assert.equal(emulator.snapshot(snapshotId)?.description, 'disk.img');
});

test('warns of a snapshot whose start was not answered, unless its request was never sent', async (t) => {
  const { emulator, service } = await startService(t);
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(BLOCK));
  emulator.setFaults([{ operation: 'StartSnapshot', action: { type: 'drop' } }]);
  for (const [endpoint, code, warned] of [
    [service.endpoint, 'CONNECTION_LOST', ['SNAPSHOT_MAYBE_LEFT']],
    ['http://127.0.0.1:9', 'ENDPOINT_UNREACHABLE', []],
  ] as const) {
    const { events, onEvent } = recorder();
    const options = { source, ...service, endpoint, retryForMs: 300, onEvent, checkpoint: false };
    await assert.rejects(uploadSnapshot(options), { code });
    assert.deepEqual(
      events.flatMap((event) => (event.type === 'warning' ? [event.code] : [])),
      warned,
    );
  }
});

test('counts the zeros that it sends, and those that it skips', async (t) => {
  const { emulator, service } = await startService(t);
  const source = sparseImage(join(scratch(t), 'disk.img'), 20 * BLOCK, new Map([[3, randomBytes(BLOCK)]]));
  const parentSnapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  for (const [options, sent] of [
    [{}, 20],
    [{ omitZeroBlocks: true }, 1],
    [{ detectHoles: true }, 1],
    [{ parentSnapshotId }, GIB / BLOCK],
    [{ encrypted: true }, 20],
  ] as const) {
    const { bytesZero, blocksTransferred } = await uploadSnapshot({ source, ...options, ...service });
    assert.deepEqual([bytesZero, blocksTransferred], [GIB - BLOCK, sent], JSON.stringify(options));
  }
});

test('omits zero blocks only on request, and does not count them', async (t) => {
  const { emulator, service } = await startService(t);
  const source = sparseImage(
    join(scratch(t), 'disk.img'),
    20 * BLOCK,
    new Map([
      [3, randomBytes(BLOCK)],
      [19, randomBytes(BLOCK)],
    ]),
  );
  const { snapshotId } = await uploadSnapshot({ source, omitZeroBlocks: true, ...service });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [3, 19]);
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
});

test('skips only holes with hole detection, and sends written zeros', async (t) => {
  const { emulator, service } = await startService(t);
  const source = sparseImage(
    join(scratch(t), 'disk.img'),
    20 * BLOCK,
    new Map([
      [3, randomBytes(BLOCK)],
      [7, Buffer.alloc(BLOCK)],
    ]),
  );
  const { snapshotId } = await uploadSnapshot({ source, detectHoles: true, ...service });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [3, 7]);
});

test('uploads a stream as it arrives and sends nothing beyond its end', async (t) => {
  const { emulator, service } = await startService(t);
  const image = randomBytes(5 * BLOCK + 77);
  const chunks = Array.from({ length: 60 }, (_, at) => image.subarray(at * 50_000, (at + 1) * 50_000)).filter(
    (chunk) => chunk.length > 0,
  );
  const { snapshotId } = await uploadSnapshot({
    source: Readable.from(chunks),
    volumeSizeGiB: 2,
    ...service,
  });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [0, 1, 2, 3, 4, 5]);
  assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
});

test('counts all of the volume as done when a stream ends early, with and without a parent', async (t) => {
  const { emulator, service } = await startService(t);
  const parentSnapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: new Map([[2047, randomBytes(BLOCK)]]),
  });
  for (const parent of [{}, { parentSnapshotId }]) {
    const source = Readable.from([randomBytes(3 * BLOCK)], { objectMode: false });
    const { bytesDone, bytesTotal, bytesSkipped, bytesTransferred, bytesToMove, bytesToMoveKnown } =
      await uploadSnapshot({ source, volumeSizeGiB: 1, ...parent, ...service });
    assert.deepEqual([bytesDone, bytesTotal], [GIB, GIB]);
    assert.deepEqual([bytesToMove, bytesToMoveKnown], [bytesTransferred, true]);
    assert.equal(bytesTransferred + bytesSkipped, GIB);
    if ('parentSnapshotId' in parent) assert.equal(bytesTransferred, GIB);
  }
});

test('starts no snapshot for a stream that is empty or aborted before its first byte', async (t) => {
  const { emulator, service } = await startService(t);
  await assert.rejects(uploadSnapshot({ source: Readable.from([]), volumeSizeGiB: 1, ...service }), {
    code: 'SOURCE_EMPTY',
    class: 'usage',
  });
  const source = new Readable({ read() {} });
  const controller = new AbortController();
  const upload = uploadSnapshot({ source, volumeSizeGiB: 1, signal: controller.signal, ...service });
  setImmediate(() => controller.abort());
  await assert.rejects(upload, { class: 'aborted' });
  assert.ok(source.destroyed);
  assert.deepEqual(emulator.log, []);
});

test('refuses contradictory and impossible options before opening or requesting anything', async (t) => {
  const { emulator, service } = await startService(t);
  const source = '/nonexistent/image';
  const long = 'x'.repeat(256);
  const bad: [object, string][] = [
    [{ parentSnapshotId: 'snap-1', encrypted: true }, 'PARENT_WITH_ENCRYPTION'],
    [{ parentSnapshotId: 'snap-1', kmsKeyId: 'alias/a' }, 'PARENT_WITH_ENCRYPTION'],
    [{ omitZeroBlocks: true, encrypted: true }, 'OMIT_WITH_ENCRYPTION'],
    [{ omitZeroBlocks: true, kmsKeyId: 'alias/a' }, 'OMIT_WITH_ENCRYPTION'],
    [{ omitZeroBlocks: true, parentSnapshotId: 'snap-1' }, 'OMIT_WITH_PARENT'],
    [{ volumeSizeGiB: 0 }, 'BAD_VOLUME_SIZE'],
    [{ volumeSizeGiB: 65_537 }, 'BAD_VOLUME_SIZE'],
    [{ description: long }, 'BAD_DESCRIPTION'],
    [{ tags: [{ key: '', value: '' }] }, 'BAD_TAG'],
    [{ tags: [{ key: long, value: '' }] }, 'BAD_TAG'],
    [{ tags: [{ key: 'k', value: long }] }, 'BAD_TAG'],
    [{ tags: [{ key: 'aws:x', value: '' }] }, 'BAD_TAG'],
    [
      {
        tags: [
          { key: 'k', value: '1' },
          { key: 'k', value: '2' },
        ],
      },
      'BAD_TAG',
    ],
    [{ tags: Array.from({ length: 51 }, (_, at) => ({ key: `k${at}`, value: '' })) }, 'BAD_TAG'],
    [{ parentSnapshotId: 'nonsense' }, 'BAD_SNAPSHOT_ID'],
    [{ workers: 0 }, 'BAD_WORKERS'],
    [{ wait: { desiredStatus: 'ready' } }, 'BAD_WAIT_OPTION'],
  ];
  for (const [options, code] of bad)
    await assert.rejects(uploadSnapshot({ source, ...options, ...service }), { code }, code);
  assert.equal(emulator.log.length, 0);
});

test('refuses a source that is too large, missing, empty or a directory without a request', async (t) => {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const large = sparseImage(join(directory, 'large'), GIB + 1, new Map());
  await assert.rejects(uploadSnapshot({ source: large, volumeSizeGiB: 1, ...service }), {
    code: 'VOLUME_TOO_SMALL',
  });
  writeFileSync(join(directory, 'empty'), '');
  for (const source of ['missing', 'empty', '.']) {
    await assert.rejects(
      uploadSnapshot({ source: join(directory, source), ...service }),
      { name: 'ColdsnapError' },
      source,
    );
  }
  assert.equal(emulator.log.length, 0);
});

test('deletes the snapshot before the first put when zeros are omitted but the account encrypts by default', async (t) => {
  const { emulator, service } = await startService(t, { encryptedByDefault: true });
  const source = sparseImage(join(scratch(t), 'disk.img'), 4 * BLOCK, new Map([[1, randomBytes(BLOCK)]]));
  await assert.rejects(uploadSnapshot({ source, omitZeroBlocks: true, ...service }), {
    class: 'refused',
    code: 'OMIT_WITH_ENCRYPTION',
  });
  assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
  assert.equal(emulator.requests('DeleteSnapshot').filter((request) => request.status === 200).length, 1);
});

for (const [what, change] of [
  ['shrinks', (path: string) => truncateSync(path, BLOCK)],
  ['grows', (path: string) => appendFileSync(path, 'more')],
  ['is written to', (path: string) => writeFileSync(path, randomBytes(64 * BLOCK))],
] as const) {
  test(`fails and deletes the snapshot when the source ${what} during the upload`, async (t) => {
    const { emulator, service } = await startService(t);
    const source = join(scratch(t), 'disk.img');
    writeFileSync(source, randomBytes(64 * BLOCK));
    const running = uploadSnapshot({ source, workers: 1, ...service });
    running.catch(() => {});
    await emulator.waitForRequest(
      (request) => request.operation === 'PutSnapshotBlock' && request.blockIndex === 3,
    );
    change(source);
    await assert.rejects(running, { code: 'SOURCE_CHANGED' });
    assert.equal(emulator.requests('CompleteSnapshot').length, 0);
    assert.equal(emulator.requests('DeleteSnapshot').length, 1);
  });
}

test('warns of the unfinished snapshot, and puts only the rest into it in the next run', async (t) => {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const source = join(directory, 'disk.img');
  const image = randomBytes(64 * BLOCK);
  writeFileSync(source, image);
  const controller = new AbortController();
  const { events, onEvent } = recorder();
  const running = uploadSnapshot({ source, workers: 2, signal: controller.signal, onEvent, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(
    (request) => request.operation === 'PutSnapshotBlock' && request.blockIndex === 40,
  );
  controller.abort();
  await assert.rejects(running, { class: 'aborted' });
  const announced = events.find((event) => event.type === 'snapshot');
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'SNAPSHOT_LEFT'));
  emulator.clearLog();
  const { snapshotId } = await uploadSnapshot({ source, ...service });
  assert.equal(snapshotId, announced?.snapshotId);
  assert.ok(
    emulator.requests('PutSnapshotBlock').length <= 27,
    `${emulator.requests('PutSnapshotBlock').length} puts`,
  );
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

/** Uploads an image, one block of which is denied, then another one from the same file. */
async function changeAfterFailure(t: TestContext, blocks: number, denied: number) {
  const { emulator, service } = await startService(t);
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(blocks * BLOCK));
  emulator.setFaults([
    {
      operation: 'PutSnapshotBlock',
      block: denied,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const failed = await uploadSnapshot({ source, ...service }).catch((error: unknown) => error);
  assert.ok(failed instanceof ColdsnapError && failed.code === 'ACCESS_DENIED');
  emulator.setFaults([]);
  const image = randomBytes(blocks * BLOCK);
  writeFileSync(source, image);
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ source, onEvent, ...service });
  assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  return {
    isOther: snapshotId !== failed.snapshotId,
    warning: events.find(({ type }) => type === 'warning'),
  };
}

test('ignores the journal of a source that changed and names its snapshot', async (t) => {
  // More blocks than the 64 requests in flight: some are accepted before the one that is denied is sent.
  const { isOther, warning } = await changeAfterFailure(t, 72, 70);
  assert.ok(isOther);
  assert.match(warning?.type === 'warning' ? warning.message : '', /source has changed.*snap-/);
});

test('resumes the snapshot of a source that changed before any of it was put', async (t) => {
  const { isOther, warning } = await changeAfterFailure(t, 1, 0);
  assert.ok(!isOther);
  assert.equal(warning, undefined);
});

test('deletes the snapshot after a failure on request', async (t) => {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const source = join(directory, 'disk.img');
  writeFileSync(source, randomBytes(4 * BLOCK));
  emulator.setFaults([
    {
      operation: 'PutSnapshotBlock',
      block: 2,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  await assert.rejects(uploadSnapshot({ source, onFailure: 'delete', ...service }), {
    code: 'ACCESS_DENIED',
  });
  assert.equal(emulator.requests('DeleteSnapshot').length, 1);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('recovers from lost replies and transient faults of every call, and counts each block once', async (t) => {
  // The first put does not find the snapshot, and after the completion the first list does not.
  let now = Date.now();
  const { emulator, service } = await startService(t, {
    notVisibleMs: 200,
    now: () => now,
    onRequest: ({ operation, fault }) => {
      if (operation !== 'StartSnapshot' && fault === undefined) now += 200;
    },
  });
  const source = join(scratch(t), 'disk.img');
  const image = randomBytes(8 * BLOCK);
  writeFileSync(source, image);
  const put = 'PutSnapshotBlock';
  emulator.setFaults([
    { operation: 'StartSnapshot', first: 1, action: { type: 'drop', executed: true } },
    { operation: put, block: 0, first: 1, action: { type: 'drop', executed: true } },
    {
      operation: put,
      block: 1,
      first: 2,
      action: {
        type: 'error',
        status: 400,
        code: 'RequestThrottledException',
        reason: 'RESOURCE_LEVEL_THROTTLE',
      },
    },
    { operation: put, block: 2, first: 1, action: { type: 'html' } },
    {
      operation: put,
      block: 3,
      first: 1,
      action: {
        type: 'error',
        status: 400,
        code: 'ValidationException',
        message: 'Failed to read block data',
      },
    },
    { operation: put, block: 4, first: 1, action: { type: 'close' } },
    { operation: 'CompleteSnapshot', first: 1, action: { type: 'drop', executed: true } },
  ]);
  const { snapshotId } = await uploadSnapshot({ source, ...service });
  assert.equal(new Set(emulator.requests('StartSnapshot').map((request) => request.snapshotId)).size, 1);
  assert.ok(emulator.requests(put).some(({ errorReason }) => errorReason === 'SNAPSHOT_NOT_FOUND'));
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
});

test('uploads without the marker tag where tagging is denied and the user set no tags', async (t) => {
  const { emulator, service } = await startService(t);
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(BLOCK));
  emulator.setFaults([
    {
      operation: 'StartSnapshot',
      first: 1,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const { snapshotId } = await uploadSnapshot({ source, ...service });
  assert.deepEqual(emulator.snapshot(snapshotId)?.tags, {});
});

test('resumes the snapshot of an upload that never received the reply to its start', async (t) => {
  const { emulator, service } = await startService(t);
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(2 * BLOCK));
  emulator.setFaults([{ operation: 'StartSnapshot', action: { type: 'drop', executed: true } }]);
  const { events, onEvent } = recorder();
  await assert.rejects(uploadSnapshot({ source, retryForMs: 0, onEvent, ...service }), { class: 'gave-up' });
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'SNAPSHOT_MAYBE_LEFT'));
  emulator.setFaults([]);
  const left = await listPendingSnapshots({ ...service });
  const { snapshotId } = await uploadSnapshot({ source, ...service });
  assert.deepEqual(
    left.map((snapshot) => snapshot.snapshotId),
    [snapshotId],
  );
});

test('names a rejected KMS key or an unknown parent and starts no snapshot', async (t) => {
  const { emulator, service } = await startService(t, {
    knownKmsKeys: ['arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000001'],
  });
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(BLOCK));
  const kmsKeyId = 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000002';
  for (const refused of [{ kmsKeyId }, { parentSnapshotId: 'snap-0123456789abcdef0' }]) {
    await assert.rejects(uploadSnapshot({ source, ...refused, ...service }), (error: ColdsnapError) => {
      assert.match(`${error.class}`, /permanent|config/);
      assert.equal(error.operation, 'StartSnapshot');
      assert.ok(
        Object.values(refused).every((named) => error.message.includes(named)),
        error.message,
      );
      return true;
    });
  }
  assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
  assert.deepEqual(await listPendingSnapshots({ ...service }), []);
});

test('warns of omitted zeros, but not of skipped holes', async (t) => {
  const { service } = await startService(t, { blockSize: SMALL });
  const source = sparseImage(
    join(scratch(t), 'disk.img'),
    4 * SMALL,
    new Map([[1, randomBytes(SMALL)]]),
    SMALL,
  );
  const warnings = async (options: object) => {
    const { events, onEvent } = recorder();
    await uploadSnapshot({ source, onEvent, ...service, ...options });
    return events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  };
  const [warning, ...more] = await warnings({ omitZeroBlocks: true });
  assert.match(warning ?? '', /zeros are omitted.*encrypted, they read as random data/);
  assert.deepEqual(more, []);
  assert.deepEqual(await warnings({ detectHoles: true }), []);
  assert.deepEqual(await warnings({}), []);
});

test('keeps the snapshot alive through a long run of omitted zeros', async (t) => {
  let now = Date.now();
  const blockSize = 512;
  const { emulator, service } = await startService(t, { blockSize, now: () => now });
  // More than a day of zeros; without a put for a day, the snapshot is cancelled.
  const chunks = 40;
  const chunk = Buffer.alloc(2 ** 18);
  const slowly = function* () {
    yield randomBytes(blockSize);
    for (let count = 0; count < chunks; count++) {
      now += 40 * 60_000;
      yield chunk;
    }
    yield randomBytes(blockSize);
  };
  const source = Readable.from(slowly(), { objectMode: false });
  const { snapshotId, status } = await uploadSnapshot({
    source,
    volumeSizeGiB: 1,
    omitZeroBlocks: true,
    wait: { successesRequired: 1, secondsBetweenAttempts: 0 },
    ...service,
  });
  const last = 1 + (chunks * chunk.length) / blockSize;
  assert.equal(status, 'completed');
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [0, 16_383, last]);
});

test('an upload that is interrupted while its snapshot is being completed does not call it unfinished', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: 2 ** 22 });
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(2 ** 20));
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ operation }) => operation === 'CompleteSnapshot')
    .then(() => controller.abort());
  emulator.setFaults([{ operation: 'CompleteSnapshot', action: { type: 'stall', executed: true } }]);
  const { events, onEvent } = recorder();
  await assert.rejects(uploadSnapshot({ source, ...service, onEvent, signal: controller.signal }), {
    class: 'aborted',
  });
  const warned = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  const [{ snapshotId = '' } = {}] = emulator.requests('CompleteSnapshot');
  assert.deepEqual(warned, [
    `Snapshot ${snapshotId} may be completed already. Run the same command again to find out, and to finish it if it is not.`,
  ]);
  emulator.setFaults([]);
  assert.equal((await uploadSnapshot({ source, ...service })).snapshotId, snapshotId);
});
