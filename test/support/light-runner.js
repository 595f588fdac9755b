/**
 * Loaded by scripts/test.ts before Node's test runner. To name the test that an uncaught error belongs to, the runner follows
 * each promise, request and timer of a process with an async hook, which took a third of the processor time of tests with
 * many requests. Here it follows tests alone, by which one finds the tests inside it, and an uncaught error ends its file.
 */
import asyncHooks from 'node:async_hooks';
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';

// Full collections, which buffers outside the heap cause, took a quarter of the processor time of tests that move blocks.
setFlagsFromString('--heap-growing-percent=900');
// Optimizing code that runs for seconds took up to a sixth. Later versions of V8 optimize later, and have no such flag.
if (process.versions.node.startsWith('20.')) setFlagsFromString('--interrupt-budget=1000000');

const { createHook, AsyncResource } = asyncHooks;
let onTest = () => {};
const end = (error) => {
  // Node prints it too, but the runner may not read what a process that has ended wrote to stderr.
  writeSync(1, `${inspect(error)}\n`);
  throw error;
};

asyncHooks.createHook = ({ init }) => {
  onTest = init;
  // Before the runner's own listeners, which would ask the hook.
  process.on('uncaughtException', end).on('unhandledRejection', end);
  return { enable() {}, disable() {} };
};
// Tests extend it.
asyncHooks.AsyncResource = class extends AsyncResource {
  constructor(type, options) {
    super(type, options);
    onTest(this.asyncId(), type, this.triggerAsyncId(), this);
  }
};
createRequire(import.meta.url)('node:test');
Object.assign(asyncHooks, { createHook, AsyncResource });
