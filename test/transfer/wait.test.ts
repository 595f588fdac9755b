import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EC2Client } from '@aws-sdk/client-ec2';
import type { BlockPage, ListBlocksRequest } from '../../src/ebs/api.ts';
import type { SnapshotState, SnapshotStatus } from '../../src/ebs/ec2.ts';
import { ColdsnapError } from '../../src/errors.ts';
import type { TransferEvent } from '../../src/transfer/events.ts';
import type { WaitConditions } from '../../src/transfer/options.ts';
import { type WaitServices, waitForSnapshot, waitUntil } from '../../src/transfer/wait.ts';
import { machine } from '../support/machine.ts';
import { recorder, startService } from '../support/service.ts';

const id = 'snap-0123456789abcdef0';
const page: BlockPage = { blocks: [], volumeSizeGiB: 1, blockSize: 524_288 };

/** What EC2 answers: a state, a percentage of `pending`, or nothing because it does not know the snapshot. */
type Answer = SnapshotStatus | number | undefined;

function stateOf(answer: SnapshotStatus | number): SnapshotState {
  const rest = { snapshotId: id, volumeSizeGiB: 1, encrypted: false, startTime: new Date(0) };
  const state = { ...rest, description: '', tags: {} };
  return typeof answer === 'number'
    ? { ...state, state: 'pending', progressPercent: answer }
    : { ...state, state: answer };
}

interface Scripted extends Partial<WaitServices> {
  signal?: AbortSignal;
}

/** Waits over scripted answers, the last of which is repeated, on a clock that moves only when something pauses. */
async function wait(answers: readonly Answer[], conditions: WaitConditions = {}, scripted: Scripted = {}) {
  const { signal, ...services } = scripted;
  const clock = { now: 1_000_000 };
  const pauses: number[] = [];
  const lists: ListBlocksRequest[] = [];
  const { events, onEvent } = recorder();
  let asked = 0;
  const outcome = await waitUntil(id, { ...conditions, signal }, onEvent, {
    describe: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)];
      return answer === undefined ? undefined : stateOf(answer);
    },
    listBlocks: async (request) => {
      lists.push(request);
      return page;
    },
    now: () => clock.now,
    pause: async (ms) => {
      pauses.push(ms);
      clock.now += ms;
    },
    ...services,
  }).then(
    (result) => ({ result, error: undefined }),
    (error: ColdsnapError) => ({ result: undefined, error }),
  );
  return { ...outcome, asked, pauses, lists, events, elapsed: clock.now - 1_000_000 };
}

function warnings(events: readonly TransferEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
}

test('polls for three successes in a row, two seconds apart, and then lists blocks', async () => {
  const { result, pauses, lists } = await wait(['completed']);
  assert.deepEqual(result, { snapshotId: id, status: 'completed', attempts: 3, elapsedMs: 4_000 });
  assert.deepEqual(pauses, [2_000, 2_000]);
  assert.deepEqual(lists, [{ snapshotId: id, maxResults: 100 }]);
});

test('restarts the count of successes after any other state', async () => {
  const { result } = await wait(['completed', 'completed', 'pending', 'completed']);
  assert.equal(result?.attempts, 6);
});

test("reports every answer with EC2's percentage", async () => {
  const { events } = await wait([undefined, 0, 37, 'completed'], { successesRequired: 1 });
  const told = events.flatMap((event) =>
    event.type === 'status' ? [[event.attempt, event.status, event.progressPercent]] : [],
  );
  assert.deepEqual(told, [
    [1, 'not found', undefined],
    [2, 'pending', 0],
    [3, 'pending', 37],
    [4, 'completed', undefined],
  ]);
});

test('waits without a limit by default', async () => {
  const answers = [...Array<Answer>(50_000).fill('pending'), 'completed' as const];
  const { result } = await wait(answers, { successesRequired: 1 });
  assert.equal(result?.attempts, 50_001);
});

