import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Library } from '../../src/cli/io.ts';
import { ColdsnapError } from '../../src/errors.ts';
import type { TransferEvent, TransferListener } from '../../src/transfer/events.ts';
import { downloadResult, makeWorld, progressOf, startEvent, uploadResult, type World } from './support.ts';

const MiB = 2 ** 20;

const progress = (bytesDone: number, more: object = {}): TransferEvent => ({
  type: 'progress',
  ...progressOf({ bytesDone, bytesTransferred: bytesDone, ...more }),
});

const retry: TransferEvent = {
  type: 'retry',
  operation: 'GetSnapshotBlock',
  block: 17,
  attempt: 2,
  delayMs: 4000,
  code: 'THROTTLED',
  message: 'too many requests',
};

/** Runs a download whose library call runs `script`. */
async function scripted(
  line: string,
  script: (emit: TransferListener, world: World) => void | Promise<void>,
  prepare: (world: World) => void = () => {},
): Promise<World> {
  const world: World = makeWorld({
    async downloadSnapshot(options) {
      await script(options.onEvent!, world);
      return downloadResult;
    },
  });
  prepare(world);
  assert.equal(await world.run(line), 0, world.stderr.text);
  return world;
}

describe('plain progress', () => {
  test('is the default without a terminal: a line at the start and one at the end', async () => {
    const { stderr, stdout } = await scripted('download snap-1 disk.img', (emit) => emit(startEvent));
    assert.deepEqual(stderr.lines, [
      'downloading snap-1 to disk.img: 1.0 GiB in blocks of 512.0 KiB',
      'downloaded snap-1 to disk.img: 1.0 GiB (1073741824 bytes) in 2.0 s, 512.0 MiB received at 256.0 MiB/s, ' +
        '512.0 MiB empty in the snapshot, 3 retries',
    ]);
    assert.equal(stdout.text, '');
  });

  test('what an incremental download kept is not called empty', async () => {
    const world = makeWorld({
      downloadSnapshot: async () => ({ ...downloadResult, bytesSkipped: 512 * MiB, bytesZero: 100 * MiB }),
    });
    assert.equal(await world.run('download --since snap-0 snap-1 disk.img'), 0, world.stderr.text);
    assert.match(
      world.stderr.lines.at(-1)!,
      /received at .*, 512\.0 MiB unchanged or empty in the snapshot,/,
    );
  });

  test('shows how much of the volume is done where nothing is to be transferred', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock }) => {
      emit(startEvent);
      clock.advance(2_000);
      emit(progress(256 * MiB, { bytesTransferred: 0, bytesToMove: 0, bytesToMoveKnown: true }));
    });
    assert.equal(stderr.lines[1], '256.0 MiB of 1.0 GiB of the volume (25 %), 0 B transferred');
  });

  test('prints a line every 10 s during slow progress', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock }) => {
      emit(startEvent);
      for (let second = 1; second <= 25; second++) {
        clock.advance(1000);
        emit(progress(second * MiB));
      }
    });
    assert.deepEqual(stderr.lines.slice(1, -1), [
      '9.0 MiB of 1.0 GiB (0 %), 0.9 MiB/s, about 19 min 2 s left',
      '19.0 MiB of 1.0 GiB (1 %), 0.9 MiB/s, about 18 min 26 s left',
    ]);
  });

  test('prints a line every 5 %, at most once a second', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock }) => {
      emit(startEvent);
      for (let percent = 1; percent <= 100; percent++) {
        clock.advance(100);
        emit(progress(Math.ceil((percent * 1024 * MiB) / 100)));
      }
    });
    const percents = stderr.lines.slice(1, -1).map((line) => Number(/\((\d+) %\)/.exec(line)?.[1]));
    assert.deepEqual(percents, [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
  });

  test('names what a run without progress waits for, at least once a minute', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock }) => {
      emit(startEvent);
      emit(progress(MiB));
      clock.advance(10_000);
      emit(retry);
      clock.advance(180_000);
    });
    const stalled = stderr.lines.slice(1, -1).filter((line) => line.includes('no progress'));
    assert.ok(stalled.length >= 6, stderr.text);
    assert.match(
      stalled.at(-1)!,
      /, 0 B\/s; GetSnapshotBlock of block 17 failed: too many requests; no progress for 2 min 50 s, giving up in 7 min 10 s$/,
    );
  });

  test('names the service as what it waits for before the first event', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (_emit, { clock }) =>
      clock.advance(10_000),
    );
    assert.match(stderr.lines[0]!, /nothing transferred yet; waiting for the service; no progress for 10 s/);
  });

  test('includes retries, throttles and a reduced rate', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock }) => {
      emit(progress(0));
      clock.advance(1000);
      emit(progress(MiB, { retries: 1, throttles: 2, requestsPerSecond: 480.5, requestsInFlight: 12 }));
      clock.advance(9000);
    });
    assert.match(
      stderr.text,
      /; 1 retry, 2 throttles, now at most 480 requests\/s, slow line: at most 12 in flight; waiting for the service; no progress for 9\.0 s\n/,
    );
  });

  test('includes warnings and, with --verbose, every retry', async () => {
    const script = (emit: TransferListener) => {
      emit(retry);
      emit({ type: 'warning', code: 'NOT_PROBED', message: 'the journal cannot be written' });
    };
    const normal = await scripted('download snap-1 disk.img', script);
    assert.match(normal.stderr.text, /^warning: the journal cannot be written\n/);
    const verbose = await scripted('download --verbose snap-1 disk.img', script);
    assert.match(
      verbose.stderr.text,
      /^GetSnapshotBlock of block 17 failed: too many requests; retrying in 4\.0 s \(attempt 3\)\nwarning/,
    );
  });

  test('includes what an earlier run has done', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit) =>
      emit({ ...startEvent, bytesResumed: 512 * MiB } as TransferEvent),
    );
    assert.match(stderr.lines[0]!, /, resuming, 512\.0 MiB already done$/);
  });

  test('redacts secrets', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit) =>
      emit({ type: 'warning', code: 'NOT_PROBED', message: 'blockToken=AAAABBBB is odd' }),
    );
    assert.match(stderr.text, /^warning: blockToken=\[redacted\] is odd\n/);
  });

  test('includes the state of the snapshot waited for', async () => {
    const world: World = makeWorld({
      async waitForSnapshot(options) {
        options.onEvent?.({
          type: 'status',
          snapshotId: 'snap-1',
          status: 'pending',
          progressPercent: 40,
          attempt: 1,
        });
        world.clock.advance(10_000);
        return { snapshotId: 'snap-1', status: 'completed', attempts: 4, elapsedMs: 6000 };
      },
    });
    assert.equal(await world.run('wait snap-1'), 0);
    assert.equal(world.stderr.lines[0], 'snap-1 is in state "pending" (40 %) (10 s)');
    assert.equal(world.stderr.lines.at(-1), 'snap-1 is in state "completed" after 6.0 s');
    assert.equal(world.stdout.text, '');
  });

  test('stops its timers after success and failure', async () => {
    const good = await scripted('download snap-1 disk.img', () => {});
    assert.equal(good.clock.running, 0);
    const bad = makeWorld({ downloadSnapshot: () => Promise.reject(new Error('no')) });
    await bad.run('download snap-1 disk.img');
    assert.equal(bad.clock.running, 0);
    assert.equal(bad.signals.eventNames().length, 0);
  });
});

