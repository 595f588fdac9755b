/** Images through pipes, with other programs at their ends. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { needsBuild } from '../support/built.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { BLOCK, bytesAt, firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { until } from '../support/until.ts';
import { ours, Workplace } from '../support/workplace.ts';

const MIB = 2 ** 20;
/** The memory that a transfer may use, including Node itself: far less than the images here. */
const MAX_MEMORY = 200 * MIB;

/** A snapshot of 400 MiB of data, twice the memory limit. */
async function largeSnapshot(place: Workplace): Promise<{ id: string; digest: string }> {
  const block = randomBytes(BLOCK);
  const blocks = new Map(Array.from({ length: 800 }, (_, index) => [index, block]));
  const digest = createHash('sha256');
  for (const data of blocks.values()) digest.update(data);
  return { id: await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks }), digest: digest.digest('hex') };
}

/** Resolves when a number has not changed for a quarter of a second. */
async function settled(value: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = value();
    if (now === last) return now;
    last = now;
    await pause(250);
  }
}

/** The peak memory of a process, in bytes. */
function peakMemory(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kib) * 1024;
}

/** Puts are repeated until the faults are removed. */
const throttle = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;

const replies = (place: Workplace, operation: string) => () =>
  place.emulator.requests(operation).filter(({ status }) => status > 0).length;

