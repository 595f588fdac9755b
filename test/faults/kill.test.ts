import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { noLoopDevices, Scratch } from '../support/loop.ts';
import { GIB } from '../support/service.ts';
import { Command, noStrace } from './command.ts';
import { describeMoment, type Kind, type Moment, usesDevice, Victim } from './kill.ts';

/** A few kill points of each kind; `npm run test:kill` tries them all. */
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
    // Before the journal is first saved, when the device is no longer blank.
    { request: 26, checkpointMs: 60_000 },
    { request: 9 },
    { call: 'pwrite64', number: 12 },
    { call: 'rename', number: 1 },
    { call: 'fsync', number: 3 },
    // When a part of the first blocks is written, and again before the next run completes them.
    [{ call: 'pwrite64', number: 24 }, { request: 4 }],
  ],
  'file and device': [
    { request: 9 },
    { request: 26 },
    { call: 'pwrite64', number: 20 },
    { call: 'rename', number: 3 },
    { call: 'fsync', number: 3 },
    // When the partial file is about to be created.
    { call: 'unlink', number: 2 },
    // Around the two commits, and before the journals are removed.
    { call: 'link', number: 1 },
    { call: 'unlink', number: 3 },
    { call: 'unlink', number: 4 },
  ],
  upload: [
    { request: 1 },
    { request: 12 },
    { request: 25 },
    { call: 'rename', number: 3 },
    // When the snapshot is complete, and its ID is printed.
    { call: 'unlink', number: 1 },
  ],
  'incremental upload': [
    { request: 4 },
    { request: 30 },
    { call: 'rename', number: 3 },
    // When the digest file was created.
    { call: 'pwrite64', number: 1 },
    // When the snapshot is complete and the digest file has no name.
    { call: 'unlink', number: 1 },
  ],
  copy: [
    { request: 1 },
    { request: 12 },
    { request: 26 },
    { call: 'rename', number: 3 },
    { call: 'unlink', number: 1 },
  ],
  'copy source': [{ request: 2 }, { request: 14 }, [{ request: 20 }, { request: 8 }]],
  'incremental file': [
    { request: 8 },
    // Between the journal and the mark, around the change of the name, and before the old name returns.
    { call: 'fsync', number: 3 },
    { call: 'link', number: 1 },
    { call: 'unlink', number: 1 },
    { call: 'rename', number: 2 },
    { call: 'link', number: 2 },
    { call: 'unlink', number: 2 },
  ],
  'incremental device': [{ request: 8 }, { call: 'pwrite64', number: 3 }, { call: 'fsync', number: 3 }],
};

async function killAt(t: TestContext, kind: Kind): Promise<void> {
  const scratch = await Scratch.for(t);
  const command = await Command.compile(scratch.directory);
  const device = usesDevice(kind) ? await scratch.loop({ bytes: GIB }) : undefined;
  for (const moment of moments[kind]) {
    const all = [moment].flat();
    if (all.some((one) => 'call' in one) && noStrace !== undefined) continue;
    const victim = await Victim.make(kind, command, scratch, device);
    assert.ok(await victim.killAndRunAgain(...all), `it ended before ${all.map(describeMoment)}`);
  }
}

async function killAndWrite(t: TestContext, kind: Kind, moment: Moment): Promise<void> {
  const scratch = await Scratch.for(t);
  const command = await Command.compile(scratch.directory);
  const device = usesDevice(kind) ? await scratch.loop({ bytes: GIB }) : undefined;
  const victim = await Victim.make(kind, command, scratch, device);
  assert.ok(await victim.killWriteAndRunAgain(moment));
}

for (const kind of ['file', 'device', 'file and device', 'upload', 'incremental upload'] as const) {
  const skip = usesDevice(kind) ? noLoopDevices : undefined;
  test(
    `a killed transfer (${kind}) is right although another program wrote before the next run`,
    skip === undefined ? {} : { skip },
    (t) => killAndWrite(t, kind, { request: 16 }),
  );
}

test('a killed download to a file resumes', (t) => killAt(t, 'file'));

test(
  'a killed download to a device resumes',
  { ...(noLoopDevices === undefined ? {} : { skip: noLoopDevices }) },
  (t) => killAt(t, 'device'),
);

test(
  'a killed download to a file and a device resumes with what either lacks',
  { ...(noLoopDevices === undefined ? {} : { skip: noLoopDevices }) },
  (t) => killAt(t, 'file and device'),
);

test('a killed incremental download to a file resumes', (t) => killAt(t, 'incremental file'));

test(
  'a killed incremental download to a device resumes',
  { ...(noLoopDevices === undefined ? {} : { skip: noLoopDevices }) },
  (t) => killAt(t, 'incremental device'),
);

test('a killed incremental upload resumes, and saves the digests of all blocks', (t) =>
  killAt(t, 'incremental upload'));

test('a killed upload resumes, with the same snapshot', (t) => killAt(t, 'upload'));

for (const kind of ['copy', 'copy source'] as const) {
  test(`a killed copy resumes, with the same snapshot; kills by the requests of its ${kind === 'copy' ? 'destination' : 'source'}`, (t) =>
    killAt(t, kind));
}
