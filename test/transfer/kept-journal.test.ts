/** A transfer keeps its journal until the caller has the result, so that nothing is moved again to get it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { SnapshotState } from '../../src/ebs/ec2.ts';
import {
  ColdsnapError,
  copySnapshot,
  type DownloadOptions,
  type DownloadResult,
  downloadSnapshot,
  downloadToTargets,
  type UploadOptions,
  type UploadResult,
  uploadSnapshot,
} from '../../src/index.ts';
import { isAlive } from '../../src/transfer/snapshot/complete.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { startRegions } from '../support/regions.ts';
import { firstWrongBlock, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';

const BLOCK = 65_536;
const indexes = [0, 1, 700, GIB / BLOCK - 1];
/** Those of them at the start and the end of a device, which every run writes. */
const staged = 3;

async function setUpUpload(t: TestContext, completionDelayMs = 0) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK, completionDelayMs });
  const directory = scratch(t);
  const source = join(directory, 'disk.img');
  writeFileSync(source, randomBytes(3 * BLOCK));
  const upload = (options: Partial<UploadOptions> = {}) => uploadSnapshot({ source, ...service, ...options });
  const assertNothingPut = () =>
    assert.deepEqual(
      (['PutSnapshotBlock', 'CompleteSnapshot'] as const).flatMap((name) => emulator.requests(name)),
      [],
    );
  return { emulator, service, directory, source, upload, assertNothingPut };
}

