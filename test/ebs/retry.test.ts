import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryPolicy, type RetryPolicyOptions } from '../../src/ebs/retry.ts';
import type { ErrorCode } from '../../src/error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../../src/errors.ts';
import { machine } from '../support/machine.ts';

const context = { operation: 'GetSnapshotBlock', snapshotId: 'snap-1', block: 7 };

/** A policy with maximum jitter and a clock that advances only while it sleeps. */
function policyWithClock(options: RetryPolicyOptions = {}) {
  const clock = { now: 0, sleeps: [] as number[] };
  const policy = new RetryPolicy({
    random: () => 1,
    now: () => clock.now,
    sleep: async (ms) => {
      clock.sleeps.push(ms);
      clock.now += ms;
    },
    ...options,
  });
  return { policy, clock };
}

function failure(errorClass: ErrorClass, code: ErrorCode = 'SERVICE_ERROR'): ColdsnapError {
  return new ColdsnapError(errorClass, code, `${errorClass} failure`);
}

/** Fails with `error` the first `times` calls, then gives 'ok'. */
function failing(times: number, error: ColdsnapError) {
  const calls = { count: 0 };
  const attempt = async () => {
    calls.count++;
    if (calls.count <= times) throw error;
    return 'ok';
  };
  return { attempt, calls };
}

test('a transient failure is retried after pauses that double up to 20 s', async () => {
  const { policy, clock } = policyWithClock();
  const { attempt } = failing(10, failure('transient'));
  assert.equal(await policy.run(context, undefined, attempt), 'ok');
  assert.deepEqual(clock.sleeps, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000]);
});

test('jitter is full: a pause can be as short as 0 ms', async () => {
  const { policy, clock } = policyWithClock({ random: () => 0 });
  await policy.run(context, undefined, failing(3, failure('throttle')).attempt);
  assert.deepEqual(clock.sleeps, [0, 0, 0]);
});

for (const errorClass of [
  'permanent',
  'config',
  'local',
  'refused',
  'usage',
  'gave-up',
  'expired-block-token',
] as const) {
  test(`a failure of class ${errorClass} is not retried`, async () => {
    const { policy, clock } = policyWithClock();
    const { attempt, calls } = failing(9, failure(errorClass));
    await assert.rejects(policy.run(context, undefined, attempt), { class: errorClass });
    assert.equal(calls.count, 1);
    assert.deepEqual(clock.sleeps, []);
  });
}

test('retries end after the retry time without success, with the time in the message', async () => {
  const { policy, clock } = policyWithClock({ retryForMs: 60_000 });
  const running = policy.run(context, undefined, failing(1e6, failure('transient')).attempt);
  await assert.rejects(running, (error: ColdsnapError) => {
    assert.equal(error.class, 'gave-up');
    assert.match(error.message, /nothing succeeded for 60 s \(11 attempts\)/);
    return true;
  });
  assert.equal(clock.now, 60_000);
});

test('retries go on while other requests succeed', async () => {
  const { policy, clock } = policyWithClock({ retryForMs: 60_000 });
  let calls = 0;
  const result = await policy.run(context, undefined, async () => {
    calls++;
    if (clock.now > 300_000) return 'ok';
    // Another request with the same policy succeeds.
    await policy.run({ operation: 'Other' }, undefined, async () => 'fine');
    throw failure('transient');
  });
  assert.equal(result, 'ok');
  assert.ok(calls > 10);
});

test('an endpoint that never replied is a configuration error after 5 s', async () => {
  const { policy, clock } = policyWithClock();
  const { attempt } = failing(1e6, failure('transient', 'ENDPOINT_UNREACHABLE'));
  await assert.rejects(policy.run(context, undefined, attempt), {
    class: 'config',
    code: 'ENDPOINT_UNREACHABLE',
  });
  assert.ok(clock.now < 15_000);
});

test('an endpoint that has replied before is retried for the full retry time', async () => {
  const { policy, clock } = policyWithClock({ retryForMs: 60_000 });
  await policy.run(context, undefined, async () => 'ok');
  const { attempt } = failing(1e6, failure('transient', 'ENDPOINT_UNREACHABLE'));
  await assert.rejects(policy.run(context, undefined, attempt), { class: 'gave-up' });
  assert.ok(clock.now >= 60_000);
});

test('wrong data is fetched at most eight times and remains an integrity failure', async () => {
  const { policy } = policyWithClock();
  const { attempt, calls } = failing(1e6, failure('integrity'));
  await assert.rejects(policy.run(context, undefined, attempt), { class: 'integrity' });
  assert.equal(calls.count, 8);
});