describe('an honest display', () => {
  const GiB = 1024 * MiB;

  test('gives percent and time of the bytes to move, not of the volume', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock, signals }) => {
      emit(startEvent);
      const move = { bytesTotal: 100 * GiB, bytesToMove: 100 * MiB, bytesToMoveKnown: true };
      emit(progress(0, move));
      for (let second = 1; second <= 10; second++) {
        clock.advance(1000);
        emit(progress(2 * MiB * second, { ...move, bytesDone: 90 * GiB }));
      }
      signals.emit('SIGUSR2');
    });
    assert.equal(stderr.lines.at(-2), '20.0 MiB of 100.0 MiB (20 %), 2.0 MiB/s, about 40 s left');
  });

  test('gives neither percent nor time before the amount is known', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock, signals }) => {
      emit(progress(0, { bytesToMove: 5 * GiB, bytesToMoveKnown: false }));
      for (let second = 1; second <= 10; second++) {
        clock.advance(1000);
        emit(progress(2 * MiB * second, { bytesToMove: 5 * GiB, bytesToMoveKnown: false }));
      }
      signals.emit('SIGUSR2');
    });
    assert.equal(stderr.lines.at(-2), '20.0 MiB of at least 5.0 GiB, 2.0 MiB/s');
  });

  test('is at 100 % only when the zeros are written too, and gives no remaining time below a second', async () => {
    const all = { bytesTotal: 2 * GiB, bytesToMove: GiB };
    const { stderr } = await scripted('download snap-1 disk.img', (emit, { clock, signals }) => {
      emit(progress(0, all));
      clock.advance(8000);
      emit(progress(GiB - MiB, all));
      signals.emit('SIGUSR2');
      emit(progress(GiB, all));
      signals.emit('SIGUSR2');
      emit(progress(2 * GiB, { ...all, bytesTransferred: GiB }));
      signals.emit('SIGUSR2');
    });
    const lines = [...new Set(stderr.lines.filter((line) => /128\.0|127\.9/.test(line)))];
    assert.deepEqual(lines, [
      '1023.0 MiB of 1.0 GiB (99 %), 127.9 MiB/s',
      '1.0 GiB of 1.0 GiB (99 %), 128.0 MiB/s',
      '1.0 GiB of 1.0 GiB (100 %), 128.0 MiB/s',
    ]);
  });

  test('has a rate of 0 and no time after 3 s without bytes, and names the side that is waited for', async () => {
    const { stderr, signals } = await scripted('download snap-1 disk.img', (emit, world) => {
      emit(progress(0));
      world.clock.advance(1000);
      emit(progress(MiB));
      emit({ type: 'waiting', what: 'zeros to be written to stdout', on: 'disk', silentMs: 1000 });
      world.clock.advance(2999);
      world.signals.emit('SIGUSR2');
      world.clock.advance(1);
      world.signals.emit('SIGUSR2');
      emit(progress(2 * MiB));
      world.clock.advance(3000);
      world.signals.emit('SIGUSR2');
    });
    assert.equal(signals.listenerCount('SIGUSR2'), 0);
    assert.match(stderr.lines[0]!, /^1\.0 MiB of 1\.0 GiB \(0 %\), 0\.\d MiB\/s, about .* left$/);
    assert.equal(
      stderr.lines[1],
      '1.0 MiB of 1.0 GiB (0 %), 0 B/s; waiting for zeros to be written to stdout; no progress for 3.0 s',
    );
    assert.match(stderr.lines[2]!, /; waiting for the service; no progress for 3\.0 s$/, 'not what was');
  });

  test('counts down to the next try and to giving up', async () => {
    const { stderr } = await scripted('download --retry-for 30 snap-1 disk.img', (emit, world) => {
      emit(progress(MiB));
      world.clock.advance(10_000);
      emit({ ...retry, delayMs: 6000 } as TransferEvent);
      world.clock.advance(2000);
      world.signals.emit('SIGUSR2');
    });
    assert.match(
      stderr.lines.at(-2)!,
      /; GetSnapshotBlock of block 17 failed: too many requests; no progress for 12 s, next try in 4\.0 s, giving up in 18 s$/,
    );
  });

  test('shows how far it has verified what an earlier run has done, and then transfers', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit, world) => {
      emit({ type: 'phase', phase: 'verifying', bytesDone: 0, bytesTotal: GiB });
      world.clock.advance(5000);
      emit({ type: 'phase', phase: 'verifying', bytesDone: GiB / 2, bytesTotal: GiB });
      world.signals.emit('SIGUSR2');
      emit(startEvent);
      emit(progress(0));
      world.signals.emit('SIGUSR2');
    });
    assert.match(
      stderr.lines[0]!,
      /; verifying what an earlier run has done: 512\.0 MiB of 1\.0 GiB \(5\.0 s\)$/,
    );
    assert.match(stderr.lines.at(-2)!, /^0 B of 1\.0 GiB \(0 %\), 0 B\/s$/);
  });

  test('says that a snapshot is resumed', async () => {
    const { stderr } = await scripted('download snap-1 disk.img', (emit) =>
      emit({ type: 'snapshot', snapshotId: 'snap-new', resumed: true }),
    );
    assert.equal(stderr.lines[0], 'resuming snapshot snap-new');
  });

  test('says what part of the volume an upload left empty', async () => {
    const result = {
      ...uploadResult,
      bytesTransferred: 64 * MiB,
      bytesSkipped: 960 * MiB,
      bytesZero: 960 * MiB,
    };
    const world = makeWorld({
      uploadSnapshot: async () => ({ ...result, transferMs: 1000, elapsedMs: 60_000 }),
    });
    await world.run('upload disk.img');
    assert.match(
      world.stderr.text,
      / in 1 min 0 s, 64\.0 MiB sent at 64\.0 MiB\/s, 960\.0 MiB of the volume left empty, 3 retries\n$/,
    );
  });

  test('says how much of what was received are zeros', async () => {
    const result = { ...downloadResult, bytesTransferred: GiB, bytesSkipped: 0, bytesZero: 1020 * MiB };
    const world = makeWorld({ downloadSnapshot: async () => result });
    await world.run('download snap-1 disk.img');
    assert.match(world.stderr.text, /1\.0 GiB received at 512\.0 MiB\/s, 1020\.0 MiB of it zeros, /);
  });

  test('says how far a failed run came', async () => {
    const world: World = makeWorld({
      async downloadSnapshot({ onEvent }) {
        onEvent?.(progress(256 * MiB));
        throw new ColdsnapError('local', 'ENOSPC', 'the disk is full');
      },
    });
    assert.equal(await world.run('download snap-1 disk.img'), 1);
    assert.match(
      world.stderr.text,
      /^256\.0 MiB of 1\.0 GiB of the volume were done\.\ncoldsnap: the disk is full\n/,
    );
  });
});

