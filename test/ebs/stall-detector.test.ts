/** When a connection counts as stalled beside others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletedExchanges, StallDetector } from '../../src/ebs/fast/progress.ts';

const IDLE_MS = 60_000;

/** Seconds until a connection that moves nothing is closed, while others complete an exchange a second. */
function secondsUntilClosed(others: CompletedExchanges, exchangeMs: number): number {
  const detector = new StallDetector();
  detector.restart(0, 0, others.count);
  for (let seconds = 1; ; seconds++) {
    others.add(exchangeMs);
    if (detector.check(seconds * 1_000, 0, IDLE_MS, others) !== undefined) return seconds;
  }
}

test('a connection that stops is closed 10 s after another has completed an exchange', () => {
  assert.equal(secondsUntilClosed(new CompletedExchanges(), 200), 11);
});

test('where exchanges take 8 s, a connection that waits for longer is not closed before three times that', () => {
  assert.equal(secondsUntilClosed(new CompletedExchanges(), 8_000), 25);
});

test('no connection waits for longer than the idle deadline', () => {
  assert.equal(secondsUntilClosed(new CompletedExchanges(), 50_000), 60);
});

test('a slow exchange is forgotten after a few hundred others', () => {
  const others = new CompletedExchanges();
  others.add(50_000);
  for (let i = 0; i < 300; i++) others.add(200);
  assert.equal(secondsUntilClosed(others, 200), 11);
});

test('alone, a connection is closed after the idle deadline', () => {
  const others = new CompletedExchanges();
  const detector = new StallDetector();
  detector.restart(0, 0, 0);
  assert.equal(detector.check(59_999, 0, IDLE_MS, others), undefined);
  assert.match(detector.check(60_000, 0, IDLE_MS, others) ?? '', /for 60 s$/);
});
