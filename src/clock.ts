/**
 * A clock for limits and deadlines that stops while this process does not run: after SIGSTOP, or while its virtual machine
 * is paused. A run that wakes after an hour has not been failing for an hour.
 */

const TICK_MS = 1_000;
/** A tick that is later than this was missed because the process did not run. */
const GAP_MS = 3_000;
/** The longest time that a timer takes; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

let lastTick = performance.now();
let notRunningMs = 0;
let watchers = 0;
let ticking: NodeJS.Timeout | undefined;

function tick(): void {
  const now = performance.now();
  const late = now - lastTick - TICK_MS;
  if (watchers > 0 && late > GAP_MS) notRunningMs += late;
  lastTick = now;
}

/** Milliseconds in which the process ran. Gaps are noticed while somebody watches; see {@link watchClock}. */
export function runningTime(): number {
  const now = performance.now();
  if (now - lastTick > TICK_MS + GAP_MS) tick();
  return now - notRunningMs;
}

/** Notices gaps until the returned function is called. */
export function watchClock(): () => void {
  if (watchers === 0) {
    lastTick = performance.now();
    ticking = setInterval(tick, TICK_MS).unref();
  }
  watchers++;
  let watching = true;
  return () => {
    if (watching && --watchers === 0) clearInterval(ticking);
    watching = false;
  };
}

/**
 * Calls `action` once the process has run for `ms` more milliseconds; never for Infinity. Returns a function that cancels
 * it.
 */
export function afterRunning(ms: number, action: () => void): () => void {
  const due = runningTime() + ms;
  let timer = wait(ms);
  function wait(leftMs: number): NodeJS.Timeout {
    return setTimeout(check, Math.min(Math.ceil(leftMs), MAX_TIMER_MS));
  }
  function check(): void {
    const leftMs = due - runningTime();
    if (leftMs > 0) timer = wait(leftMs);
    else action();
  }
  return () => clearTimeout(timer);
}