describe('pipes', { ...needsBuild, concurrency: 2 }, () => {
  test('a snapshot is downloaded through gzip, and uploaded from the compressed file', async (t) => {
    const place = await Workplace.for(t);
    const blocks = randomBlocks([0, 1, 77, 2047]);
    const id = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const { stdout } = await place.shell(`
      coldsnap download ${id} - | gzip -1 > disk.img.gz
      gzip -dc disk.img.gz | coldsnap upload --volume-size 1 --omit-zero-blocks -
    `);
    const copy = stdout.trim();
    assert.match(copy, /^snap-[0-9a-f]+$/);
    assert.deepEqual(place.emulator.snapshot(copy)?.writtenBlocks, [...blocks.keys()]);
    assert.equal(await firstWrongBlock(await place.emulator.readImage(copy), blocks, GIB), undefined);
  });

  test('stdout and stdin can be files', async (t) => {
    const place = await Workplace.for(t);
    const blocks = randomBlocks([0, 5, 2047]);
    const id = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    writeFileSync(place.path('small.img'), 'an image');
    const { stdout } = await place.shell(`
      coldsnap download ${id} - > disk.img
      coldsnap upload --volume-size 1 - < small.img
    `);
    assert.equal(await firstWrongBlock(place.path('disk.img'), blocks, GIB), undefined);
    assert.deepEqual(place.emulator.snapshot(stdout.trim())?.writtenBlocks, [0]);
  });

  test('stdin can be a disk, which is refused while it may be written', needsLoop, async (t) => {
    const place = await Workplace.for(t);
    const { device, backing } = await (await Scratch.for(t)).loop({ bytes: 2 * MIB });
    const image = randomBytes(2 * MIB);
    writeFileSync(backing, image);
    const upload = `coldsnap upload --volume-size 1 -`;
    const refused = await place.shell(`exec 3<>${device}; ${upload} < ${device}`);
    assert.equal(refused.exit, 3, refused.stderr);
    assert.match(refused.stderr, /stdin may be written during the upload: open for writing in sh/);
    assert.deepEqual(place.emulator.requests('StartSnapshot'), []);
    const { exit, stdout, stderr } = await place.shell(`${upload} < ${device}`);
    assert.equal(exit, 0, stderr);
    const copy = await place.emulator.readImage(stdout.trim());
    assert.ok(bytesAt(copy, 0, image.length).equals(image));
  });

  test('stdin that is a file must not be written meanwhile', async (t) => {
    const place = await Workplace.for(t);
    writeFileSync(place.path('disk.img'), randomBytes(2 * MIB));
    place.emulator.setFaults([{ operation: 'PutSnapshotBlock', action: throttle }]);
    const ended = place.shell('coldsnap upload --volume-size 1 - < disk.img');
    await place.emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock', 1);
    appendFileSync(place.path('disk.img'), 'more');
    place.emulator.setFaults([]);
    const { exit, stderr } = await ended;
    assert.equal(exit, 1, stderr);
    assert.match(stderr, /stdin changed while it was read: it was written to/);
    assert.deepEqual(place.emulator.requests('CompleteSnapshot'), []);
  });

  test('stdin that is a file must not be written through a mapping that was written before', async (t) => {
    const place = await Workplace.for(t);
    writeFileSync(place.path('disk.img'), randomBytes(2 * MIB));
    place.emulator.setFaults([{ operation: 'PutSnapshotBlock', action: throttle }]);
    const script = `
import mmap, sys
with open('disk.img', 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    memory[0:1] = line[0:1].encode()
    print('written', flush=True)
`;
    const mapper = place.start({ name: 'python3', command: ['python3', '-c', script] }, []);
    t.after(() => mapper.kill());
    const write = async (byte: string) => {
      mapper.stdin.write(`${byte}\n`);
      await once(mapper.stdout, 'data');
    };
    await write('a');
    const ended = place.shell('coldsnap upload --volume-size 1 - < disk.img');
    await place.emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock', 1);
    await write('b');
    place.emulator.setFaults([]);
    const { exit, stderr } = await ended;
    assert.equal(exit, 1, stderr);
    assert.match(stderr, /stdin changed while it was read: it was written to/);
    assert.deepEqual(place.emulator.requests('CompleteSnapshot'), []);
  });

  test('stdin that is a disk has what was written by way of its partition', needsLoop, async (t) => {
    const place = await Workplace.for(t);
    const scratch = await Scratch.for(t);
    const { device } = await scratch.loop({ bytes: 2 * MIB });
    const partition = await scratch.partition(device, 2048, 2048);
    writeFileSync(place.path('data'), randomBytes(MIB));
    const { exit, stdout, stderr } = await place.shell(`
      exec 3<${device}
      cat <&3 >/dev/null
      dd if=data of=${partition} conv=notrunc,fsync bs=1M status=none
      coldsnap upload --volume-size 1 - < ${device}
    `);
    assert.equal(exit, 0, stderr);
    const copy = await place.emulator.readImage(stdout.trim());
    assert.ok(bytesAt(copy, MIB, MIB).equals(readFileSync(place.path('data'))));
  });

  test('a download waits for a slow reader without growing its memory', async (t) => {
    const place = await Workplace.for(t);
    const { id, digest } = await largeSnapshot(place);
    const child = place.start(ours, ['--endpoint', place.emulator.url, 'download', id, '-']);
    await place.emulator.waitForRequest(({ operation }) => operation === 'GetSnapshotBlock', 64);
    const fetched = await settled(replies(place, 'GetSnapshotBlock'));
    assert.ok(fetched <= 200, `${fetched} blocks were fetched before the reader read any`);

    const hash = createHash('sha256');
    let length = 0;
    let peak = peakMemory(child.pid!);
    for await (const chunk of child.stdout) {
      if (length < 400 * MIB) hash.update(chunk.subarray(0, 400 * MIB - length));
      // The process may exit after its last write.
      if (length < GIB - 64 * MIB && length % (16 * MIB) < 65_536)
        peak = Math.max(peak, peakMemory(child.pid!));
      length += chunk.length;
    }
    assert.equal(length, GIB);
    assert.equal(hash.digest('hex'), digest);
    assert.ok(peak < MAX_MEMORY, `peak memory is ${peak / MIB} MiB`);
  });

  test('an upload reads no faster than the service stores, without growing its memory', async (t) => {
    const place = await Workplace.for(t);
    const { emulator } = place;
    emulator.setFaults([{ operation: 'PutSnapshotBlock', action: throttle }]);
    const child = place.start(ours, ['--endpoint', emulator.url, 'upload', '--volume-size', '1', '-']);
    const id = child.stdout.toArray();
    const block = randomBytes(BLOCK);
    let consumed = 0;
    const written = (async () => {
      for (let count = 0; count < 800; count++) {
        await new Promise((resolve, reject) => {
          child.stdin.write(block, (error) => (error ? reject(error) : resolve(undefined)));
        });
        consumed += block.length;
      }
      const peak = peakMemory(child.pid!);
      child.stdin.end();
      return peak;
    })();
    await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock', 16);
    const held = await settled(() => consumed);
    assert.ok(held <= 200 * BLOCK, `${held / MIB} MiB were read while nothing was put`);
    emulator.setFaults([]);
    const peak = await written;
    const snapshotId = (await id).join('').trim();
    assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks.length, 800);
    assert.ok(peak < MAX_MEMORY, `peak memory is ${peak / MIB} MiB`);
  });

  for (const flags of ['', '--json ', '--quiet ']) {
    test(`a reader that closes the pipe ends the download without a message: ${flags}`, async (t) => {
      const place = await Workplace.for(t);
      const id = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 2]) });
      const { stdout, stderr } = await place.shell(`
        { coldsnap ${flags}--progress none download ${id} - || echo $? > status; } | head -c 1048576 | wc -c
      `);
      // With --json, the start is an event.
      const messages = stderr.split('\n').filter((line) => !/^\{"type":"start"|^$/.test(line));
      assert.deepEqual([stdout.trim(), messages], ['1048576', []]);
      assert.equal(readFileSync(place.path('status'), 'utf8'), '141\n');
    });
  }

  test('a signal ends an upload whose credentials file is a pipe that stands still', async (t) => {
    const place = await Workplace.for(t);
    const pipe = place.path('credentials');
    execFileSync('mkfifo', [pipe]);
    writeFileSync(place.path('disk.img'), 'an image');
    const env = {
      AWS_ACCESS_KEY_ID: undefined,
      AWS_SECRET_ACCESS_KEY: undefined,
      AWS_SHARED_CREDENTIALS_FILE: pipe,
    };
    const child = place.start(ours, ['upload', 'disk.img', '--endpoint', place.emulator.url], env);
    const ended = once(child, 'exit');
    let writer: number | undefined;
    // Opening succeeds once there is a reader, which then waits for what is never written.
    await until(() => {
      try {
        writer ??= openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      }
      return writer !== undefined;
    });
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [null, 'SIGTERM']);
    closeSync(writer!);
  });

  test('empty input from a failed program creates no snapshot', async (t) => {
    const place = await Workplace.for(t);
    const { exit, stdout, stderr } = await place.shell(
      'gzip -dc missing.gz | coldsnap upload --volume-size 1 -',
    );
    assert.deepEqual([exit, stdout], [2, '']);
    assert.match(stderr, /^coldsnap: stdin is empty$/m);
    assert.deepEqual(place.emulator.log, []);
  });

  test('input larger than the volume is refused, and its snapshot is deleted', async (t) => {
    const place = await Workplace.for(t);
    const { exit, stdout, stderr } = await place.shell(
      'head -c 1074790400 /dev/zero | coldsnap upload --volume-size 1 --omit-zero-blocks -',
    );
    assert.deepEqual([exit, stdout], [2, '']);
    assert.match(stderr, /stdin has more than the 1073741824 bytes \(1 GiB\) of the volume/);
    const [started] = place.emulator.requests('StartSnapshot');
    assert.ok(started);
    assert.equal(place.emulator.requests('DeleteSnapshot').length, 1);
  });

  test('a closed stdout does not prevent an upload from completing', async (t) => {
    const place = await Workplace.for(t);
    writeFileSync(place.path('disk.img'), 'an image');
    await place.shell('{ coldsnap upload disk.img 2> messages || echo $? > status; } | true');
    assert.equal(place.emulator.requests('CompleteSnapshot').length, 1);
    assert.equal(readFileSync(place.path('status'), 'utf8'), '141\n');
    assert.match(readFileSync(place.path('messages'), 'utf8'), /^uploaded .* to snap-/m);
    assert.ok(!readdirSync(place.path('.')).some((name) => name.includes('coldsnap-upload')));
  });
});

