import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts';
import { stackLines } from '../../src/cli/render-error.ts';
import type { ErrorCode } from '../../src/error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../../src/errors.ts';
import { makeWorld } from './support.ts';

/** Runs a download that fails with `error`. */
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

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return assert.fail('it did not throw');
}

describe('exit codes', () => {
  for (const [errorClass, exitCode] of Object.entries(expectedCodes)) {
    test(`class ${errorClass} exits with ${exitCode}`, async () => {
      const error = new ColdsnapError(errorClass as ErrorClass, 'SERVICE_REJECTED', 'it failed');
      assert.equal((await failWith(error)).exitCode, exitCode);
    });
  }

  test('each class and each code is in the table once', () => {
    const listed = exitCodes.flatMap((row) => [...(row.classes ?? []), ...(row.codes ?? [])]);
    assert.equal(new Set(listed).size, listed.length);
  });

  test('giving up after wrong checksums or expired credentials keeps their exit code', () => {
    const gaveUp = (cause: unknown) => new ColdsnapError('gave-up', 'THROTTLED', 'gave up', { cause });
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('integrity', 'CHECKSUM_MISMATCH', 'x'))), 6);
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('expired-credentials', 'CREDENTIALS_EXPIRED', 'x'))), 4);
    assert.equal(exitCodeOf(gaveUp(new ColdsnapError('throttle', 'THROTTLED', 'x'))), 5);
    assert.equal(exitCodeOf(gaveUp(new Error('x'))), 5);
  });

  test('signals and a closed pipe have exit codes of their own', () => {
    const aborted = (code: ErrorCode) => exitCodeOf(new ColdsnapError('aborted', code, 'stopped'));
    assert.deepEqual((['SIGHUP', 'SIGINT', 'SIGTERM'] as const).map(aborted), [129, 130, 143]);
    assert.equal(exitCodeOf(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })), 141);
  });

  test('anything else exits with 1', () => {
    for (const thrown of [new TypeError('x'), 'text', undefined, null, 7])
      assert.equal(exitCodeOf(thrown), 1);
  });
});

