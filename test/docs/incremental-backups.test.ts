/** Runs the commands of docs/incremental-backups.md in order, and those that cron and systemd would run. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { bytesAt } from '../support/service.ts';
import { Workplace } from '../support/workplace.ts';
import { read } from './markdown.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Small, because each command reads all of it. */
const DISK_BYTES = 64 * MIB;
const document = read('docs/incremental-backups.md');

/** The contents of the fence under `<!-- tested: name -->`. */
function fence(name: string): string {
  const [, text] =
    new RegExp(`^<!-- tested: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(document) ?? [];
  assert.ok(text, `no fence ${name}`);
  return text;
}

/** Changes a part of the disk, as a day of work would. */
async function work(disk: string, backing: string): Promise<void> {
  const file = openSync(backing, 'r+');
  writeSync(file, randomBytes(MIB), 0, MIB, 30 * MIB);
  closeSync(file);
  await forgetCache(disk);
}

/** The snapshot that the digest file names. */
function latestIn(folder: string): string {
  const file = readdirSync(folder).find((name) => name.endsWith('.digests'));
  const start = readFileSync(join(folder, file!), 'latin1');
  return /"snapshotId":"([^"]*)"/.exec(start)![1]!;
}

const skip = needsBuild.skip ?? needsLoop.skip ?? false;

test('every command of docs/incremental-backups.md works', { skip }, async (t) => {
  const place = await Workplace.for(t);
  const scratch = await Scratch.for(t);
  const { device: disk, backing } = await scratch.loop({ bytes: DISK_BYTES });
  const { device: standby, backing: restored } = await scratch.loop({ bytes: GIB });
  const folder = scratch.path('folder');
  mkdirSync(folder);
  const bin = join(place.home, 'bin');
  for (const name of ['backup-disk', 'follow-backup'])
    writeFileSync(join(bin, name), fence(name), { mode: 0o755 });
  const env = { DISK: disk, STANDBY: standby, FOLDER: folder, STATE_DIRECTORY: scratch.path('state') };
  const shell = async (script: string): Promise<void> => {
    await work(disk, backing);
    place.emulator.clearLog();
    const { exit, stdout, stderr } = await place.shell(script, env);
    assert.equal(exit, 0, `${script}\n${stdout}\n${stderr}`);
  };
  const puts = () => place.emulator.requests('PutSnapshotBlock').length;
  const gets = () => place.emulator.requests('GetSnapshotBlock').length;

  const steps = [...document.matchAll(/^<!-- tested -->\n```sh\n([\s\S]*?)^```$/gm)].map(
    ([, script]) => script!,
  );
  assert.equal(steps.length, 5);
  const [first, second, restore, follow, lost] = steps as [string, string, string, string, string];
  await shell(first);
  assert.equal(puts(), DISK_BYTES / 524_288);
  await shell(second);
  assert.deepEqual([puts(), gets()], [2, 0], 'only the new MiB is sent, and nothing fetched');
  await shell(restore);
  await shell(follow);
  assert.equal(puts(), 2);
  const standbyHolds = () => readFileSync(join(folder, 'standby'), 'utf8').trim();
  const assertStandby = async (held: string) => {
    assert.equal(standbyHolds(), held);
    const image = await place.emulator.readImage(held);
    assert.ok(bytesAt(restored, 0, DISK_BYTES).equals(bytesAt(image, 0, DISK_BYTES)));
  };
  const followed = standbyHolds();
  await assertStandby(followed);

  // A night when the standby is interrupted, and one with a newer snapshot: it finishes the first and then follows.
  await shell(second);
  const interrupted = latestIn(folder);
  place.emulator.setFaults([
    {
      operation: 'GetSnapshotBlock',
      snapshotId: interrupted,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const again = 'follow-backup "$DISK" "$FOLDER" "$STANDBY"';
  assert.equal((await place.shell(again, env)).exit, 4);
  assert.ok(bytesAt(restored, 0, MIB).every((byte) => byte === 0));
  assert.equal(standbyHolds(), followed);
  place.emulator.setFaults([]);
  await shell(second);
  const latest = latestIn(folder);
  for (const held of [interrupted, latest, latest]) {
    assert.equal((await place.shell(again, env)).exit, 0);
    await assertStandby(held);
  }
  await shell(lost);
  assert.equal(puts(), 2);

  // The commands of cron and systemd, with the paths of this test.
  const lines = [/^[\d*/ ]+ root (.+)$/m.exec(fence('cron')), /^ExecStart=(.+)$/m.exec(fence('service'))];
  for (const line of lines) {
    const command = line![1]!
      .replace('/usr/local/sbin/backup-disk', join(bin, 'backup-disk'))
      .replace('/dev/nvme1n1', disk)
      .replace('/var/lib/backup-disk', folder);
    await shell(command);
    assert.equal(puts(), 2, command);
  }
});