test('concurrent requests share one refresh of expired credentials, and a second expiry is a configuration error', async () => {
  let refreshes = 0;
  const { policy } = policyWithClock({
    refreshCredentials: async () => {
      refreshes++;
    },
  });
  const healing = [1, 2, 3].map(() =>
    policy.run(context, undefined, failing(1, failure('expired-credentials')).attempt),
  );
  assert.deepEqual(await Promise.all(healing), ['ok', 'ok', 'ok']);
  assert.equal(refreshes, 1);
  const { attempt, calls } = failing(9, failure('expired-credentials'));
  await assert.rejects(policy.run(context, undefined, attempt), { class: 'config' });
  assert.equal(calls.count, 2);
});

test('a request that fails because of an abort is not retried, whatever the reason of the abort', async () => {
  const controller = new AbortController();
  const notices: unknown[] = [];
  const { policy, clock } = policyWithClock({ onRetry: (notice) => notices.push(notice) });
  const reason = failure('integrity', 'IMAGE_TOO_SHORT');
  const attempt = async () => {
    controller.abort(reason);
    throw reason;
  };
  await assert.rejects(policy.run(context, controller.signal, attempt), reason);
  assert.deepEqual([notices, clock.sleeps], [[], []]);
});

test('an abort during a pause ends it at once', async () => {
  const controller = new AbortController();
  const policy = new RetryPolicy({ random: () => 1, onRetry: () => controller.abort() });
  const { attempt, calls } = failing(1e6, failure('transient'));
  await assert.rejects(policy.run(context, controller.signal, attempt), { class: 'aborted' });
  assert.equal(calls.count, 1);
});

test('every retry is reported with operation, block, attempt and pause', async () => {
  const notices: unknown[] = [];
  const { policy } = policyWithClock({
    onRetry: ({ operation, block, attempt, delayMs }) => notices.push([operation, block, attempt, delayMs]),
  });
  await policy.run(context, undefined, failing(2, failure('transient')).attempt);
  assert.deepEqual(notices, [
    ['GetSnapshotBlock', 7, 1, 100],
    ['GetSnapshotBlock', 7, 2, 200],
  ]);
});

/** A request that fails once, then hangs until its signal fires or `end` is called. */
function hanging(policy: RetryPolicy) {
  let end = (_result: string) => {};
  let settled = false;
  let calls = 0;
  const result = policy.run(context, undefined, (signal) => {
    if (++calls === 1) throw failure('transient');
    return new Promise<string>((resolve, reject) => {
      end = resolve;
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  });
  const settle = () => {
    settled = true;
  };
  result.then(settle, settle);
  const retried = async () => {
    while (calls < 2) await new Promise(setImmediate);
  };
  return { result, retried, settled: () => settled, end: () => end('ok') };
}

test('a retry in flight when the retry time ends is aborted, and the reason is the last failure', async (t) => {
  const { run } = machine(t);
  const request = hanging(new RetryPolicy({ random: () => 0, retryForMs: 300, sleep: async () => {} }));
  await request.retried();
  run(500);
  await new Promise(setImmediate);
  assert.equal(request.settled(), false, 'a last attempt gets a second');
  run(500);
  await assert.rejects(request.result, {
    class: 'gave-up',
    code: 'SERVICE_ERROR',
    message: /nothing succeeded for 1 s \(1 attempt\)$/,
  });
});

test('a first attempt has no limit of its own: a slow network is not an error', async () => {
  const policy = new RetryPolicy({ retryForMs: 0 });
  assert.equal(await policy.run(context, undefined, async (signal) => signal), undefined);
});

test('the end of the retry time is put off while other requests succeed', async (t) => {
  const { run } = machine(t);
  const policy = new RetryPolicy({ random: () => 0, retryForMs: 1_100, sleep: async () => {} });
  const request = hanging(policy);
  await request.retried();
  for (let count = 0; count < 10; count++) {
    await policy.run({ operation: 'Other' }, undefined, async () => 'fine');
    run(1_000);
    await new Promise(setImmediate);
    assert.equal(request.settled(), false);
  }
  request.end();
  assert.equal(await request.result, 'ok');
});

test('the retry time ends when other requests succeed no longer', async (t) => {
  const { run } = machine(t);
  const policy = new RetryPolicy({ random: () => 0, retryForMs: 1_100, sleep: async () => {} });
  const request = hanging(policy);
  await request.retried();
  run(1_000);
  await policy.run({ operation: 'Other' }, undefined, async () => 'fine');
  run(1_500);
  await assert.rejects(request.result, { class: 'gave-up', code: 'SERVICE_ERROR' });
});

test('a renewal of credentials that hangs ends with the retry time', async () => {
  const { policy } = policyWithClock({ refreshCredentials: () => new Promise(() => {}), retryForMs: 0 });
  const { attempt } = failing(1, failure('expired-credentials', 'CREDENTIALS_EXPIRED'));
  await assert.rejects(policy.run(context, undefined, attempt), {
    class: 'gave-up',
    code: 'CREDENTIALS_EXPIRED',
    message: /the credentials were not renewed within 5 s/,
  });
});
