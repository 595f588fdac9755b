/** Deadlines and the clock that they go by. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abortable, deadline } from '../../src/cancel.ts';
import { afterRunning, runningTime } from '../../src/clock.ts';
import { machine } from '../support/machine.ts';

test('the clock stops while the process does not run, and continues afterwards', (t) => {
  const { run, stop } = machine(t);
  const start = runningTime();
  run(10_000);
  assert.equal(runningTime() - start, 10_000);
  stop(3_600_000);
  const woken = runningTime() - start;
  assert.ok(woken >= 10_000 && woken <= 11_000, `${woken} ms`);
  run(5_000);
  assert.equal(runningTime() - start, woken + 5_000);
  stop(3_600_000);
  stop(3_600_000);
  assert.ok(runningTime() - start <= woken + 7_000);
});

test('a deadline counts only the time in which the process runs', (t) => {
  const { run, stop } = machine(t);
  const limit = deadline(20_000, undefined, () => new Error('too late'));
  run(5_000);
  stop(3_600_000);
  run(13_000);
  assert.equal(limit.signal.aborted, false);
  run(3_000);
  assert.equal((limit.signal.reason as Error).message, 'too late');
});

test('a deadline may be put off, follows its signal, and ends with its work', (t) => {
  const { run } = machine(t);
  let puts = 0;
  const limit = deadline(1_000, undefined, () => (++puts < 3 ? 1_000 : new Error('now')));
  run(2_500);
  assert.equal(limit.signal.aborted, false);
  run(1_000);
  assert.equal(limit.signal.aborted, true);

  const controller = new AbortController();
  const following = deadline(1_000, controller.signal, () => new Error('late'));
  controller.abort(new Error('stop'));
  assert.equal((following.signal.reason as Error).message, 'stop');

  const ended = deadline(1_000, undefined, () => assert.fail('it had ended'));
  ended.end();
  run(2_000);
  assert.equal(ended.signal.aborted, false);
});

test('an infinite deadline never comes', (t) => {
  const { run } = machine(t);
  afterRunning(Number.POSITIVE_INFINITY, () => assert.fail('it came'));
  run(2_000);
});

test('what an abort leaves behind may fail later without a word', async () => {
  const controller = new AbortController();
  let fail = (_error: Error) => {};
  const straggler = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const left = abortable(straggler, controller.signal);
  controller.abort();
  await assert.rejects(left, { class: 'aborted' });
  fail(new Error('too late to matter'));
  await new Promise(setImmediate);
});