/** Runs a command line with a terminal as its stdin, stdout and stderr. */
async function inTerminal(
  t: TestContext,
  line: string,
): Promise<{ exit: number; screen: string; place: Workplace }> {
  const place = await Workplace.for(t);
  await place.emulator.putSnapshot({ id: 'snap-1', volumeSizeGiB: 1, blocks: randomBlocks([0]) });
  const script = { name: 'script', command: ['script', '-qec', `coldsnap ${line}`, '/dev/null'] } as const;
  const child = place.start(script, [], { AWS_ENDPOINT_URL: place.emulator.url });
  // Keep stdin open: script would pass an end of file to the command.
  const screen = child.stdout.toArray();
  const [exit] = await once(child, 'exit');
  child.stdin.destroy();
  return { exit, screen: (await screen).join(''), place };
}

const needsScript = {
  skip: needsBuild.skip ?? (!existsSync('/usr/bin/script') && 'script(1) is not installed'),
};

describe('a terminal', { ...needsScript, concurrency: 2 }, () => {
  for (const [target, message] of [
    ['-', /stdout is a terminal; a disk image is not printed on it\s+.*pipe/],
    ['/dev/stdout', /stdout is a terminal; a disk image is not printed on it/],
    ['/dev/tty', /\/dev\/tty is a terminal; a disk image is not printed on it/],
  ] as const) {
    test(`is refused as a target: ${target}`, async (t) => {
      const { exit, screen, place } = await inTerminal(t, `download snap-1 ${target}`);
      assert.match(screen, message);
      assert.equal(exit, 2);
      assert.deepEqual(place.emulator.log, []);
    });
  }

  test('is refused as a source', async (t) => {
    const { exit, screen, place } = await inTerminal(t, 'upload --volume-size 1 -');
    assert.match(screen, /stdin is a terminal, not a disk image/);
    assert.equal(exit, 2);
    assert.deepEqual(place.emulator.log, []);
  });
});
