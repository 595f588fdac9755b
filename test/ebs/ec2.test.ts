import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DescribeSnapshotsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { type OpenEc2Options, openEc2, type SnapshotState } from '../../src/ebs/ec2.ts';
import type { RetryNotice } from '../../src/ebs/retry.ts';
import type { EmulatorOptions } from '../../src/emulator/index.ts';
import type { ColdsnapError } from '../../src/errors.ts';
import { startService } from '../support/service.ts';

const absent = 'snap-0123456789abcdef0';

/** Starts an emulator and connects to it. */
async function connect(
  t: TestContext,
  emulated: EmulatorOptions = {},
  options: Partial<OpenEc2Options> = {},
) {
  const { emulator, service } = await startService(t, emulated);
  const retries: RetryNotice[] = [];
  const ec2 = await openEc2({
    region: service.region,
    ec2Endpoint: emulator.url,
    onRetry: (notice) => retries.push(notice),
    ...options,
  });
  t.after(() => ec2.close());
  return { emulator, retries, states: ec2.states };
}

async function collect(list: AsyncIterable<SnapshotState>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { snapshotId } of list) ids.push(snapshotId);
  return ids;
}

test('a snapshot is described with everything that EC2 reports', async (t) => {
  const { emulator, states } = await connect(t);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 3,
    blocks: {},
    description: 'a disk & more <1>',
    tags: { Name: 'root', '': '' },
    encrypted: true,
  });
  const state = await states.describe(snapshotId);
  assert.ok(state);
  const { startTime, kmsKeyId, ...rest } = state;
  assert.deepEqual(rest, {
    snapshotId,
    state: 'completed',
    progressPercent: 100,
    volumeSizeGiB: 3,
    encrypted: true,
    description: 'a disk & more <1>',
    tags: { Name: 'root', '': '' },
  });
  assert.ok(Math.abs(startTime.getTime() - Date.now()) < 60_000);
  assert.match(kmsKeyId ?? '', /^arn:aws:kms:/);
});

test('describing an unknown snapshot returns undefined after one request', async (t) => {
  const { emulator, states } = await connect(t);
  assert.equal(await states.describe(absent), undefined);
  assert.equal(emulator.requests('DescribeSnapshots').length, 1);
});

test("a malformed ID is refused at once, with the service's message and request ID", async (t) => {
  const { states } = await connect(t);
  await assert.rejects(states.describe('vol-1'), (error: ColdsnapError) => {
    assert.equal(error.class, 'permanent');
    assert.match(error.message, /^the service refused the request: .*vol-1/);
    assert.deepEqual([error.operation, error.snapshotId], ['DescribeSnapshots', 'vol-1']);
    assert.match(error.requestId ?? '', /./);
    return true;
  });
});

test('a denied permission names the IAM action and is not retried', async (t) => {
  const error = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  const { emulator, states } = await connect(t, { faults: [{ action: error }] });
  await assert.rejects(states.describe(absent), {
    class: 'config',
    code: 'ACCESS_DENIED',
    hint: /ec2:DescribeSnapshots/,
  });
  await assert.rejects(states.delete(absent), { class: 'config', hint: /ec2:DeleteSnapshot/ });
  assert.equal(emulator.log.length, 2);
});

for (const [fault, action] of Object.entries({
  'an internal failure of the service': { type: 'error', status: 500, code: 'InternalError' },
  'an HTML page': { type: 'html', status: 502 },
  'an HTML page with status 200': { type: 'html', status: 200 },
  'a throttle': { type: 'error', status: 503, code: 'RequestLimitExceeded' },
  'a dropped connection': { type: 'drop' },
  'a reply cut short': { type: 'drop', at: 'body' },
  'XML that does not parse': { type: 'malformed-json' },
} as const)) {
  test(`${fault} is retried and reported`, async (t) => {
    const { emulator, retries, states } = await connect(t, { faults: [{ first: 1, action }] });
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    assert.equal((await states.describe(snapshotId))?.state, 'completed');
    assert.deepEqual(
      retries.map(({ operation, attempt }) => [operation, attempt]),
      [['DescribeSnapshots', 1]],
    );
  });
}

test('an abort ends a request that hangs', async (t) => {
  const { emulator, states } = await connect(t, { faults: [{ action: { type: 'stall' } }] });
  const controller = new AbortController();
  const describing = states.describe(absent, { signal: controller.signal });
  await emulator.waitForRequest(({ operation }) => operation === 'DescribeSnapshots');
  controller.abort();
  await assert.rejects(describing, { class: 'aborted' });
});