describe('json progress', () => {
  test('is one object per line: start, progress at most once a second, retry, warning, done', async () => {
    const { stderr } = await scripted('--progress json download snap-1 disk.img', (emit, { clock }) => {
      emit(startEvent);
      for (let step = 0; step < 20; step++) {
        emit(progress(step * MiB));
        clock.advance(250);
      }
      emit(retry);
      emit({ type: 'warning', code: 'NOT_PROBED', message: 'm' });
      emit({ type: 'done', snapshotId: 'snap-1', ...progressOf() });
    });
    const objects = stderr.lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      objects.map(({ type }) => type),
      ['start', 'progress', 'progress', 'progress', 'progress', 'progress', 'retry', 'warning', 'done'],
    );
    assert.equal(objects[5].bytesDone, 16 * MiB);
    assert.equal(objects[5].bytesPerSecond, 4 * MiB);
    assert.equal(objects[5].etaSeconds, 252);
    assert.deepEqual([objects[8].volumeSize, objects[8].retries, objects[8].path], [2 ** 30, 3, 'disk.img']);
  });

  test('is the default with --json unless --progress is given', async () => {
    const json = await scripted('download --json snap-1 disk.img', (emit) => emit(startEvent));
    assert.equal(JSON.parse(json.stderr.lines[0]!).type, 'start');
    const plain = await scripted('download --json --progress plain snap-1 disk.img', (emit) =>
      emit(startEvent),
    );
    assert.match(plain.stderr.lines[0]!, /^downloading/);
  });

  test('prints an object every 10 s without progress', async () => {
    const { stderr } = await scripted('--progress json download snap-1 disk.img', (_emit, { clock }) =>
      clock.advance(30_000),
    );
    assert.equal(stderr.lines.length, 4);
    assert.match(JSON.parse(stderr.lines[2]!).activity, /no progress for 30 s/);
  });

  test('remains valid JSON after redaction', async () => {
    const { stderr } = await scripted('--progress json download snap-1 disk.img', (emit) =>
      emit({ type: 'warning', code: 'NOT_PROBED', message: 'got {"BlockToken":"AAAA"} and "more"' }),
    );
    assert.equal(JSON.parse(stderr.lines[0]!).message, 'got {"BlockToken":[redacted]} and "more"');
  });
});

