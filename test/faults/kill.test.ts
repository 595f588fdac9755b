import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { noLoopDevices, Scratch } from '../support/loop.ts';
import { GIB } from '../support/service.ts';
import { Command, noStrace } from './command.ts';
import { inWords, type Kind, type Moment, Victim } from './kill.ts';

/** A few moments of each kind; `npm run test:kill` tries them all. */
const moments: Record<Kind, readonly (Moment | Moment[])[]> = {
  file: [
    { request: 2 },
    { request: 14 },
    { call: 'pwrite64', number: 7 },
    { call: 'fdatasync', number: 2 },
    { call: 'rename', number: 2 },
    { call: 'link', number: 1 },
    { call: 'unlink', number: 2 },
  ],
  device: [
    // Before the journal is saved for the first time, when it does not look blank any more.
    { request: 26, checkpointMs: 60_000 },
    { request: 9 },
    { call: 'pwrite64', number: 12 },
    { call: 'rename', number: 1 },
    { call: 'fsync', number: 3 },
    // When a part of its first blocks is there, and once more before that is put right.
    [{ call: 'pwrite64', number: 24 }, { request: 4 }],
  ],
  upload: [{ request: 1 }, { request: 12 }, { request: 25 }, { call: 'rename', number: 3 }],
};

async function killAt(t: TestContext, kind: Kind): Promise<void> {
  const scratch = await Scratch.for(t);
  const command = await Command.compile(scratch.directory);
  const device = kind === 'device' ? await scratch.loop({ bytes: GIB }) : undefined;
  for (const moment of moments[kind]) {
    const all = [moment].flat();
    if (all.some((one) => 'call' in one) && noStrace !== undefined) continue;
    const victim = await Victim.make(kind, command, scratch, device);
    assert.ok(await victim.killAndRunAgain(...all), `it ended before ${all.map(inWords)}`);
  }
}

test('a download to a file that is killed goes on where it was', (t) => killAt(t, 'file'));

test(
  'a download to a device that is killed goes on where it was',
  { ...(noLoopDevices === undefined ? {} : { skip: noLoopDevices }) },
  (t) => killAt(t, 'device'),
);

test('an upload that is killed goes on where it was, with the same snapshot', (t) => killAt(t, 'upload'));