test('a deleted snapshot no longer exists', async (t) => {
  const { emulator, states } = await connect(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  await states.delete(snapshotId);
  assert.equal(emulator.snapshot(snapshotId), undefined);
});

test('a deletion is retried after a lost reply, and succeeds when the snapshot no longer exists', async (t) => {
  const { emulator, states } = await connect(t, {
    faults: [{ operation: 'DeleteSnapshot', first: 1, action: { type: 'drop', executed: true } }],
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  await states.delete(snapshotId);
  assert.deepEqual(
    emulator.requests('DeleteSnapshot').map(({ errorType }) => errorType),
    [undefined, 'InvalidSnapshot.NotFound'],
  );
});

test('deleting a snapshot that never existed is an error', async (t) => {
  const { states } = await connect(t);
  await assert.rejects(states.delete(absent), { class: 'permanent', code: 'SNAPSHOT_NOT_FOUND' });
});

test('a new snapshot is deleted as soon as EC2 finds it', async (t) => {
  // Becomes visible after two requests, however late they come.
  let now = Date.now();
  const { emulator, states } = await connect(t, {
    notVisibleMs: 60,
    now: () => now,
    onRequest: () => {
      now += 30;
    },
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  await states.delete(snapshotId, { justStarted: true });
  assert.equal(emulator.snapshot(snapshotId), undefined);
  assert.deepEqual(
    emulator.requests('DeleteSnapshot').map(({ errorType }) => errorType),
    ['InvalidSnapshot.NotFound', 'InvalidSnapshot.NotFound', undefined],
  );
});

test('HTML pages with status 200 are no empty list and no deletion, and keep no connection', async (t) => {
  const html = { first: 3, action: { type: 'html', status: 200 } } as const;
  const { emulator, states } = await connect(t, {
    faults: [
      { operation: 'DescribeSnapshots', ...html },
      { operation: 'DeleteSnapshot', ...html },
    ],
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const listed: string[] = [];
  for await (const found of states.list({})) listed.push(found.snapshotId);
  assert.deepEqual(listed, [snapshotId]);
  await states.delete(snapshotId);
  assert.equal(emulator.snapshot(snapshotId), undefined);
});

test("a list holds exactly the account's own snapshots with the tag and state", async (t) => {
  const { emulator, states } = await connect(t);
  const put = (tags: Record<string, string>, status: 'pending' | 'completed' | 'error') =>
    emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, tags, status });
  const wanted = [await put({ mark: 'x' }, 'pending'), await put({ mark: '' }, 'error')];
  await put({ mark: 'x' }, 'completed');
  await put({ other: 'x' }, 'pending');
  const ids = await collect(states.list({ tags: [{ key: 'mark' }], states: ['pending', 'error'] }));
  assert.deepEqual(ids.sort(), wanted.sort());
});

test('a list of several pages is read completely', async (t) => {
  const client = scriptedClient([
    { Snapshots: [{ SnapshotId: 'snap-1' }], NextToken: 'a' },
    { Snapshots: [], NextToken: 'b' },
    { Snapshots: [{ SnapshotId: 'snap-2' }] },
  ]);
  const { states } = await connect(t, {}, { ec2Client: client });
  assert.deepEqual(await collect(states.list({ tags: [{ key: 'mark' }], states: ['pending'] })), [
    'snap-1',
    'snap-2',
  ]);
});

for (const [what, page] of [
  ['endless empty pages', { NextToken: 'again' }],
  ['endless pages', { Snapshots: [{ SnapshotId: 'snap-1' }], NextToken: 'again' }],
  [
    'a page above the maximum size',
    { Snapshots: Array.from({ length: 1_001 }, () => ({ SnapshotId: 'snap-1' })) },
  ],
] as const) {
  test(`a list of ${what} is an error`, async (t) => {
    const { states } = await connect(t, {}, { ec2Client: scriptedClient([page]) });
    await assert.rejects(collect(states.list({ tags: [{ key: 'mark' }], states: ['pending'] })), {
      code: 'BAD_LIST',
    });
  });
}

test('text from EC2 is cut to size and has no control characters', async (t) => {
  const evil = `\u001b]0;x\u0007${'x'.repeat(10_000)}`;
  const Snapshots = [{ SnapshotId: absent, State: evil, StateMessage: evil, Description: evil }];
  const { states } = await connect(t, {}, { ec2Client: scriptedClient([{ Snapshots }]) });
  const state = await states.describe(absent);
  assert.match(state?.state ?? '', /^\?]0;x\?x{58}…$/);
  assert.match(state?.stateMessage ?? '', /^\?]0;x\?x{294}…$/);
  assert.equal(state?.description.length, 255);
});

test('the general endpoint is used for EC2 when it has no endpoint of its own', async (t) => {
  const { service } = await startService(t);
  const ec2 = await openEc2({ ...service, onRetry: () => {} });
  t.after(() => ec2.close());
  assert.equal(await ec2.states.describe(absent), undefined);
});

test("the caller's client is used unchanged and stays open", async (t) => {
  const { emulator } = await startService(t);
  const client = new EC2Client({
    region: 'us-east-1',
    endpoint: emulator.url,
    credentials: { accessKeyId: 'AKIDOWN', secretAccessKey: 'x' },
  });
  const own = await openEc2({ endpoint: 'http://127.0.0.1:1', ec2Client: client, onRetry: () => {} });
  assert.equal(await own.states.describe(absent), undefined);
  own.close();
  assert.match(emulator.log[0]?.headers.authorization ?? 'AKIDOWN', /AKIDOWN/);
  await assert.rejects(client.send(new DescribeSnapshotsCommand({ SnapshotIds: [absent] })), {
    name: 'InvalidSnapshot.NotFound',
  });
  client.destroy();
});

/** A client that gets these replies in order, and then the last one repeatedly. */
function scriptedClient(replies: readonly object[]): EC2Client {
  const client = new EC2Client({
    region: 'us-east-1',
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
  });
  let next = 0;
  client.middlewareStack.add(
    () => async () => {
      const reply = replies[Math.min(next++, replies.length - 1)] as object;
      return { response: {}, output: { $metadata: {}, ...reply } };
    },
    { step: 'initialize', name: 'scripted' },
  );
  return client;
}