test('honors the desired status, the successes required and the pause', async () => {
  const { result, pauses, lists } = await wait(['pending'], {
    desiredStatus: 'pending',
    successesRequired: 5,
    secondsBetweenAttempts: 0.5,
  });
  assert.equal(result?.attempts, 5);
  assert.deepEqual(pauses, [500, 500, 500, 500]);
  assert.deepEqual(lists, [], 'what is pending cannot be listed');
});

test('treats zero required successes as one', async () => {
  const { result } = await wait(['pending', 'completed'], { successesRequired: 0 });
  assert.equal(result?.attempts, 2);
});

test('times out after the maximum of attempts and names the last state', async () => {
  const { error, asked } = await wait([12], { maxAttempts: 90 });
  assert.equal(asked, 90);
  assert.equal(error?.class, 'gave-up');
  assert.equal(error?.code, 'WAIT_TIMED_OUT');
  assert.equal(error?.message, `${id} is still pending (12 %) after 90 attempts`);
});

test('does not count answers with the desired state as attempts', async () => {
  const { result } = await wait(['pending', 'completed'], { maxAttempts: 2, successesRequired: 5 });
  assert.equal(result?.attempts, 6);
});

test('fails at once for a snapshot in state error, with the reason', async () => {
  const failed = { ...stateOf('error'), stateMessage: 'The checksum does not match.' };
  const { error, asked } = await wait([], {}, { describe: async () => failed });
  assert.equal(asked, 0);
  assert.equal(error?.class, 'permanent');
  assert.equal(error?.code, 'SNAPSHOT_FAILED');
  assert.equal(error?.message, `${id} is in state "error": The checksum does not match.`);
});

test('succeeds for a snapshot in state error when that is the desired status', async () => {
  const { result, lists } = await wait(['pending', 'error'], { desiredStatus: 'error' });
  assert.equal(result?.status, 'error');
  assert.deepEqual(lists, []);
});

test('does not wait for a snapshot in the Recycle Bin', async () => {
  const { error } = await wait(['recoverable']);
  assert.equal(error?.code, 'SNAPSHOT_FAILED');
  assert.match(error?.message ?? '', /Recycle Bin/);
});

test('polls on while EC2 does not list a snapshot, and warns once', async () => {
  const answers = [...Array<Answer>(59).fill(undefined), 'completed' as const];
  const { result, events } = await wait(answers);
  assert.equal(result?.attempts, 62);
  assert.deepEqual(warnings(events), ['SNAPSHOT_NOT_YET_KNOWN']);
});

test('gives up after two minutes when EC2 never lists the snapshot', async () => {
  const { error, elapsed } = await wait([undefined]);
  assert.equal(error?.class, 'permanent');
  assert.equal(error?.code, 'SNAPSHOT_NOT_FOUND');
  assert.equal(error?.message, `${id} does not exist: EC2 has not listed it for 2 min`);
  assert.match(error?.hint ?? '', /region/);
  assert.equal(elapsed, 120_000);
});

test('polls on when only some EC2 servers know the snapshot', async () => {
  const flapping = Array.from({ length: 500 }, (_, n): Answer => (n % 2 === 0 ? 'pending' : undefined));
  const { result } = await wait([...flapping, 'completed']);
  assert.equal(result?.status, 'completed');
});

test('gives up two minutes after the snapshot was deleted, and says so', async () => {
  const { error } = await wait(['pending', undefined]);
  assert.equal(error?.code, 'SNAPSHOT_NOT_FOUND');
  assert.match(error?.message ?? '', /was deleted during the wait/);
});

for (const [what, code] of [
  ['not found', 'SNAPSHOT_NOT_FOUND'],
  ['refused as not completed', 'INVALID_SNAPSHOT_ID'],
] as const) {
  test(`lists again while the block list is ${what}`, async () => {
    let asked = 0;
    const listBlocks = async () => {
      if (++asked <= 20) throw new ColdsnapError('permanent', code, 'no');
      return page;
    };
    const { result } = await wait(['completed'], {}, { listBlocks });
    assert.equal(asked, 21);
    assert.equal(result?.elapsedMs, 4_000 + 20 * 2_000);
  });
}

