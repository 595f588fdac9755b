/** Restores to stdout, FIFOs and /dev/null. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, chown, open, readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import { compileProgram } from '../support/compile.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { arrived, assertFails, assertSameBytes, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };

test('a FIFO waits for its reader and gets the image', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  const opening = openTarget(path);
  const image = buffer(createReadStream(path));
  const target = await opening;
  assert.equal(target.resumable, undefined);
  await target.prepare(geometry, { resume: false });
  await target.writeBlocks([arrived(0, blockSize), arrived(1, blockSize)]);
  await target.zero(2 * blockSize, 14 * blockSize);
  await target.commit();
  await target.close();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('a FIFO that another user has made in a directory for all users is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  await chmod(scratch.directory, 0o1777);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  const peek = { peek: true };
  await (await openTarget(path, peek)).close();
  await chown(path, 65_534, 65_534);
  for (const options of [{}, peek]) {
    const error = await assertFails(
      openTarget(path, options),
      'TARGET_NOT_SUPPORTED',
      /FIFO of another user/,
    );
    assert.equal(error.class, 'usage');
  }
  await chmod(scratch.directory, 0o755);
  await (await openTarget(path, peek)).close();
});

test('the wait for the reader of a FIFO can be aborted', async (t) => {
  const scratch = await Scratch.for(t);
  await run('mkfifo', scratch.path('fifo'));
  const controller = new AbortController();
  const opening = openTarget(scratch.path('fifo'), { signal: controller.signal });
  controller.abort();
  const error = await assertFails(opening, 'ABORTED');
  assert.equal(error.class, 'aborted');
});

test('a reader that goes away ends the restore quietly', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  const opening = openTarget(path);
  const reader = await open(path, 'r');
  const target = await opening;
  await target.prepare(geometry, { resume: false });
  const failure = assertFails(target.zero(0, MiB), 'EPIPE', /the reader of .*fifo went away/);
  await reader.read(Buffer.alloc(1024));
  await reader.close();
  const error = await failure;
  assert.equal(error.class, 'aborted');
  await target.abandon({ keepForResume: false });
});

test('/dev/null takes an image, and /dev/full does not', async () => {
  const target = await openTarget('/dev/null');
  await target.prepare(geometry, { resume: false });
  await target.zero(0, MiB);
  await target.commit();
  await target.close();
  const full = await openTarget('/dev/full');
  await full.prepare(geometry, { resume: false });
  const error = await assertFails(full.zero(0, MiB), 'ENOSPC');
  assert.equal(error.class, 'local');
});

/** A program that restores to its stdout: data, zeros, data, and then says on stderr how it went. */
const program = `
  import { openTarget } from './src/image/open-target.ts';
  import { arrived, KiB, MiB } from './test/image/blocks.ts';
  try {
    const target = await openTarget(process.env.OUT ?? '-');
    await target.checkOverwrite({ force: process.env.FORCE === '1', resuming: false });
    await target.prepare({ volumeSize: 8 * MiB, blockSize: 64 * KiB }, { resume: false });
    const last = target.writeBlocks([arrived(127, 64 * KiB)]);
    const middle = target.zero(64 * KiB, 126 * 64 * KiB);
    await target.writeBlocks([arrived(0, 64 * KiB)]);
    await Promise.all([middle, last]);
    await target.commit();
    await target.close();
    console.error('committed');
  } catch (error) {
    console.error(error.class, error.code);
  }
`;
const programImage = volumeOf([arrived(0, blockSize), arrived(127, blockSize)], 8 * MiB);
const compiled = compileProgram({ text: program });

async function shell(command: string): Promise<{ stdout: Buffer; stderr: string }> {
  const args = ['-c', command, 'sh', process.execPath, await compiled];
  const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  return { stdout, stderr: stderr.toString().trim() };
}

test('stdout gets the image: through a pipe, a socket, and into a file, where it is synced', async (t) => {
  const scratch = await Scratch.for(t);
  const file = scratch.path('image');
  const expected = createHash('sha256').update(programImage).digest('hex');
  const [socket, pipe] = await Promise.all([shell('exec "$@"'), shell('"$@" | sha256sum')]);
  // Node gives a child a socket pair as its pipe.
  assertSameBytes(socket.stdout, programImage);
  assert.equal(socket.stderr, 'committed');
  assert.equal(pipe.stdout.toString().slice(0, 64), expected);
  assert.equal(pipe.stderr, 'committed');
  const redirected = await shell(
    `printf head > ${file}; strace -f -e trace=fsync -o ${file}.trace "$@" >> ${file}`,
  );
  assert.equal(redirected.stderr, 'committed');
  assertSameBytes(await readFile(file), Buffer.concat([Buffer.from('head'), programImage]));
  assert.match(await readFile(`${file}.trace`, 'utf8'), /fsync\(1\)\s+= 0/);
});

test(
  'stdout that is a block device is a disk, by whatever name: claimed, checked, staged',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 9 * MiB, fill: 0xff });
    const untouched = Buffer.alloc(9 * MiB, 0xff);
    for (const name of ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1', '/proc/thread-self/fd/1']) {
      const { stderr } = await shell(`OUT=${name} "$@" > ${device}`);
      assert.equal(stderr, 'refused TARGET_NOT_BLANK', name);
    }
    const stream = createWriteStream(device, { flags: 'r+' });
    const target = await openTarget(stream);
    await assertFails(target.checkOverwrite({ force: false, resuming: false }), 'TARGET_NOT_BLANK');
    await target.abandon({ keepForResume: false });
    stream.destroy();
    assertSameBytes(await readFile(backing), untouched);

    const { device: mounted } = await scratch.loop({ bytes: 9 * MiB });
    await run('mkfs.ext4', '-q', mounted);
    await scratch.mount(mounted);
    assert.equal((await shell(`FORCE=1 "$@" > ${mounted}`)).stderr, 'refused DEVICE_IN_USE');
    const { stderr } = await shell(
      `FORCE=1 strace -f -qq -e trace=fsync,pwrite64 -o ${backing}.trace "$@" > ${device}`,
    );
    assert.equal(stderr, 'committed');
    assertSameBytes((await readFile(backing)).subarray(0, 8 * MiB), programImage);
    const calls = (await readFile(`${backing}.trace`, 'utf8')).match(/pwrite64|fsync/g);
    assert.deepEqual(calls?.slice(-5), ['fsync', 'pwrite64', 'fsync', 'pwrite64', 'fsync']);
  },
);

test('a reader that exits early is reported as a closed pipe', async () => {
  const { stdout, stderr } = await shell('"$@" | head -c 100000');
  assert.equal(stdout.length, 100_000);
  assert.equal(stderr, 'aborted EPIPE');
});

test('stdout is refused when it is closed, but not when it is /dev/null', async () => {
  assert.equal((await shell('"$@" >&-')).stderr, 'usage TARGET_NOT_SUPPORTED');
  assert.equal((await shell('"$@" > /dev/null')).stderr, 'committed');
});

test('stdout is refused when it is a terminal', async () => {
  const python = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))';
  const child = spawn('python3', ['-c', python, process.execPath, await compiled], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match((await buffer(child.stdout)).toString(), /usage TARGET_IS_TERMINAL/);
});
