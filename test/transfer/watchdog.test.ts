import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ColdsnapError, TransferEvent } from '../../src/index.ts';
import { Meter } from '../../src/transfer/run/meter.ts';
import { Watchdog } from '../../src/transfer/run/watchdog.ts';

function watched(t: TestContext) {
  const events: TransferEvent[] = [];
  const failures: ColdsnapError[] = [];
  const clock = { now: 0 };
  const watchdog = new Watchdog(
    new Meter((event) => events.push(event)),
    600_000,
    (failure) => failures.push(failure),
    () => clock.now,
  );
  t.after(() => watchdog.close());
  return { watchdog, events, failures, clock };
}

test('names what it waits for once a minute without progress', (t) => {
  const { watchdog, events, clock } = watched(t);
  watchdog.doing(3, 'GetSnapshotBlock of block 7', 'service');
  clock.now = 59_000;
  watchdog.check();
  assert.equal(events.length, 0);
  clock.now = 61_000;
  watchdog.check();
  watchdog.check();
  assert.equal(events.length, 1);
  assert.match(JSON.stringify(events[0]), /No progress for 61 s; waiting for GetSnapshotBlock of block 7/);
  clock.now = 130_000;
  watchdog.check();
  assert.equal(events.length, 2);
});

test('is silent while there is progress', (t) => {
  const { watchdog, events, clock } = watched(t);
  watchdog.doing(1, 'a late block', 'service');
  for (let minute = 1; minute < 60; minute++) {
    clock.now = minute * 50_000;
    watchdog.doing(2, 'another', 'service');
    watchdog.done(2);
    watchdog.check();
  }
  assert.equal(events.length, 0);
});

test('ends the run for a service that is silent beyond the retry time, but not for a slow disk', (t) => {
  const { watchdog, failures, clock } = watched(t);
  watchdog.doing(1, 'writing block 1', 'disk');
  clock.now = 2_000_000;
  watchdog.check();
  assert.equal(failures.length, 0);
  watchdog.doing(1, 'GetSnapshotBlock of block 2', 'service');
  clock.now = 4_000_000;
  watchdog.check();
  assert.equal(failures.length, 1);
  assert.equal(failures[0]?.class, 'gave-up');
  assert.match(failures[0]?.message ?? '', /block 2/);
});