test("gives up after three minutes without a block list, with the service's reason", async () => {
  const listBlocks = async () => {
    throw new ColdsnapError('permanent', 'SERVICE_REJECTED', 'it is archived', { requestId: 'r-1' });
  };
  const { error, elapsed } = await wait(['completed'], {}, { listBlocks });
  assert.equal(error?.class, 'gave-up');
  assert.equal(error?.code, 'SNAPSHOT_NOT_READABLE');
  assert.equal(error?.message, `${id} is completed but could not be listed for 3 min: it is archived`);
  assert.equal(error?.requestId, 'r-1');
  assert.equal(elapsed, 184_000);
});

test('passes on the error of a list that gave up', async () => {
  const listBlocks = async () => {
    throw new ColdsnapError('gave-up', 'SERVICE_ERROR', 'nothing succeeded for 10 min');
  };
  const { error } = await wait(['completed'], {}, { listBlocks });
  assert.equal(error?.code, 'SERVICE_ERROR');
});

test('ends a hanging request at the deadline and names the last state', async () => {
  const stop = new AbortController();
  let asked = 0;
  const describe: WaitServices['describe'] = async (_, options) => {
    if (++asked <= 2) return stateOf(61);
    await new Promise((_, reject) => {
      options?.signal?.addEventListener('abort', () =>
        reject(new ColdsnapError('aborted', 'ABORTED', 'cut off')),
      );
    });
    throw new Error('unreachable');
  };
  const { error } = await wait([], { timeoutMs: 20 }, { describe, signal: stop.signal });
  assert.equal(error?.class, 'gave-up');
  assert.equal(error?.code, 'WAIT_TIMED_OUT');
  assert.equal(error?.message, `${id} is still pending (61 %) after 20 ms`);
});

for (const [conditions, sentence] of [
  [{ desiredStatus: 'complete' }, /^the desired status must be one of pending, completed, .*, not complete$/],
  [{ successesRequired: 1.5 }, /^successesRequired must be a whole number/],
  [{ maxAttempts: 0 }, /^maxAttempts must be a whole number from 1/],
  [{ secondsBetweenAttempts: -1 }, /^secondsBetweenAttempts must be a number from 0/],
  [{ timeoutMs: Number.NaN }, /^timeoutMs must be a number from 1/],
  [{ timeoutMs: 2 ** 31 }, /^timeoutMs must be a number from 1 to 2147483647/],
  [{ snapshotId: 'vol-1' }, /^"vol-1" is not a snapshot ID$/],
] as const) {
  test(`rejects ${JSON.stringify(conditions)} without a request`, async (t) => {
    const { emulator, service } = await startService(t);
    await assert.rejects(
      waitForSnapshot({ ...service, snapshotId: id, ...conditions }),
      (error: ColdsnapError) => {
        assert.equal(error.class, 'usage');
        assert.match(error.message, sentence);
        return true;
      },
    );
    assert.equal(emulator.log.length, 0);
  });
}

const atOnce = { secondsBetweenAttempts: 0 };

test('makes three requests to EC2 and one to the EBS direct APIs for a completed snapshot', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const result = await waitForSnapshot({ ...service, ...atOnce, snapshotId });
  assert.equal(result.status, 'completed');
  assert.deepEqual(
    emulator.log.map(({ operation, path }) => (operation === 'ListSnapshotBlocks' ? path : operation)),
    [...Array(3).fill('DescribeSnapshots'), `/snapshots/${snapshotId}/blocks?maxResults=100`],
  );
});

