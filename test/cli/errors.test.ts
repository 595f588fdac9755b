import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts';
import { stackLines } from '../../src/cli/messages.ts';
import { ColdsnapError, type ErrorClass } from '../../src/errors.ts';
import { makeWorld } from './support.ts';

/** Runs a download that fails, and returns what became of it. */
async function failWith(error: unknown, line = 'download snap-1 disk.img') {
  const world = makeWorld({ downloadSnapshot: () => Promise.reject(error) });
  const exitCode = await world.run(line);
  return { exitCode, stderr: world.stderr.text, lines: world.stderr.lines, stdout: world.stdout.text };
}

const expectedCodes: Record<ErrorClass, number> = {
  transient: 5,
  throttle: 5,
  'not-yet-visible': 5,
  'expired-block-token': 5,
  'expired-page-token': 5,
  'gave-up': 5,
  'expired-credentials': 4,
  config: 4,
  integrity: 6,
  permanent: 1,
  local: 1,
  aborted: 1,
  usage: 2,
  refused: 3,
};

describe('exit codes', () => {
  for (const [errorClass, exitCode] of Object.entries(expectedCodes)) {
    test(`a failure of class ${errorClass} ends with ${exitCode}`, async () => {
      const error = new ColdsnapError(errorClass as ErrorClass, 'CODE', 'it failed');
      assert.equal((await failWith(error)).exitCode, exitCode);
    });
  }

  test('each class and each code stands in the table once', () => {
    const listed = exitCodes.flatMap((row) => [...(row.classes ?? []), ...(row.codes ?? [])]);
    assert.equal(new Set(listed).size, listed.length);
  });

  test('retrying that ends does not hide that the data never had their checksum, or that credentials expired', () => {
    const gaveUp = (cause: unknown) => new ColdsnapError('gave-up', 'GAVE_UP', 'gave up', { cause });
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('integrity', 'X', 'x'))), 6);
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('expired-credentials', 'X', 'x'))), 4);
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('throttle', 'X', 'x'))), 5);
    assert.equal(exitCodeOf(gaveUp(new Error('x'))), 5);
  });

  test('signals and a closed pipe are told by their code', () => {
    const aborted = (code: string) => exitCodeOf(new ColdsnapError('aborted', code, 'stopped'));
    assert.deepEqual(['SIGHUP', 'SIGINT', 'SIGTERM'].map(aborted), [129, 130, 143]);
    assert.equal(exitCodeOf(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })), 141);
  });

  test('whatever else is thrown ends with 1', () => {
    for (const thrown of [new TypeError('x'), 'text', undefined, null, 7])
      assert.equal(exitCodeOf(thrown), 1);
  });
});