describe('no progress', () => {
  test('with --no-progress and --progress none prints warnings and the summary', async () => {
    for (const flag of ['--no-progress', '--progress none', '--progress tty --no-progress']) {
      const { stderr } = await scripted(`download ${flag} snap-1 disk.img`, (emit, { clock }) => {
        emit(startEvent);
        emit(progress(MiB));
        clock.advance(60_000);
        emit({ type: 'warning', code: 'NOT_PROBED', message: 'm' });
      });
      assert.equal(stderr.lines.length, 2);
      assert.match(stderr.text, /^warning: m\ndownloaded /);
    }
  });

  test('with --quiet prints nothing on stderr and the result on stdout', async () => {
    const world: World = makeWorld({
      async uploadSnapshot(options) {
        options.onEvent?.({ type: 'snapshot', snapshotId: 'snap-new' });
        options.onEvent?.({ type: 'warning', code: 'NOT_PROBED', message: 'm' });
        return uploadResult;
      },
    });
    assert.equal(await world.run('--quiet upload disk.img'), 0);
    assert.equal(world.stderr.text, '');
    assert.equal(world.stdout.text, 'snap-new\n');
  });
});

describe('results on stdout', () => {
  test('an upload prints its snapshot ID on stderr when created and on stdout when complete', async () => {
    const world: World = makeWorld({
      async uploadSnapshot(options) {
        options.onEvent?.({ type: 'snapshot', snapshotId: 'snap-new' });
        assert.match(world.stderr.text, /created snapshot snap-new\n$/);
        assert.equal(world.stdout.text, '');
        return uploadResult;
      },
    });
    assert.equal(await world.run('upload disk.img'), 0);
    assert.equal(world.stdout.text, 'snap-new\n');
    assert.match(world.stderr.lines.at(-1)!, /^uploaded disk\.img to snap-new: /);
  });

  /** An upload that completes, after which waiting fails. */
  const uploadsThenFailsToWait: Partial<Library> = {
    async uploadSnapshot({ onEvent }) {
      onEvent?.({ type: 'snapshot', snapshotId: 'snap-new' });
      onEvent?.({ type: 'phase', phase: 'waiting' });
      throw new ColdsnapError('gave-up', 'WAIT_TIMED_OUT', 'snap-new is still pending after 90 s');
    },
  };

  test('an upload prints its ID before it waits, and then only waiting is to be run again', async () => {
    const world = makeWorld(uploadsThenFailsToWait);
    const wait = ['--wait', '--timeout', '90s', '--desired-status', 'completed'];
    assert.equal(await world.run(['--endpoint', 'http://h', 'upload', ...wait, 'disk.img']), 5);
    assert.equal(world.stdout.text, 'snap-new\n');
    assert.equal(
      world.stderr.lines.at(-1),
      '  Run it again: coldsnap wait --endpoint http://h --desired-status completed --timeout 90s snap-new',
    );
  });

  test('an upload that saves digests is to be run again, unless that would upload again', async () => {
    for (const [line, again] of [
      ['upload --wait --save-digests d disk.img', 'coldsnap upload --wait --save-digests d disk.img'],
      ['upload --wait --save-digests d --no-checkpoint disk.img', 'coldsnap wait snap-new'],
      ['upload --wait --save-digests d --volume-size 1 -', 'coldsnap wait snap-new'],
    ] as const) {
      const world = makeWorld(uploadsThenFailsToWait);
      assert.equal(await world.run(line), 5);
      assert.equal(world.stdout.text, 'snap-new\n');
      assert.equal(world.stderr.lines.at(-1), `  Run it again: ${again}`);
    }
  });

  test('on a terminal and with --json an upload prints its ID after waiting', async () => {
    const terminal = makeWorld(uploadsThenFailsToWait);
    terminal.stdout.isTTY = true;
    assert.equal(await terminal.run('upload --wait disk.img'), 5);
    assert.equal(terminal.stdout.text, '');
    const json = makeWorld(uploadsThenFailsToWait);
    assert.equal(await json.run('upload --wait --json disk.img'), 5);
    assert.equal(json.stdout.text, '');
    assert.equal(JSON.parse(json.stderr.lines.at(-1)!).runAgain, 'coldsnap wait snap-new');
  });

  test('an upload whose ID cannot be printed names its snapshot, and is not to be run again', async () => {
    for (const line of [
      '--quiet upload disk.img',
      'upload --json disk.img',
      '--quiet upload --wait disk.img',
    ]) {
      const world = makeWorld(
        line.includes('--wait')
          ? {
              async uploadSnapshot({ onEvent }) {
                onEvent?.({ type: 'snapshot', snapshotId: 'snap-new' });
                onEvent?.({ type: 'phase', phase: 'waiting' });
                return uploadResult;
              },
            }
          : {},
      );
      world.stdout._write = (_chunk, _encoding, callback: (error?: Error) => void) =>
        callback(Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' }));
      world.stdout.on('error', () => {});
      assert.equal(await world.run(line), 1, line);
      const last = world.stderr.lines.slice(line.includes('--json') ? -1 : -2).join('\n');
      assert.match(last, /could not write the ID of snapshot snap-new to stdout: no space left/);
      assert.match(last, /The upload is done: the snapshot is snap-new\. Do not upload again\./);
      assert.doesNotMatch(last, /again:|runAgain/);
    }
  });

  test('a failed upload prints nothing on stdout', async () => {
    const world = makeWorld({ uploadSnapshot: () => Promise.reject(new Error('no')) });
    assert.equal(await world.run('upload disk.img'), 1);
    assert.equal(world.stdout.text, '');
  });

  test('--json prints one document', async () => {
    const world = makeWorld();
    await world.run('download --json snap-1 disk.img');
    const download = JSON.parse(world.stdout.text);
    assert.deepEqual(
      [download.operation, download.snapshotId, download.path, download.volumeSize, download.bytesPerSecond],
      ['download', 'snap-1', 'disk.img', 2 ** 30, 2 ** 28],
    );
    for (const line of ['upload --json disk.img', 'wait --json snap-1']) {
      const other = makeWorld();
      await other.run(line);
      assert.equal(JSON.parse(other.stdout.text).status, 'completed');
    }
  });

  test('--json prints no document after the image', async () => {
    const world = makeWorld();
    assert.equal(await world.run('download --json snap-1 -'), 0);
    assert.equal(world.stdout.text, '');
  });
});

describe('progress on a terminal', () => {
  /** Text without colors and cursor movements. */
  const visible = (text: string) => stripVTControlCharacters(text);
  const onTerminal = (world: World) => {
    world.stderr.isTTY = true;
    world.env.TERM = 'xterm';
  };

  test('is used if stderr is a terminal, and is at most six lines high', async () => {
    const { stderr, stdout } = await scripted(
      'download snap-1 disk.img',
      (emit, { clock }) => {
        emit(startEvent);
        emit(progress(0));
        clock.advance(1000);
        emit(progress(256 * MiB, { retries: 2, throttles: 1, requestsPerSecond: 10, requestsInFlight: 3 }));
        clock.advance(200);
        emit({ type: 'phase', phase: 'committing' });
        clock.advance(200);
      },
      onTerminal,
    );
    assert.ok(stderr.text.includes('\x1b[36m'));
    const frame = visible(stderr.text).split('\n');
    const at = frame.findIndex((line) => line.includes('25 %'));
    assert.match(frame[at - 1]!, /^\S snap-1 to disk\.img$/);
    assert.equal(frame[at], `  [${'='.repeat(10)}${' '.repeat(30)}] 25 %`);
    assert.match(frame[at + 1]!, /^ {2}256\.0 MiB of 1\.0 GiB \(25 %\), 213\.3 MiB\/s, about 3\.6 s left$/);
    assert.match(frame[at + 2]!, /^ {2}2 retries, 1 throttle, now at most 10 requests\/s/);
    const phase = frame.findIndex((line) => line.includes('flushing the target'));
    assert.match(frame[phase]!, /^ {2}flushing the target \(0\.2 s\)$/);
    assert.equal(frame[phase - 2], '  256.0 MiB transferred');
    assert.match(frame[phase - 3]!, /^\S snap-1 to disk\.img$/, 'no bar, no rate');
    assert.match(frame.at(-2)!, /^downloaded snap-1 to disk\.img: /);
    assert.equal(stdout.text, '');
  });

  test('restores the cursor and stderr at the end', async () => {
    const { stderr, clock } = await scripted('download snap-1 disk.img', () => {}, onTerminal);
    assert.ok(stderr.text.lastIndexOf('\x1b[?25h') > stderr.text.lastIndexOf('\x1b[?25l'));
    assert.equal(clock.running, 0);
    const before = stderr.text.length;
    stderr.write('after');
    assert.equal(stderr.text.slice(before), 'after');
  });

  test('keeps permanent lines above it', async () => {
    const { stderr } = await scripted(
      'download snap-1 disk.img',
      async (emit, { clock }) => {
        emit({ type: 'warning', code: 'NOT_PROBED', message: 'first' });
        emit({ type: 'warning', code: 'NOT_PROBED', message: 'second' });
        await new Promise(setImmediate);
        clock.advance(200);
        emit({ type: 'warning', code: 'NOT_PROBED', message: 'third' });
      },
      onTerminal,
    );
    const lines = visible(stderr.text).split('\n');
    for (const word of ['first', 'second', 'third'])
      assert.ok(
        lines.some((line) => line.endsWith(`warning: ${word}`)),
        word,
      );
  });

  test('fits a narrow terminal and honors --no-color', async () => {
    const { stderr } = await scripted(
      'download --no-color snap-1 a-file-with-a-rather-long-name.img',
      (emit, { clock }) => {
        emit(progress(MiB));
        clock.advance(400);
      },
      (world) => {
        onTerminal(world);
        world.stderr.columns = 30;
      },
    );
    const lines = visible(stderr.text).split('\n').slice(0, -2);
    assert.ok(
      lines.every((line) => line.length < 30),
      stderr.text,
    );
    assert.ok(!stderr.text.includes('\x1b[36m'));
  });

  test('is not used on a terminal of unknown size', async () => {
    const { stderr } = await scripted(
      'download snap-1 disk.img',
      (emit) => emit(startEvent),
      (world) => {
        onTerminal(world);
        world.stderr.columns = 0;
      },
    );
    assert.match(stderr.text, /^downloading/);
  });

  test('is not used on a dumb terminal', async () => {
    const { stderr } = await scripted(
      'download snap-1 disk.img',
      (emit) => emit(startEvent),
      (world) => {
        world.stderr.isTTY = true;
        world.env.TERM = 'dumb';
      },
    );
    assert.equal(stderr.lines.length, 2);
  });
});