test('waits for a snapshot that EC2 does not list yet', async (t) => {
  // Becomes visible after the first request, however late that comes.
  let now = Date.now();
  const { emulator, service } = await startService(t, {
    notVisibleMs: 40,
    now: () => now,
    onRequest: () => {
      now += 40;
    },
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const { events, onEvent } = recorder();
  const result = await waitForSnapshot({ ...service, secondsBetweenAttempts: 0.01, snapshotId, onEvent });
  assert.equal(result.status, 'completed');
  assert.deepEqual(warnings(events), ['SNAPSHOT_NOT_YET_KNOWN']);
});

test("fails with the service's reason when the snapshot changes to state error", async (t) => {
  const { emulator, service } = await startService(t, { pendingTimeoutMs: 1 });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  await assert.rejects(waitForSnapshot({ ...service, secondsBetweenAttempts: 0.005, snapshotId }), {
    code: 'SNAPSHOT_FAILED',
    message: /is in state "error": The snapshot was cancelled/,
  });
});

test('succeeds with a warning when listing blocks is denied', async (t) => {
  const denied = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  const { emulator, service } = await startService(t, {
    faults: [{ operation: 'ListSnapshotBlocks', action: denied }],
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const { events, onEvent } = recorder();
  const result = await waitForSnapshot({ ...service, ...atOnce, snapshotId, onEvent });
  assert.equal(result.status, 'completed');
  assert.deepEqual(warnings(events), ['NOT_PROBED']);
  assert.equal(emulator.requests('ListSnapshotBlocks').length, 1);
});

test('fails at once when describing snapshots is denied', async (t) => {
  const denied = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  const { emulator, service } = await startService(t, { faults: [{ action: denied }] });
  await assert.rejects(waitForSnapshot({ ...service, snapshotId: id }), {
    class: 'config',
    hint: /ec2:DescribeSnapshots/,
  });
  assert.equal(emulator.log.length, 1);
});

test('retries both calls and reports the retries', async (t) => {
  const action = { type: 'error', status: 500, code: 'InternalError' } as const;
  const { emulator, service } = await startService(t, {
    faults: [
      { operation: 'DescribeSnapshots', nth: 2, action },
      { operation: 'ListSnapshotBlocks', nth: 1, action },
    ],
  });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const { events, onEvent } = recorder();
  await waitForSnapshot({ ...service, ...atOnce, snapshotId, onEvent });
  const retried = events.flatMap((event) => (event.type === 'retry' ? [event.operation] : []));
  assert.deepEqual(retried, ['DescribeSnapshots', 'ListSnapshotBlocks']);
});

test('times out on a snapshot that stays pending', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  // The time is up once EC2 has replied, however long that takes.
  const { run } = machine(t);
  const onEvent = ({ type }: TransferEvent) => {
    if (type === 'status') setImmediate(run, 1_000);
  };
  await assert.rejects(waitForSnapshot({ ...service, snapshotId, timeoutMs: 1_000, onEvent }), {
    class: 'gave-up',
    code: 'WAIT_TIMED_OUT',
    message: `${snapshotId} is still pending (0 %) after 1 s`,
  });
  assert.equal(emulator.requests('DescribeSnapshots').length, 1);
});

test('aborts at once, also during a pause', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  const stop = new AbortController();
  const waiting = waitForSnapshot({
    ...service,
    snapshotId,
    secondsBetweenAttempts: 3600,
    timeoutMs: 3_600_000,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.type === 'status') setImmediate(() => stop.abort());
    },
  });
  await assert.rejects(waiting, { class: 'aborted' });
  await assert.rejects(waitForSnapshot({ ...service, snapshotId, signal: stop.signal }), {
    class: 'aborted',
  });
  assert.equal(emulator.log.length, 1, 'after an abort nothing is asked');
});

test("the caller's own EC2 client asks, and stays open", async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const credentials = { accessKeyId: 'AKIDOWN', secretAccessKey: 'x' };
  const ec2Client = new EC2Client({ ...service, credentials });
  t.after(() => ec2Client.destroy());
  const options = { ...service, ...atOnce, ec2Endpoint: 'http://127.0.0.1:1', ec2Client, snapshotId };
  await waitForSnapshot(options);
  await waitForSnapshot(options);
  assert.equal(emulator.requests('DescribeSnapshots').length, 6);
});