describe('messages', () => {
  test('are one sentence that says what failed, and one that says what to do', async () => {
    const { stderr } = await failWith(
      new ColdsnapError('refused', 'TARGET_IN_USE', '/dev/sdb is mounted on /data', {
        hint: 'Unmount it first.',
      }),
    );
    assert.match(stderr, /^coldsnap: \/dev\/sdb is mounted on \/data\n {2}Unmount it first\.\n$/);
  });

  test('name operation, snapshot, block, path and request ID where the sentence does not', async () => {
    const details = {
      operation: 'GetSnapshotBlock',
      snapshotId: 'snap-1',
      block: 17,
      requestId: 'r-1',
      path: '/x',
    };
    const { stderr } = await failWith(new ColdsnapError('permanent', 'C', 'it was denied.', details));
    assert.match(
      stderr,
      /^coldsnap: it was denied \(GetSnapshotBlock, snap-1, block 17, \/x, request ID r-1\)\n/,
    );
  });

  test('do not say anything twice', async () => {
    const { stderr } = await failWith(
      new ColdsnapError('permanent', 'C', 'GetSnapshotBlock of block 17 failed', {
        operation: 'GetSnapshotBlock',
        block: 17,
      }),
    );
    assert.match(stderr, /^coldsnap: GetSnapshotBlock of block 17 failed\n/);
    const other = await failWith(new ColdsnapError('permanent', 'C', 'block 170 failed', { block: 17 }));
    assert.match(other.stderr, /block 170 failed \(block 17\)/);
    const stdin = await failWith(new ColdsnapError('usage', 'C', 'stdin is empty', { path: '-' }));
    assert.match(stdin.stderr, /^coldsnap: stdin is empty\n/);
  });

  test("of the service's giving up print the command line to run again", async () => {
    const { lines } = await failWith(
      new ColdsnapError('gave-up', 'C', 'gave up'),
      'download --fresh snap-1 a\\b.img',
    );
    assert.equal(lines.at(-1), "  run it again: coldsnap download snap-1 'a'\\\\'b.img'");
  });

  test('of a refusal print no command line to run again', async () => {
    assert.doesNotMatch((await failWith(new ColdsnapError('refused', 'C', 'no'))).stderr, /run it again/);
  });

  test('of a failed system call are a plain sentence with the path', async () => {
    let error: unknown;
    try {
      readFileSync('/nonexistent/file');
    } catch (thrown) {
      error = thrown;
    }
    const { exitCode, stderr } = await failWith(error);
    assert.equal(exitCode, 1);
    assert.equal(stderr, 'coldsnap: cannot open /nonexistent/file: no such file or directory\n');
  });

  test('of a full disk say what helps', async () => {
    const error = Object.assign(new Error('ENOSPC'), {
      code: 'ENOSPC',
      errno: -28,
      syscall: 'pwrite',
      path: '/x',
    });
    const { stderr } = await failWith(error);
    assert.match(stderr, /^coldsnap: cannot write \/x: no space left on device\n {2}Free some space/);
    const own = await failWith(new ColdsnapError('local', 'ENOSPC', '/x is full'));
    assert.match(own.stderr, /\/x is full\n {2}Free some space/);
  });

  test('of a refused connection name the address', async () => {
    const error = Object.assign(new Error('x'), {
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: '::1',
      port: 9,
    });
    assert.match((await failWith(error)).stderr, /^coldsnap: cannot connect to ::1:9: connection refused\n/);
  });

  test('of a bug ask for a report', async () => {
    const { exitCode, stderr } = await failWith(new TypeError('x is not a function'));
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^coldsnap: internal error: TypeError: x is not a function\n {2}This is a bug.*report/,
    );
  });

  test('have no stack, unless --verbose asks for it and for the causes', async () => {
    const error = new ColdsnapError('permanent', 'C', 'outer', { cause: new RangeError('inner') });
    assert.doesNotMatch((await failWith(error)).stderr, /\n {4}at /);
    const { stderr } = await failWith(error, '--verbose download snap-1 disk.img');
    assert.match(stderr, /ColdsnapError: outer\n {4}at [\s\S]*caused by RangeError: inner\n {4}at /);
    assert.match(stderr, /\ncoldsnap: outer\n$/);
  });

  test('let no escape sequence of the service through, in stacks neither', async () => {
    const cause = new Error('\u001b[2J and on and on'.padEnd(9_000, '.'));
    const lines = stackLines(new ColdsnapError('permanent', 'X', 'it failed', { cause }));
    assert.ok(lines.some((line) => line.includes('?[2J and on')));
    assert.ok(lines.every((line) => !/\p{Cc}/u.test(line) && line.length < 2_100));
  });

  test('end with a cause that is its own cause', async () => {
    const error: Error & { cause?: unknown } = new Error('circle');
    error.cause = error;
    assert.equal((await failWith(error, 'download --verbose snap-1 disk.img')).exitCode, 1);
  });

  test('are one JSON object on the last line with --json', async () => {
    const error = new ColdsnapError('gave-up', 'GAVE_UP', 'gave up', {
      block: 17,
      requestId: 'r-1',
      hint: 'wait',
    });
    const { lines, exitCode, stdout } = await failWith(error, 'download --json snap-1 disk.img');
    assert.equal(exitCode, 5);
    assert.deepEqual(JSON.parse(lines.at(-1)!), {
      type: 'error',
      code: 'GAVE_UP',
      class: 'gave-up',
      exitCode: 5,
      message: 'gave up (block 17, request ID r-1)',
      hint: 'wait',
      block: 17,
      requestId: 'r-1',
      runAgain: 'coldsnap download --json snap-1 disk.img',
    });
    assert.equal(stdout, '');
  });

  test('are printed with --quiet too', async () => {
    const { lines } = await failWith(
      new ColdsnapError('permanent', 'C', 'failed'),
      '--quiet download snap-1 disk.img',
    );
    assert.deepEqual(lines, ['coldsnap: failed']);
  });

  test('keep quiet about a reader who went away', async () => {
    const { exitCode, stderr } = await failWith(
      new ColdsnapError('local', 'EPIPE', 'closed'),
      'download --quiet snap-1 -',
    );
    assert.deepEqual([exitCode, stderr], [141, '']);
  });

  test('show no secret: neither in the sentence, nor in stacks and causes, nor as JSON', async () => {
    const cause = new Error('GET https://ebs.aws/snapshots/snap-1/blocks/3?blockToken=AAABBBCCC== 403');
    const error = new ColdsnapError('permanent', 'C', 'failed: {"NextToken":"AAABBBCCC"}', { cause });
    for (const flag of ['--verbose', '--json', '--quiet']) {
      const { stderr } = await failWith(error, `download ${flag} snap-1 disk.img`);
      assert.doesNotMatch(stderr, /AAABBBCCC/);
      assert.match(stderr, /\[redacted\]/);
    }
  });
});
