import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
import type { DownloadOptions } from '../../src/transfer/options.ts';
import { downloadResult, makeWorld, progressOf, type World } from './support.ts';

/** A download that calls `whenStarted` and then runs until it is aborted. */
function stoppable(whenStarted: (world: World, options: DownloadOptions) => void): World {
  const world: World = makeWorld({
    downloadSnapshot: (options) =>
      new Promise((_resolve, reject) => {
        options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
        whenStarted(world, options);
      }),
  });
  return world;
}

describe('the first signal', () => {
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    test(`${signal} stops the transfer, prints the command line to run again and exits with ${exitCode}`, async () => {
      let reason: unknown;
      const world = stoppable((self, options) => {
        self.signals.emit(signal);
        reason = options.signal?.reason;
      });
      assert.equal(await world.run(['download', 'snap-1', 'my disk']), exitCode);
      assert.ok(reason instanceof ColdsnapError);
      assert.deepEqual([reason.class, reason.code], ['aborted', signal]);
      assert.match(world.stderr.lines[0]!, new RegExp(`^stopping \\(${signal}\\)`));
      assert.deepEqual(world.stderr.lines.slice(1), [
        `coldsnap: stopped by ${signal}`,
        "  Run it again: coldsnap download snap-1 'my disk'",
      ]);
      assert.deepEqual(world.exits, []);
    });
  }

  test('decides the exit code even if the transfer fails otherwise', async () => {
    const world: World = makeWorld({
      async downloadSnapshot() {
        world.signals.emit('SIGINT');
        throw new Error('socket hang up');
      },
    });
    assert.equal(await world.run('download snap-1 disk.img'), 130);
    assert.doesNotMatch(world.stderr.text, /bug/);
  });

  test('is ignored if the transfer completes', async () => {
    const world: World = makeWorld({
      async downloadSnapshot() {
        world.signals.emit('SIGINT');
        return downloadResult;
      },
    });
    assert.equal(await world.run('download snap-1 disk.img'), 0);
  });

  test('names the snapshot of an interrupted upload, even with --quiet', async () => {
    const world: World = makeWorld({
      async uploadSnapshot() {
        world.signals.emit('SIGINT');
        throw new ColdsnapError('aborted', 'SIGINT', 'stopped', { snapshotId: 'snap-new' });
      },
    });
    assert.equal(await world.run('--quiet upload disk.img'), 130);
    assert.deepEqual(world.stderr.lines.slice(0, 2), ['coldsnap: stopped by SIGINT', '  snap-new']);
  });

  test('is reported as JSON with --json', async () => {
    const world = stoppable((self) => self.signals.emit('SIGTERM'));
    assert.equal(await world.run('--json download snap-1 disk.img'), 143);
    const last = JSON.parse(world.stderr.lines.at(-1)!);
    assert.deepEqual([last.type, last.code, last.exitCode], ['error', 'SIGTERM', 143]);
    assert.equal(last.runAgain, 'coldsnap --json download snap-1 disk.img');
  });

  test('stops waiting', async () => {
    const world: World = makeWorld({
      waitForSnapshot: (options) =>
        new Promise((_resolve, reject) => {
          options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
          world.signals.emit('SIGINT');
        }),
    });
    assert.equal(await world.run('wait snap-1'), 130);
  });
});

test('a second signal ends the process immediately', async () => {
  const world: World = makeWorld({
    async downloadSnapshot() {
      world.signals.emit('SIGINT');
      assert.deepEqual(world.exits, []);
      world.signals.emit('SIGTERM');
      assert.deepEqual(world.exits, [143]);
      return downloadResult;
    },
  });
  await world.run('download snap-1 disk.img');
  assert.match(world.stderr.text, /coldsnap: exiting on a second signal \(SIGTERM\)\n {2}Run it again: /);
});

test('a transfer that does not stop within 5 seconds is abandoned', async () => {
  const world: World = makeWorld({
    async downloadSnapshot() {
      world.signals.emit('SIGTERM');
      world.clock.advance(4999);
      assert.deepEqual(world.exits, []);
      world.clock.advance(1);
      assert.deepEqual(world.exits, [143]);
      return downloadResult;
    },
  });
  await world.run('download snap-1 disk.img');
  assert.match(world.stderr.text, /did not stop within 5 s of SIGTERM/);
  assert.equal(world.clock.running, 0);
});

test('SIGUSR2 prints a status line, even without a display', async () => {
  for (const flag of ['', '--no-progress', '--quiet']) {
    const world: World = makeWorld({
      async downloadSnapshot(options) {
        options.onEvent?.({
          type: 'progress',
          ...progressOf({ bytesDone: 2 ** 29, bytesTransferred: 2 ** 29 }),
        });
        const before = world.stderr.lines.length;
        world.signals.emit('SIGUSR2');
        assert.match(world.stderr.lines[before]!, /512\.0 MiB of 1\.0 GiB \(50 %\)/);
        assert.equal(world.stderr.lines.length, before + 1);
        return downloadResult;
      },
    });
    assert.equal(await world.run(`download ${flag} snap-1 disk.img`), 0, world.stderr.text);
  }
});

test('no signal listeners remain after a run', async () => {
  const world = makeWorld();
  await world.run('download snap-1 disk.img');
  assert.deepEqual(world.signals.eventNames(), []);
});

test('the same signal, repeated at once as timeout does, does not end the process', async () => {
  const world: World = makeWorld({
    async downloadSnapshot() {
      world.signals.emit('SIGTERM');
      world.clock.advance(499);
      world.signals.emit('SIGTERM');
      assert.deepEqual(world.exits, []);
      world.clock.advance(1);
      world.signals.emit('SIGTERM');
      assert.deepEqual(world.exits, [143]);
      return downloadResult;
    },
  });
  await world.run('download snap-1 disk.img');
});

test('the same signal, repeated while a stopped command exits, does not change its exit code', async () => {
  const world: World = makeWorld({
    async downloadSnapshot({ signal }) {
      world.signals.emit('SIGTERM');
      throw signal!.reason;
    },
  });
  assert.equal(await world.run('download snap-1 disk.img'), 143);
  // Without a listener, the signal would end the process.
  assert.ok(world.signals.emit('SIGTERM'));
  assert.deepEqual(world.exits, []);
});

test('Ctrl-Z stops the process, and it listens again when it continues', async () => {
  const world: World = makeWorld({
    async downloadSnapshot() {
      world.signals.emit('SIGTSTP');
      world.signals.emit('SIGTSTP');
      return downloadResult;
    },
  });
  const listeners: number[] = [];
  const io = { ...world.io, suspend: () => listeners.push(world.signals.listenerCount('SIGTSTP')) };
  const { run } = await import('../../src/cli/run.ts');
  assert.equal(await run(['download', 'snap-1', 'disk.img'], io), 0);
  assert.deepEqual(listeners, [0, 0], 'it stops by the default action');
  assert.equal(world.signals.listenerCount('SIGTSTP'), 0);
});
