import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pacer, type PacerOptions } from '../../src/ebs/pacing.ts';
import { ColdsnapError } from '../../src/errors.ts';

/** A pacer with a clock that advances only while it sleeps and in the test's requests. */
function paced(options: Partial<PacerOptions> = {}) {
  const clock = { now: 0 };
  const pacer = new Pacer({
    workers: 64,
    idleMs: 60_000,
    now: () => clock.now,
    sleep: async (ms) => {
      clock.now += ms;
    },
    ...options,
  });
  return { pacer, clock };
}

const throttle = () => Promise.reject(new ColdsnapError('throttle', 'THROTTLED', 'slow down'));

test('requests stay slightly below 1,000 per second', async () => {
  const { pacer, clock } = paced();
  for (let count = 0; count < 2_000; count++) await pacer.run(524_288, undefined, async () => {});
  const perSecond = 2_000 / (clock.now / 1000);
  assert.ok(perSecond > 950 && perSecond <= 1_030, `${perSecond}`);
});

test('bytesPerSecond limits the payload rate', async () => {
  const { pacer, clock } = paced({ bytesPerSecond: 10 * 2 ** 20 });
  for (let count = 0; count < 100; count++) await pacer.run(524_288, undefined, async () => {});
  const rate = (100 * 524_288) / (clock.now / 1000) / 2 ** 20;
  assert.ok(rate > 9.5 && rate < 10.5, `${rate} MiB/s`);
});

for (const bytesPerSecond of [0.1, Number.MIN_VALUE]) {
  test(`a rate of ${bytesPerSecond} bytes per second holds back, though no timer takes that long`, async () => {
    const pacer = new Pacer({ workers: 64, idleMs: 60_000, bytesPerSecond });
    let sent = 0;
    const send = () => pacer.run(524_288, AbortSignal.timeout(100), async () => sent++);
    const outcomes = await Promise.allSettled([send(), send(), send()]);
    assert.equal(sent, 1);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
  });
}

test('a throttle cuts the real rate, at most once a second, and it recovers by 10 per second', async () => {
  const { pacer, clock } = paced();
  for (let count = 0; count < 200; count++) {
    await pacer.run(1, undefined, async () => {
      clock.now += 10;
    });
  }
  await assert.rejects(pacer.run(1, undefined, throttle));
  const cut = pacer.requestsPerSecond;
  assert.ok(cut > 60 && cut < 75, `cut to ${cut} from 100 used`);
  await assert.rejects(pacer.run(1, undefined, throttle));
  assert.ok(pacer.requestsPerSecond >= cut, 'a second throttle in the same second cuts nothing');
  clock.now += 10_000;
  assert.ok(Math.abs(pacer.requestsPerSecond - cut - 100) < 1);
  clock.now += 1_000_000;
  assert.equal(pacer.requestsPerSecond, 980);
});

test('the rate never falls below 1 per second', async () => {
  const { pacer, clock } = paced();
  for (let count = 0; count < 50; count++) {
    clock.now += 1_001;
    await assert.rejects(pacer.run(1, undefined, throttle));
  }
  assert.ok(pacer.requestsPerSecond >= 1);
});

test('16 requests are in flight at first, and one more per fast block, up to all workers', async () => {
  const { pacer } = paced();
  assert.equal(pacer.inFlightAllowed, 16);
  await pacer.run(1, undefined, async () => {});
  assert.equal(pacer.inFlightAllowed, 17);
  for (let count = 0; count < 100; count++) await pacer.run(1, undefined, async () => {});
  assert.equal(pacer.inFlightAllowed, 64);
  assert.equal(paced({ workers: 3 }).pacer.inFlightAllowed, 3);
});

for (const [idleMs, slowMs, middlingMs] of [
  [60_000, 20_000, 10_000],
  [2_000, 600, 300],
  [2 ** 31 - 1, 20_000, 10_000],
] as const) {
  test(`slow blocks (${slowMs} ms with an idle deadline of ${idleMs} ms) and stalls halve the requests in flight`, async () => {
    const { pacer, clock } = paced({ idleMs });
    const taking = (ms: number) => async () => {
      clock.now += ms;
    };
    const stall = async () => {
      clock.now += 1;
      throw new ColdsnapError('transient', 'STALLED', 'no data received');
    };
    await pacer.run(1, undefined, taking(slowMs));
    assert.equal(pacer.inFlightAllowed, 8);
    await pacer.run(1, undefined, taking(middlingMs));
    assert.equal(pacer.inFlightAllowed, 8);
    await assert.rejects(pacer.run(1, undefined, stall), { code: 'STALLED' });
    assert.equal(pacer.inFlightAllowed, 4);
    for (let count = 0; count < 9; count++) await pacer.run(1, undefined, taking(slowMs));
    assert.equal(pacer.inFlightAllowed, 1);
  });
}

test('concurrent stalls halve the requests in flight only once', async () => {
  const { pacer, clock } = paced();
  let stall: (error: Error) => void = () => {};
  const stalled = new Promise<void>((_resolve, reject) => {
    stall = reject;
  });
  const requests = Array.from({ length: 16 }, () => assert.rejects(pacer.run(1, undefined, () => stalled)));
  await new Promise(setImmediate);
  clock.now += 60_000;
  stall(new ColdsnapError('transient', 'STALLED', 'no data received'));
  await Promise.all(requests);
  assert.equal(pacer.inFlightAllowed, 8);
});

test('no more requests are in flight than allowed, and an abort rejects those that wait', async () => {
  const { pacer } = paced({ workers: 2 });
  const controller = new AbortController();
  let finish: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let active = 0;
  const request = async () => {
    active++;
    await gate;
  };
  const running = [1, 2, 3, 4].map(() => pacer.run(1, controller.signal, request));
  const outcomes = Promise.allSettled(running);
  // All that can run without the gate has run.
  await new Promise(setImmediate);
  assert.equal(active, 2);
  controller.abort();
  finish();
  const states = (await outcomes).map((outcome) => outcome.status);
  assert.deepEqual(states.sort(), ['fulfilled', 'fulfilled', 'rejected', 'rejected']);
});
