/** The meter, and the command lines of the C++ programs. */
import { strict as assert } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { layoutArguments, layoutOf } from '../../scripts/bench/layout.ts';
import { measure } from '../../scripts/bench/measure.ts';
import { buildPrograms, programPath } from '../../scripts/bench/programs.ts';
import { missing } from './support.ts';

describe("the bench's programs", { skip: missing() }, () => {
  before(() => buildPrograms());

  test('the meter reports exit status, CPU time and memory of the whole process', async () => {
    const busy = 'while (process.cpuUsage().user < 100000);';
    const run = await measure([process.execPath, '-e', `${busy} process.exit(7)`], { env: process.env });
    assert.equal(run.exitCode, 7);
    assert.ok(run.userS + run.sysS >= 0.1 && run.wallS >= 0.1 && run.peakKiB > 10_000);
    const missing = await measure(['/nonexistent'], { env: process.env });
    assert.equal(missing.exitCode, 127);
    // The memory of the parent process is not included.
    const small = await measure(['true'], { env: process.env });
    assert.ok(small.peakKiB < 10_000, `${small.peakKiB} KiB`);
  });

  test('the meter stops a command after the given time', async () => {
    const run = await measure(['sleep', 'infinity'], { env: process.env, stopAfterS: 1 });
    assert.deepEqual([run.exitCode, run.signal], [-1, 15]);
    assert.ok(run.wallS >= 1, `${run.wallS} s`);
  });

  test('the programs reject invalid arguments', () => {
    for (const [program, ...args] of [
      ['server', '--rate', 'fast'],
      ['image', 'write'],
      ['client', 'sideways'],
      ['client', 'download', '--file', '/nonexistent/x'],
      ['measure', '0'],
    ] as const) {
      const { status, stderr } = spawnSync(programPath(program), args, {
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      });
      assert.ok(status === 1 || status === 2, `${program} ${args.join(' ')}: ${status}`);
      assert.notEqual(stderr, '');
    }
  });

  test('the load server exits at the end of its input', () => {
    const output = execFileSync(programPath('server'), layoutArguments(layoutOf(1, { blocks: 24 })), {
      input: '',
      encoding: 'utf8',
    });
    assert.match(output, /^\{"port":\d+\}\n$/);
  });
});
