/** Runs the commands of docs/copy.md in order, between two emulators as two regions. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startEmulator } from '../../src/emulator/index.ts';
import { needsBuild } from '../support/built.ts';
import { randomBlocks } from '../support/service.ts';
import { Workplace } from '../support/workplace.ts';
import { read } from './markdown.ts';

const SNAP = 'snap-0123456789abcdef0';
const NEXT = 'snap-0fedcba9876543210';

/** A second region, and a profile in it. AWS has an endpoint for each region; here options name those of the emulators. */
async function addRegion(place: Workplace, t: TestContext) {
  const elsewhere = await startEmulator({ region: 'eu-west-1' });
  t.after(() => elsewhere.close());
  const bin = join(place.home, 'regions');
  mkdirSync(bin);
  const script = [
    '#!/bin/sh',
    'case "$*" in',
    `  *--to-*) exec ../home/bin/coldsnap "$@" --endpoint "$HERE" --to-endpoint "$ELSEWHERE" ;;`,
    `  *eu-west-1*) exec ../home/bin/coldsnap "$@" --endpoint "$ELSEWHERE" ;;`,
    `  *) exec ../home/bin/coldsnap "$@" --endpoint "$HERE" ;;`,
    'esac',
    '',
  ];
  writeFileSync(join(bin, 'coldsnap'), script.join('\n'), { mode: 0o755 });
  mkdirSync(join(place.home, '.aws'));
  const keys = 'aws_access_key_id = AKIDBACKUP\naws_secret_access_key = other\nregion = eu-west-1\n';
  writeFileSync(join(place.home, '.aws/config'), `[profile backup]\n${keys}`);
  return { elsewhere, path: `${bin}:${process.env.PATH}` };
}

test('every command of docs/copy.md works', { skip: needsBuild.skip ?? false }, async (t) => {
  const place = await Workplace.for(t);
  const { emulator } = place;
  const { elsewhere, path } = await addRegion(place, t);
  const blocks = randomBlocks([0, 7], [3]);
  await emulator.putSnapshot({
    id: SNAP,
    volumeSizeGiB: 1,
    blocks,
    description: 'web',
    tags: { Name: 'web' },
    // Otherwise an encrypted copy would be sent zeros for all of the volume.
    encrypted: true,
  });
  await emulator.putSnapshot({
    id: NEXT,
    volumeSizeGiB: 1,
    blocks: randomBlocks([7, 8]),
    parent: SNAP,
    gone: [0],
  });
  const steps = [...read('docs/copy.md').matchAll(/^<!-- tested -->\n```sh\n([\s\S]*?)^```$/gm)];
  assert.equal(steps.length, 4);
  // One shell, because later commands use what earlier ones printed; the profile names the region.
  const script = steps
    .map(([, commands]) =>
      commands!.replace('--to-profile backup', '--to-profile backup --to-region eu-west-1'),
    )
    .join('\n');
  const env = { PATH: path, HERE: emulator.url, ELSEWHERE: elsewhere.url, AWS_ENDPOINT_URL: undefined };
  const { exit, stdout, stderr } = await place.shell(script, env);
  assert.equal(exit, 0, `${stdout}\n${stderr}`);
  const made = elsewhere.requests('StartSnapshot').length;
  assert.equal(made, 4, stderr);
  assert.match(stdout, /to send +1\.5 MiB \(1572864 bytes\) in 3 blocks/);
  assert.match(stdout, /tags +Name=web/);
  assert.match(stdout, /changed +1\.0 MiB \(1048576 bytes\) in 2 blocks/);
  const copies = [...new Set(stderr.match(/snap-[0-9a-f]{17}/g))]
    .map((id) => elsewhere.snapshot(id))
    .filter((copy) => copy !== undefined);
  assert.equal(copies.length, 4);
  assert.deepEqual(
    copies.map((copy) => [copy.parentSnapshotId !== undefined, copy.encrypted]),
    [
      [false, false],
      [true, false],
      [false, false],
      [false, true],
    ],
  );
  assert.deepEqual(copies.at(-1)!.writtenBlocks, [...blocks.keys()]);
});
