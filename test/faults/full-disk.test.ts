/** File systems that fill up during a transfer. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { bytesAt, GIB } from '../support/service.ts';
import type { CommandOptions, Ended, Running } from './command.ts';
import { BLOCK, onlyJournal, Stage } from './stage.ts';

const MIB = 2 ** 20;

let stage: Stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

/** Fills a file system until `free` bytes remain. @returns a function that frees the space */
async function fill(directory: string, free: number): Promise<() => void> {
  const ballast = join(directory, 'ballast');
  const { bavail, bsize } = statfsSync(directory);
  await run('fallocate', '--length', String(bavail * bsize - free), ballast);
  return () => rmSync(ballast);
}

async function ext4(scratch: Scratch, bytes = 16 * MIB): Promise<string> {
  const { device } = await scratch.loop({ bytes });
  await run('mkfs.ext4', '-q', '-m', '0', device);
  return scratch.mount(device);
}

/** Runs a download that fills the disk only when its journal lists blocks. */
async function downloadWithJournal(start: () => Running, journal: () => string): Promise<Ended> {
  const serveAll = stage.serveHalf();
  const ended = start().ended();
  await stage.journalled(journal, ended);
  serveAll();
  return ended;
}

const tmpfs = (scratch: Scratch) => scratch.tmpfs(4 * MIB);

for (const [name, make] of [
  ['ext4', ext4],
  ['tmpfs', tmpfs],
] as const) {
  test(
    `a download to a full ${name} names the file system, and resumes when there is space`,
    needsLoop,
    async (t) => {
      const scratch = await Scratch.for(t);
      const directory = await make(scratch);
      const target = join(directory, 'disk.img');
      const free = await fill(directory, 45 * BLOCK);
      const { end, stderr, stdout } = await downloadWithJournal(
        () => stage.download(target),
        () => `${target}.coldsnap-progress`,
      );
      assert.equal(end, 1, stderr);
      assert.match(
        stderr,
        /coldsnap: no space left on the file system of \S+\/disk\.img after writing \d+ bytes.*\n {2}Free some space there, or choose another place/,
      );
      assert.equal(stdout, '');
      assert.ok(!existsSync(target));
      const safe = stage.assertJournalMatches(`${target}.partial`, `${target}.coldsnap-progress`);
      assert.ok(safe.length > 0, 'the journal lists no block');
      free();
      stage.emulator.clearLog();
      const again = await stage.download(target).ended();
      assert.equal(again.end, 0, again.stderr);
      await stage.assertImage(target);
      stage.assertRequestedAllExcept(safe);
      assert.deepEqual(
        readdirSync(directory).filter((entry) => entry.startsWith('disk')),
        ['disk.img'],
      );
    },
  );
}

test('a download to a device on a full file system fails in the same way', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const directory = await ext4(scratch, 1.25 * GIB);
  const { device, backing } = await scratch.loop({ bytes: GIB, directory });
  const state = { stateDirectory: scratch.path('state') };
  // Zeros written to the device take space too; the ends of the volume, which come first, take 3 MiB.
  const free = await fill(directory, 6 * MIB);
  const { end, stderr } = await downloadWithJournal(
    () => stage.download(device, [], state),
    () => onlyJournal(state.stateDirectory),
  );
  assert.equal(end, 1, stderr);
  assert.match(
    stderr,
    /could not (write to|sync|zero \S+ \S+ of) \/dev\/loop\d+.*(no space left|input\/output error)/,
  );
  assert.ok(
    bytesAt(backing, 0, BLOCK).every((byte) => byte === 0),
    'block 0 must be zeros',
  );
  const safe = stage.assertJournalMatches(backing, onlyJournal(state.stateDirectory));
  free();
  stage.emulator.clearLog();
  const again = await stage.download(device, [], state).ended();
  assert.equal(again.end, 0, again.stderr);
  await stage.assertImage(backing);
  stage.assertRequestedAllExcept(safe);
});

/** A directory in which files can be created, but no data written. */
async function fullDirectory(scratch: Scratch): Promise<string> {
  const directory = await scratch.tmpfs(MIB);
  await fill(directory, 0);
  return directory;
}

