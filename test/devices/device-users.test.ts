/** How a process that has a device open is named. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { describeUsers } from '../../src/image/device/users.ts';
import { needsLoop, Scratch } from '../support/loop.ts';

test('a process is named by its command line, whatever its main thread is called', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 2 ** 20 });
  const script = 'exec 3<"$0"; echo MainThread >/proc/$$/comm; echo open; read -r';
  const child = spawn('/bin/bash', ['-c', script, device], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  await once(child.stdout, 'data');
  const { rdev } = statSync(device, { bigint: true });
  // Others may list the machine's devices, and open this one to see what is on it.
  const users = await describeUsers(rdev, { readers: true });
  const ofChild = users.filter((use) => use.includes(`(process ${child.pid})`));
  assert.deepEqual(ofChild, [`open in bash (process ${child.pid})`]);
});
