/**
 * Kills transfers at every request and at every system call that changes something, one after the other, and runs them
 * again; test/faults/kill.ts states what must hold. Half of them are killed a second time, and after a third of the kills
 * another program writes to the target or source.
 * Usage: npm run test:kill -- [--kind KIND] [--every N] [--call NAME] [--from N]
 */
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { Command, noStrace } from '../test/faults/command.ts';
import { describeMoment, kinds, type Moment, usesDevice, Victim } from '../test/faults/kill.ts';
import { noLoopDevices, Scratch } from '../test/support/loop.ts';
import { GIB } from '../test/support/service.ts';

const { values } = parseArgs({
  options: {
    kind: { type: 'string' },
    every: { type: 'string', default: '1' },
    /** Kills only at calls of this name, `request` for requests. */
    call: { type: 'string' },
    from: { type: 'string', default: '1' },
  },
});
const [every, from] = [values.every, values.from].map((text) => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new Error('--every and --from must be whole numbers from 1');
  return number;
}) as [number, number];

if (values.kind !== undefined && !kinds.some((kind) => kind === values.kind))
  throw new Error(`--kind must be one of ${kinds.join(', ')}`);

/** The system calls that change targets, journals and locks. */
const calls = [
  'pwrite64',
  'write',
  'fdatasync',
  'fsync',
  'rename',
  'link',
  'unlink',
  'ftruncate',
  'fallocate',
  'ioctl',
  'flock',
];

for (const kind of kinds) {
  if (values.kind !== undefined && values.kind !== kind) continue;
  const skip = usesDevice(kind) ? noLoopDevices : undefined;
  test(
    `a transfer (${kind}) killed at any point resumes and completes`,
    skip === undefined ? {} : { skip },
    async (t) => {
      const scratch = await Scratch.for(t);
      const command = await Command.compile(scratch.directory);
      const device = usesDevice(kind) ? await scratch.loop({ bytes: GIB }) : undefined;
      const killAll = async (moment: (number: number) => Moment) => {
        for (let number = from, tries = 0; ; number += every, tries++) {
          const victim = await Victim.make(kind, command, scratch, device);
          const more: Moment[] = tries % 2 === 0 ? [] : [{ request: 1 + (number % 7) }];
          const moments = [moment(number), ...more];
          const killed =
            tries % 3 === 2
              ? await victim.killWriteAndRunAgain(...moments)
              : await victim.killAndRunAgain(...moments);
          await victim.emulator.close();
          // A run may end before its second moment.
          if (!killed && more.length === 0) {
            process.stdout.write(`${kind}: killed ${tries} times, up to ${describeMoment(moment(number))}\n`);
            return;
          }
        }
      };
      const wanted = (call: string) => values.call === undefined || values.call === call;
      if (wanted('request')) await killAll((request) => ({ request }));
      if (noStrace !== undefined) t.diagnostic(noStrace);
      for (const call of noStrace === undefined ? calls.filter(wanted) : [])
        await killAll((number) => ({ call, number }));
    },
  );
}