describe('error messages', () => {
  test('have a line for the failure and a line for the remedy', async () => {
    const { stderr } = await failWith(
      new ColdsnapError('refused', 'TARGET_READ_ONLY', '/dev/sdb is a read-only device', {
        hint: 'Choose another device.',
      }),
    );
    assert.match(stderr, /^coldsnap: \/dev\/sdb is a read-only device\n {2}Choose another device\.\n$/);
  });

  test('have a second line with operation, snapshot, block, path and request ID unless the message has them', async () => {
    const details = {
      operation: 'GetSnapshotBlock',
      snapshotId: 'snap-1',
      block: 17,
      requestId: 'r-1',
      path: '/x',
    };
    const { stderr } = await failWith(
      new ColdsnapError('permanent', 'SERVICE_REJECTED', 'it was denied.', details),
    );
    assert.match(
      stderr,
      /^coldsnap: it was denied\n {2}GetSnapshotBlock, snap-1, block 17, \/x, request ID r-1\n/,
    );
  });

  test('do not repeat themselves', async () => {
    const { stderr } = await failWith(
      new ColdsnapError('permanent', 'SERVICE_REJECTED', 'GetSnapshotBlock of block 17 failed', {
        operation: 'GetSnapshotBlock',
        block: 17,
      }),
    );
    assert.match(stderr, /^coldsnap: GetSnapshotBlock of block 17 failed\n/);
    const other = await failWith(
      new ColdsnapError('permanent', 'SERVICE_REJECTED', 'block 170 failed', { block: 17 }),
    );
    assert.match(other.stderr, /block 170 failed\n {2}block 17\n/);
    const stdin = await failWith(new ColdsnapError('usage', 'SOURCE_EMPTY', 'stdin is empty', { path: '-' }));
    assert.match(stdin.stderr, /^coldsnap: stdin is empty\n/);
  });

  test('print the command line to run again after giving up', async () => {
    const { lines } = await failWith(
      new ColdsnapError('gave-up', 'SERVICE_ERROR', 'gave up'),
      'download --fresh snap-1 a\\b.img',
    );
    assert.equal(lines.at(-1), "  Run it again: coldsnap download snap-1 'a'\\\\'b.img'");
  });

  test('print no command line to run again after a refusal', async () => {
    assert.doesNotMatch(
      (await failWith(new ColdsnapError('refused', 'TARGET_EXISTS', 'no'))).stderr,
      /Run it again/,
    );
  });

  test('describe a failed system call with its path', async () => {
    const { exitCode, stderr } = await failWith(thrownBy(() => readFileSync('/nonexistent/file')));
    assert.equal(exitCode, 1);
    assert.equal(stderr, 'coldsnap: cannot open /nonexistent/file: no such file or directory\n');
  });

  test('describe a temporary directory that cannot be created without the name of the call', async () => {
    const { stderr } = await failWith(thrownBy(() => mkdtempSync('/nonexistent/ebs-')));
    assert.equal(stderr, 'coldsnap: cannot create /nonexistent/ebs-XXXXXX: no such file or directory\n');
  });

  test('suggest freeing space on a full disk', async () => {
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

  test('name the address of a refused connection', async () => {
    const error = Object.assign(new Error('x'), {
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: '::1',
      port: 9,
    });
    assert.match((await failWith(error)).stderr, /^coldsnap: cannot connect to ::1:9: connection refused\n/);
  });

  test('ask for a report of an internal error', async () => {
    const { exitCode, stderr } = await failWith(new TypeError('x is not a function'));
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^coldsnap: internal error: TypeError: x is not a function\n {2}This is a bug.*report/,
    );
  });

  test('include stacks and causes only with --verbose', async () => {
    const error = new ColdsnapError('permanent', 'SERVICE_REJECTED', 'outer', {
      cause: new RangeError('inner'),
    });
    assert.doesNotMatch((await failWith(error)).stderr, /\n {4}at /);
    const { stderr } = await failWith(error, '--verbose download snap-1 disk.img');
    assert.match(stderr, /ColdsnapError: outer\n {4}at [\s\S]*caused by RangeError: inner\n {4}at /);
    assert.match(stderr, /\ncoldsnap: outer\n$/);
  });

  test('contain no control characters from the service, even in stacks', async () => {
    const cause = new Error('\u001b[2J and on and on'.padEnd(9_000, '.'));
    const lines = stackLines(new ColdsnapError('permanent', 'SERVICE_REJECTED', 'it failed', { cause }));
    assert.ok(lines.some((line) => line.includes('?[2J and on')));
    assert.ok(lines.every((line) => !/\p{Cc}/u.test(line) && line.length < 2_100));
  });

  test('handle an error that is its own cause', async () => {
    const error: Error & { cause?: unknown } = new Error('circle');
    error.cause = error;
    assert.equal((await failWith(error, 'download --verbose snap-1 disk.img')).exitCode, 1);
  });

  test('are a JSON object on the last line with --json', async () => {
    const error = new ColdsnapError('gave-up', 'THROTTLED', 'gave up', {
      block: 17,
      requestId: 'r-1',
      hint: 'wait',
    });
    const { lines, exitCode, stdout } = await failWith(error, 'download --json snap-1 disk.img');
    assert.equal(exitCode, 5);
    assert.deepEqual(JSON.parse(lines.at(-1)!), {
      type: 'error',
      code: 'THROTTLED',
      class: 'gave-up',
      exitCode: 5,
      message: 'gave up',
      hint: 'wait',
      block: 17,
      requestId: 'r-1',
      runAgain: 'coldsnap download --json snap-1 disk.img',
    });
    assert.equal(stdout, '');
  });

  test('are printed with --quiet', async () => {
    const { lines } = await failWith(
      new ColdsnapError('permanent', 'SERVICE_REJECTED', 'failed'),
      '--quiet download snap-1 disk.img',
    );
    assert.deepEqual(lines, ['coldsnap: failed']);
  });

  test('do not mention a closed stdout', async () => {
    const { exitCode, stderr } = await failWith(
      new ColdsnapError('local', 'EPIPE', 'closed'),
      'download --quiet snap-1 -',
    );
    assert.deepEqual([exitCode, stderr], [141, '']);
  });

  test('contain no secrets in messages, stacks, causes or JSON', async () => {
    const cause = new Error('GET https://ebs.aws/snapshots/snap-1/blocks/3?blockToken=AAABBBCCC== 403');
    const error = new ColdsnapError('permanent', 'SERVICE_REJECTED', 'failed: {"NextToken":"AAABBBCCC"}', {
      cause,
    });
    for (const flag of ['--verbose', '--json', '--quiet']) {
      const { stderr } = await failWith(error, `download ${flag} snap-1 disk.img`);
      assert.doesNotMatch(stderr, /AAABBBCCC/);
      assert.match(stderr, /\[redacted\]/);
    }
  });
});

test('with --json every line of stderr is an object, also with --verbose, where the error has its stack', async () => {
  const error = new ColdsnapError('permanent', 'CONFLICT', 'refused');
  const { stderr } = await failWith(error, '--json --verbose download snap-1 disk.img');
  const lines = stderr.trimEnd().split('\n');
  const objects = lines.map((line) => JSON.parse(line) as { type: string; stack?: string[] });
  assert.ok(objects.at(-1)?.stack?.some((line) => line.includes('ColdsnapError')));
});
