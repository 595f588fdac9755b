/** Whatever stands still, a transfer ends: by an abort, by its deadline, or by repeating what stalled. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { EC2Client } from '@aws-sdk/client-ec2';
import { connectEbs } from '../../src/ebs/connect.ts';
import { SdkEbsApi } from '../../src/ebs/sdk-api.ts';
import { downloadSnapshot, type TransferEvent, uploadSnapshot, waitForSnapshot } from '../../src/index.ts';
import { firstWrongBlock, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { Stage } from './stage.ts';

const BLOCK = 16_384;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'not-a-secret-but-long-enough-to-look-like-one' };
const hanging = () => new Promise<never>(() => {});

describe('what stands still', { concurrency: 4 }, () => {
  test('a download into a stream that takes nothing more settles after an abort', async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks: randomBlocks(numbers(40), [], BLOCK),
    });
    const stop = new AbortController();
    let chunks = 0;
    const target = new Writable({
      write: (_chunk, _encoding, done) => {
        if (++chunks < 5) done();
        else stop.abort();
      },
    });
    const run = downloadSnapshot({ snapshotId, target, signal: stop.signal, ...service });
    await assert.rejects(run, { class: 'aborted' });
    assert.ok(target.destroyed);
  });

  test('a download into a stream that takes nothing more settles when the service fails', async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks: randomBlocks(numbers(40), [], BLOCK),
    });
    const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 30, action }]);
    const target = new Writable({ write: () => {} });
    const run = downloadSnapshot({ snapshotId, target, workers: 40, ...service });
    await assert.rejects(run, { class: 'config', code: 'ACCESS_DENIED' });
  });

  test('an upload from a stream that gives nothing more settles after an abort, and deletes its snapshot', async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const stop = new AbortController();
    let given = false;
    const source = new Readable({
      read() {
        if (given) return;
        given = true;
        this.push(randomBytes(3 * BLOCK));
      },
    });
    const { events, onEvent } = recorder();
    const run = uploadSnapshot({
      source,
      volumeSizeGiB: 1,
      onFailure: 'delete',
      signal: stop.signal,
      onEvent,
      ...service,
    });
    const ended = assert.rejects(run, { class: 'aborted' });
    await until(() => events.some(({ type }) => type === 'start'));
    stop.abort();
    await ended;
    assert.equal(emulator.requests('DeleteSnapshot').length, 1);
    assert.ok(events.some((event) => event.type === 'warning' && event.code === 'SNAPSHOT_DELETED'));
  });

  test('a wait ends at its timeout though the credentials never come', async () => {
    const ec2Client = new EC2Client({ region: 'us-east-1', credentials: hanging });
    await assert.rejects(waitForSnapshot({ snapshotId: 'snap-1', timeoutMs: 500, ec2Client }), {
      class: 'gave-up',
      code: 'WAIT_TIMED_OUT',
      message: 'snap-1 has not been described after 1 s',
    });
  });

  test('credentials that never come end a transfer with the retry time', async () => {
    const ebsClient = new EBSClient({ region: 'us-east-1', credentials: hanging });
    const run = downloadSnapshot({ snapshotId: 'snap-1', target: '/dev/null', ebsClient, retryForMs: 0 });
    await assert.rejects(run, { class: 'gave-up', code: 'STALLED', message: /no region and credentials/ });
  });

  for (const transport of ['fast', 'sdk'] as const) {
    test(`credentials that hang when they are renewed end a transfer with the retry time, over ${transport}`, async (t) => {
      const { emulator, service } = await startService(t, { blockSize: BLOCK });
      const blocks = randomBlocks(numbers(40), [], BLOCK);
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      const action = { type: 'error', status: 403, code: 'ExpiredTokenException' } as const;
      emulator.setFaults([{ operation: 'GetSnapshotBlock', nth: 10, action }]);
      let calls = 0;
      const credentials = async () => (++calls === 1 ? keys : hanging());
      const ebsClient = new EBSClient({ ...service, credentials });
      const target = join(scratch(t), 'disk.img');
      const run = downloadSnapshot({ ...service, snapshotId, target, ebsClient, transport, retryForMs: 0 });
      await assert.rejects(run, { class: 'gave-up', code: 'CREDENTIALS_EXPIRED' });
    });
  }

  test('a retry time of 12 s bounds a service that never answers', async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0], [], BLOCK) });
    emulator.setFaults([{ operation: 'GetSnapshotBlock', action: { type: 'stall' } }]);
    const target = join(scratch(t), 'disk.img');
    const started = performance.now();
    await assert.rejects(downloadSnapshot({ snapshotId, target, retryForMs: 12_000, ...service }), {
      class: 'gave-up',
      code: 'STALLED',
      message: /no data sent or received for 12 s; nothing succeeded for .* \(1 attempt\)$/,
    });
    assert.ok(performance.now() - started >= 12_000);
  });

  test('a TLS handshake that hangs ends with the time to connect, for requests of the SDK too', async (t) => {
    const server = createServer(() => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    process.env.AWS_ACCESS_KEY_ID ??= keys.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY ??= keys.secretAccessKey;
    const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const deadlines = { connectMs: 300, idleMs: 3_600_000 };
    const api = new SdkEbsApi(await connectEbs({ endpoint, region: 'us-east-1' }, 1, deadlines));
    t.after(() => api.close());
    await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), {
      class: 'transient',
      code: 'STALLED',
      message: /no connection within 0\.3 s/,
    });
  });

  test('one reply that stalls and one that drips are repeated on new connections while the others arrive', async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const blocks = randomBlocks(numbers(200), [], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    emulator.setFaults([
      { operation: 'GetSnapshotBlock', block: 20, first: 1, action: { type: 'stall', at: 'body' } },
      { operation: 'GetSnapshotBlock', block: 21, first: 1, action: { type: 'stall' } },
      { operation: 'GetSnapshotBlock', block: 22, first: 1, action: { type: 'drip', bytesPerSecond: 8 } },
    ]);
    const target = join(scratch(t), 'disk.img');
    const { events, onEvent } = recorder();
    const options = { workers: 16, onEvent, ...service };
    const { elapsedMs } = await downloadSnapshot({ snapshotId, target, ...options });
    const retries = events.flatMap((event) => (event.type === 'retry' ? [event.message] : []));
    assert.equal(retries.length, 3);
    // The deadline for a connection that is alone is 60 s.
    for (const message of retries)
      assert.match(message, /no data sent or received for 10 s, unlike on other connections$/);
    assert.ok(elapsedMs >= 10_000, `${elapsedMs} ms`);
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  });
});

const failingListeners = {
  throws: (error: Error) => {
    throw error;
  },
  rejects: (error: Error) => Promise.reject(error),
};

for (const [how, fail] of Object.entries(failingListeners)) {
  for (const type of ['start', 'progress', 'retry', 'phase', 'done'] as const) {
    test(`a listener that ${how} at a ${type} event ends a download with its own error`, async (t) => {
      const { emulator, service } = await startService(t, { blockSize: BLOCK });
      const blocks = randomBlocks(numbers(20), [], BLOCK);
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      emulator.setFaults([{ operation: 'GetSnapshotBlock', nth: 3, action: { type: 'drop' } }]);
      const mine = new Error('mine');
      const seen: string[] = [];
      const onEvent = (event: TransferEvent) => {
        seen.push(event.type);
        return event.type === type ? fail(mine) : undefined;
      };
      const target = join(scratch(t), 'disk.img');
      await assert.rejects(
        downloadSnapshot({ snapshotId, target, onEvent, ...service }),
        (error) => error === mine,
      );
      assert.equal(seen.at(-1), type, 'it was called again');
    });
  }
}

test('a listener that throws during an upload keeps the snapshot for the next run', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const source = join(scratch(t), 'source.img');
  writeFileSync(source, randomBytes(20 * BLOCK));
  const mine = new Error('mine');
  const onEvent = (event: TransferEvent) => {
    if (event.type === 'progress') throw mine;
  };
  await assert.rejects(uploadSnapshot({ source, onEvent, ...service }), (error) => error === mine);
  await uploadSnapshot({ source, ...service });
  assert.equal(new Set(emulator.requests('PutSnapshotBlock').map(({ snapshotId }) => snapshotId)).size, 1);
});

describe('a process that does not run', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.open();
  });
  after(() => stage.close());

  test('the time in which a run is stopped does not count as time without success', async (t) => {
    const action = { type: 'error', status: 503, code: 'ServiceUnavailable' } as const;
    stage.emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
    const target = join(scratch(t), 'disk.img');
    const running = stage.download(target, ['--retry-for', '6s']);
    const ended = running.ended();
    await stage.request('GetSnapshotBlock', 2, ended);
    await running.whilePaused(() => new Promise((resolve) => setTimeout(resolve, 9_000)));
    stage.emulator.setFaults([]);
    const { end, stderr } = await ended;
    assert.equal(end, 0, stderr);
    await stage.assertImage(target);
  });
});
