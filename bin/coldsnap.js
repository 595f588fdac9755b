#!/usr/bin/env node
'use strict';
// Loads the command line; nothing else. CommonJS on purpose: loading an ES module already starts the thread pool, and
// once it runs its size is fixed.

const { availableParallelism } = require('node:os');
const { setTimeout } = require('node:timers/promises');

// Asks for the status; until a command answers it must not end the process.
process.on('SIGUSR2', () => {});
// Node would open a debugger on the loopback interface, through which any local user can run code as this one.
process.on('SIGUSR1', () => {});

/** How long files that are being read or closed may take when a signal has ended the command. */
const graceMs = 2000;

const isReading = () => process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));

/**
 * Ends the process. process.exit() waits for the threads, one of which may read a file that never answers: a FIFO of
 * credentials, or a file of a server that is down. After a signal, the signal itself ends it.
 */
async function exit(exitCode) {
  const signal = { 129: 'SIGHUP', 130: 'SIGINT', 143: 'SIGTERM' }[exitCode];
  if (signal !== undefined) {
    const until = performance.now() + graceMs;
    while (isReading() && performance.now() < until) await setTimeout(20);
    if (isReading()) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
  }
  process.exit(exitCode);
}

/** Prints what is wrong and what to do, and ends the process. */
function giveUp(message, hint) {
  process.stderr.write(`coldsnap: ${message}\n  ${hint}\n`);
  process.exit(1);
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  giveUp(
    `this needs Node.js 20.19 or later, and ${process.execPath} is ${process.versions.node}`,
    'Install a newer Node.js, or put one first in PATH.',
  );
}

if (!process.env.UV_THREADPOOL_SIZE) {
  process.env.UV_THREADPOOL_SIZE = String(Math.min(Math.max(availableParallelism(), 2), 8));
}

import('../dist/cli/main.js')
  .then(({ main }) => main())
  .then(exit, (error) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND' && /dist[/\\]cli[/\\]main\.js/.test(error.message)) {
      giveUp('it is not built: dist/ is missing', 'Run: npm run build');
    }
    if (typeof error.syscall === 'string' && typeof error.path === 'string') {
      const [, reason = error.code] = /^\w+: (.+), \w+ '/.exec(error.message) ?? [];
      giveUp(
        `cannot read ${error.path}, a part of this program: ${reason}`,
        error.code === 'EMFILE'
          ? 'Raise the limit of open files (ulimit -n).'
          : 'Make the installation readable for this user.',
      );
    }
    throw error;
  });