test('a download whose journal has no space continues without it, and warns once', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const full = await fullDirectory(scratch);
  const { device, backing } = await scratch.loop({ bytes: GIB });
  const file = scratch.path('disk.img');
  const rows: [string, string, string[], CommandOptions][] = [
    [file, file, ['--checkpoint-file', join(full, 'journal')], {}],
    [device, backing, [], { stateDirectory: join(full, 'state') }],
  ];
  for (const [target, image, flags, options] of rows) {
    const { end, stderr } = await stage.download(target, flags, options).ended();
    assert.equal(end, 0, stderr);
    await stage.assertImage(image);
    const warnings = stderr.match(/^warning: .*$/gm) ?? [];
    assert.equal(warnings.length, 1, stderr);
    assert.match(
      warnings[0] as string,
      /Could not write the journal \S+ \(no space left on device\); the download continues without it/,
    );
    assert.deepEqual(filesOf(full, /coldsnap|journal/), [], 'no file without contents stays');
  }
});

test(
  'a download that fails without a journal keeps no partial file, which nothing could resume',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const full = await fullDirectory(scratch);
    const directory = await scratch.tmpfs(4 * MIB);
    await fill(directory, 10 * BLOCK);
    const target = join(directory, 'disk.img');
    const { end, stderr } = await stage
      .download(target, ['--checkpoint-file', join(full, 'journal')])
      .ended();
    assert.equal(end, 1, stderr);
    assert.match(stderr, /no space left on the file system of \S+disk\.img/);
    assert.doesNotMatch(stderr, /kept as|to resume/);
    assert.deepEqual(filesOf(directory, /disk/), []);
  },
);

/** Paths of the files in a directory, and those in it, whose names match. */
function filesOf(directory: string, name: RegExp): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => entry.name);
}

test(
  'a digest file that has no space fails the download at once, and leaves no file',
  needsLoop,
  async (t) => {
    const full = await fullDirectory(await Scratch.for(t));
    const target = join(full, '../disk.img');
    stage.emulator.clearLog();
    const { end, stderr } = await stage.download(target, ['--save-digests', join(full, 'digests')]).ended();
    assert.equal(end, 1, stderr);
    assert.match(stderr, /could not create \S+digests\.partial: no space left on device/);
    assert.deepEqual(filesOf(full, /digests/), []);
    assert.ok(!existsSync(target));
    assert.deepEqual(stage.requestedBlocks(), []);
  },
);

/** An image in a directory on a full file system. */
async function sourceInFullDirectory(t: TestContext): Promise<{ source: string; image: Buffer }> {
  const scratch = await Scratch.for(t);
  const directory = await scratch.tmpfs(4 * MIB);
  const source = join(directory, 'disk.img');
  const image = randomBytes(40 * BLOCK);
  writeFileSync(source, image);
  await fill(directory, 0);
  return { source, image };
}

test('an upload whose journal has no space continues without it, and warns once', needsLoop, async (t) => {
  const { source, image } = await sourceInFullDirectory(t);
  const { end, stderr, stdout } = await stage.upload(source).ended();
  assert.equal(end, 0, stderr);
  assert.ok(bytesAt(await stage.emulator.readImage(stdout.trim()), 0, image.length).equals(image));
  const warnings = stderr.match(/^warning: .*$/gm) ?? [];
  assert.equal(warnings.length, 1, stderr);
  assert.match(
    warnings[0] as string,
    /Could not write the journal \S+ \(no space left on device\); the upload continues/,
  );
});

test('an upload that fails without a journal does not offer to resume', needsLoop, async (t) => {
  const { source } = await sourceInFullDirectory(t);
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  stage.emulator.setFaults([{ operation: 'PutSnapshotBlock', block: 20, action }]);
  t.after(() => stage.emulator.setFaults([]));
  const { end, stderr } = await stage.upload(source).ended();
  assert.equal(end, 4, stderr);
  assert.doesNotMatch(stderr, /Run the same command again/);
  assert.match(stderr, /is unfinished\. It cannot be resumed; "coldsnap pending" lists it and can delete it/);
});