test('an upload gives its result before it removes the journal', async (t) => {
  const { directory, upload } = await setUpUpload(t);
  const given: UploadResult[] = [];
  const result = await upload({
    onResult: async (made) => {
      await new Promise(setImmediate);
      assert.equal(readdirSync(directory).filter((name) => name.endsWith('.coldsnap-upload')).length, 1);
      given.push(made);
    },
  });
  assert.deepEqual(given, [result]);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('after an upload whose result could not be stored, the same call gives it and puts nothing', async (t) => {
  const { emulator, directory, upload, assertNothingPut } = await setUpUpload(t);
  const failure = new Error('the database is gone');
  let snapshotId = '';
  const onResult = (made: UploadResult) => {
    snapshotId = made.snapshotId;
    throw failure;
  };
  await assert.rejects(upload({ onResult }), failure);
  await assert.rejects(upload({ onResult: async (made) => onResult(made) }), failure);
  emulator.clearLog();
  assert.equal((await upload()).snapshotId, snapshotId);
  assertNothingPut();
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('an upload that waits for its result to be stored can be aborted', async (t) => {
  const { upload } = await setUpUpload(t);
  const controller = new AbortController();
  const onResult = () => {
    controller.abort();
    return new Promise<void>(() => {});
  };
  const aborted = upload({ onResult, signal: controller.signal });
  await assert.rejects(aborted, { code: 'ABORTED', snapshotId: /^snap-/ });
});

test('after an upload whose wait failed, the same call waits again and puts nothing', async (t) => {
  const { emulator, directory, upload, assertNothingPut } = await setUpUpload(t, 3_600_000);
  const failed = await upload({ wait: { maxAttempts: 1 } }).catch((error) => error);
  assert.equal(failed.code, 'WAIT_TIMED_OUT');
  emulator.clearLog();
  const { snapshotId } = await upload({ wait: { desiredStatus: 'pending', successesRequired: 1 } });
  assert.equal(snapshotId, failed.snapshotId);
  assertNothingPut();
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('after an upload whose wait failed and whose snapshot was deleted, the same call uploads again', async (t) => {
  const { emulator, directory, upload } = await setUpUpload(t, 3_600_000);
  const failed = await upload({ wait: { maxAttempts: 1 } }).catch((error) => error);
  // Its token still answers for a snapshot in the Recycle Bin.
  const ec2 = createServer((_request, response) => {
    const item = `<item><snapshotId>${failed.snapshotId}</snapshotId><status>recoverable</status></item>`;
    response.setHeader('content-type', 'text/xml');
    response.end(`<DescribeSnapshotsResponse><snapshotSet>${item}</snapshotSet></DescribeSnapshotsResponse>`);
  });
  await once(ec2.listen(0, '127.0.0.1'), 'listening');
  t.after(() => ec2.close());
  emulator.clearLog();
  const { port } = ec2.address() as AddressInfo;
  const { events, onEvent } = recorder();
  const { snapshotId } = await upload({ ec2Endpoint: `http://127.0.0.1:${port}`, onEvent });
  assert.notEqual(snapshotId, failed.snapshotId);
  assert.equal(emulator.requests('PutSnapshotBlock').length, 3);
  assert.ok(
    events.some(
      (event) => event.type === 'warning' && /no longer exists, or is in state "error"/.test(event.message),
    ),
  );
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('a snapshot is alive once EC2 knows it, or where EC2 may not be asked, and not when it stays unknown or has failed', async () => {
  const ask = async (answers: readonly (string | ColdsnapError | undefined)[]) => {
    let asked = 0;
    let now = 0;
    const describe = async (): Promise<SnapshotState | undefined> => {
      const state = answers[Math.min(asked++, answers.length - 1)];
      if (state instanceof Error) throw state;
      return state === undefined ? undefined : ({ state } as SnapshotState);
    };
    const pause = async (ms: number) => {
      now += ms;
    };
    const alive = await isAlive('snap-1', new AbortController().signal, {
      describe,
      now: () => now,
      pause,
    });
    return { alive, seconds: now / 1_000 };
  };
  const denied = new ColdsnapError('config', 'ACCESS_DENIED', 'no');
  assert.deepEqual(await ask(['completed']), { alive: true, seconds: 0 });
  assert.deepEqual(await ask([undefined, undefined, 'pending']), { alive: true, seconds: 4 });
  assert.deepEqual(await ask([undefined]), { alive: false, seconds: 120 });
  assert.deepEqual(await ask([undefined, denied]), { alive: true, seconds: 2 });
  assert.deepEqual(await ask([undefined, 'recoverable']), { alive: false, seconds: 2 });
  assert.deepEqual(await ask(['error']), { alive: false, seconds: 0 });
  const bad = new ColdsnapError('permanent', 'BAD_REPLY', 'no');
  await assert.rejects(ask([bad]), bad);
});

test('an upload of a source that has changed since a failed wait says that the earlier snapshot may be complete', async (t) => {
  const { source, upload } = await setUpUpload(t, 3_600_000);
  const failed = await upload({ wait: { maxAttempts: 1 } }).catch((error) => error);
  writeFileSync(source, randomBytes(3 * BLOCK));
  for (const options of [{}, { description: 'another' }]) {
    await upload({ wait: { maxAttempts: 1 } }).catch(() => {});
    const { events, onEvent } = recorder();
    const { snapshotId } = await upload({ ...options, fresh: !('description' in options), onEvent });
    assert.notEqual(snapshotId, failed.snapshotId);
    const [warning] = events.filter((event) => event.type === 'warning');
    assert.match(
      warning?.type === 'warning' ? warning.message : '',
      /The earlier snapshot snap-\w+ has everything, and may be complete; "coldsnap wait" shows whether it is\.$/,
    );
  }
});

test('an upload that makes no snapshot, because nothing has changed, gives the parent as its result', async (t) => {
  const { emulator, directory, upload } = await setUpUpload(t);
  const { snapshotId: parentSnapshotId } = await upload({ volumeSizeGiB: 1 });
  const refusal = { type: 'error', status: 400, code: 'ValidationException' } as const;
  emulator.setFaults([{ operation: 'CompleteSnapshot', action: refusal }]);
  const given: UploadResult[] = [];
  const onResult = (made: UploadResult) => void given.push(made);
  const result = await upload({ parentSnapshotId, incremental: true, onResult });
  assert.equal(result.snapshotId, parentSnapshotId);
  assert.deepEqual(given, [result]);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('after a copy whose result could not be stored, the same call gives it and puts nothing', async (t) => {
  process.env.STATE_DIRECTORY = scratch(t);
  const { source, destination, service } = await startRegions(t, { blockSize: BLOCK });
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks(indexes, [], BLOCK) });
  let copied = '';
  const failure = new Error('the database is gone');
  const onResult = (made: { snapshotId: string }) => {
    copied = made.snapshotId;
    throw failure;
  };
  await assert.rejects(copySnapshot({ ...service, snapshotId, onResult }), failure);
  destination.clearLog();
  const result = await copySnapshot({ ...service, snapshotId });
  assert.equal(result.snapshotId, copied);
  assert.deepEqual(destination.requests('PutSnapshotBlock'), []);
  assert.deepEqual(readdirSync(process.env.STATE_DIRECTORY), []);
});

/** Aborts the call when it begins to hash, and makes it again. */
async function abortHashing<Result>(
  call: (options: Pick<DownloadOptions, 'signal' | 'onEvent'>) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const onEvent: DownloadOptions['onEvent'] = (event) => {
    if (event.type === 'phase' && event.phase === 'hashing') controller.abort();
  };
  await assert.rejects(call({ signal: controller.signal, onEvent }), { code: 'ABORTED' });
  return call({});
}

test('a download that was stopped while it hashed the image is continued, and fetches nothing again', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  const { sha256 } = await abortHashing<DownloadResult>((more) =>
    downloadSnapshot({ snapshotId, target, sha256: true, ...service, ...more }),
  );
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  assert.match(sha256 ?? '', /^[\da-f]{64}$/);
  assert.equal(emulator.requests('GetSnapshotBlock').length, indexes.length);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('an incremental download that was stopped while it hashed the image is continued', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(indexes, [], BLOCK);
  const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const changed = randomBlocks([1], [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: changed, parent: since });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  await downloadSnapshot({ snapshotId: since, target, ...service });
  const { sha256 } = await abortHashing<DownloadResult>((more) =>
    downloadSnapshot({ snapshotId, since, target, sha256: true, trustBase: true, ...service, ...more }),
  );
  assert.equal(await firstWrongBlock(target, new Map([...blocks, ...changed]), GIB, BLOCK), undefined);
  assert.match(sha256 ?? '', /^[\da-f]{64}$/);
  assert.equal(emulator.requests('GetSnapshotBlock').length, indexes.length + 1);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test(
  'a download to a file and a device that was stopped while it hashed them is continued',
  needsLoop,
  async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const blocks = randomBlocks(indexes, [], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const space = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch(t);
    const { device, backing } = await space.loop({ bytes: GIB });
    const file = join(scratch(t), 'disk.img');
    const { targets } = await abortHashing((more) =>
      downloadToTargets({ snapshotId, targets: [device, file], sha256: true, ...service, ...more }),
    );
    const sha256 = targets[0]?.sha256;
    assert.match(sha256 ?? '', /^[\da-f]{64}$/);
    assert.deepEqual(targets, [
      { path: device, ok: true, sha256 },
      { path: file, ok: true, sha256 },
    ]);
    for (const image of [backing, file])
      assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined);
    assert.equal(emulator.requests('GetSnapshotBlock').length, indexes.length + staged);
    assert.deepEqual(readdirSync(process.env.STATE_DIRECTORY), []);
  },
);
