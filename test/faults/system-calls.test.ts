/**
 * System calls that strace makes fail: the message and exit code are right, nothing looks complete, and the journal lists
 * nothing that is not written. Single calls are tested in test/native and test/devices.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { noLoopDevices, Scratch } from '../support/loop.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { Command, type CommandOptions, type Ended, journalledBlocks, needsStrace } from './command.ts';

const BLOCK = 4_096;
const blocks = randomBlocks(
  // All but the first and the last lie outside what is staged.
  [0, ...Array.from({ length: 39 }, (_, at) => 600 + at * 8), GIB / BLOCK - 1],
  [3, 800],
  BLOCK,
);

let emulator: Emulator;
let command: Command;
let snapshotId: string;
const directory = mkdtempSync(join(tmpdir(), 'coldsnap-calls-'));
before(async () => {
  command = await Command.compile(directory);
  emulator = await startEmulator({ blockSize: BLOCK });
  snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
});
after(async () => {
  await emulator.close();
  rmSync(directory, { recursive: true });
});

/** A transfer that can be run with injected faults. */
interface Scene {
  run(options?: CommandOptions): Promise<Ended>;
  /** Asserts that the result is complete. */
  assertComplete(ended: Ended): Promise<void>;
  /** Asserts that nothing looks complete, and that the journal lists only written blocks. */
  assertIncomplete(ended: Ended): Promise<void>;
}

type Kind = keyof typeof scenes;

async function fileScene(t: TestContext): Promise<Scene & { path: string }> {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  return {
    path,
    run: (options) => command.run(emulator.url, ['download', snapshotId, path, '--workers', '4'], options),
    async assertComplete() {
      assert.equal(await firstWrongBlock(path, blocks, GIB, BLOCK), undefined);
      assert.ok(!existsSync(`${path}.coldsnap-progress`));
    },
    async assertIncomplete() {
      assert.ok(!existsSync(path));
      await assertWritten(`${path}.partial`, journalledBlocks(`${path}.coldsnap-progress`));
    },
  };
}

const scenes = {
  file: fileScene,
  /** Throttles the second half of the blocks until the journal lists the first, so that it is saved before the commit. */
  async 'file with a journal saved halfway'(t: TestContext): Promise<Scene & { path: string }> {
    const scene = await fileScene(t);
    const { emulator: own } = await startService(t, { blockSize: BLOCK });
    const id = await own.putSnapshot({ volumeSizeGiB: 1, blocks });
    const order = [...blocks.keys()];
    const action = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
    const run = async (options?: CommandOptions) => {
      own.setFaults([{ operation: 'GetSnapshotBlock', block: order.slice(20), action }]);
      const ended = command.run(own.url, ['download', id, scene.path, '--workers', '4'], options);
      await until(() => journalledBlocks(`${scene.path}.coldsnap-progress`).has(order[19] as number), ended);
      own.setFaults([]);
      return ended;
    };
    return { ...scene, run };
  },
  async 'file in place of another'(t: TestContext): Promise<Scene & { path: string }> {
    const scratch = await Scratch.for(t);
    const path = scratch.path('disk.img');
    writeFileSync(path, 'the old file');
    const args = ['download', '--force', snapshotId, path, '--workers', '4'];
    return {
      path,
      run: (options) => command.run(emulator.url, args, options),
      assertComplete: async () => assert.equal(await firstWrongBlock(path, blocks, GIB, BLOCK), undefined),
      assertIncomplete: async () => assert.equal(readFileSync(path, 'utf8'), 'the old file'),
    };
  },
  /** Where this runs as root, the image gets the owner of the file before it gets the name. */
  async "file in place of another user's"(t: TestContext): Promise<Scene & { path: string }> {
    const scene = await scenes['file in place of another'](t);
    if (process.geteuid?.() === 0) chownSync(scene.path, 65534, 65534);
    return scene;
  },
  async device(t: TestContext): Promise<Scene & { path: string }> {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: GIB });
    const stateDirectory = scratch.directory;
    return {
      path: device,
      run: (options) =>
        command.run(emulator.url, ['download', snapshotId, device, '--workers', '4'], {
          ...options,
          stateDirectory,
        }),
      assertComplete: async () => assert.equal(await firstWrongBlock(backing, blocks, GIB, BLOCK), undefined),
      async assertIncomplete() {
        assert.ok(
          bytesAt(backing, 0, BLOCK).every((byte) => byte === 0),
          'block 0 must be zeros',
        );
        const journal = readdirSync(stateDirectory).find((name) => name.endsWith('-progress'));
        if (journal !== undefined)
          await assertWritten(backing, journalledBlocks(`${stateDirectory}/${journal}`));
      },
    };
  },
  async upload(t: TestContext): Promise<Scene & { path: string }> {
    const scratch = await Scratch.for(t);
    const path = scratch.path('disk.img');
    const image = randomBytes(40 * BLOCK);
    writeFileSync(path, image);
    return {
      path,
      run: (options) => command.run(emulator.url, ['upload', path, '--workers', '4'], options),
      async assertComplete({ stdout }) {
        assert.ok(bytesAt(await emulator.readImage(stdout.trim()), 0, image.length).equals(image));
        assert.deepEqual(readdirSync(scratch.directory).sort(), ['disk.img']);
      },
      async assertIncomplete({ stderr }) {
        const started = /snap-[0-9a-f]+/.exec(stderr)?.[0];
        assert.ok(started, stderr);
        const requests = emulator.log.filter(({ snapshotId }) => snapshotId === started);
        assert.ok(
          !requests.some(({ operation }) => operation === 'CompleteSnapshot'),
          'the snapshot must not be completed',
        );
      },
    };
  },
};

async function assertWritten(image: string, done: ReadonlySet<number>): Promise<void> {
  for (const block of done) {
    const expected = blocks.get(block);
    if (expected === undefined) continue;
    assert.ok(
      bytesAt(image, block * BLOCK, BLOCK).equals(expected),
      `block ${block} is in the journal but not in the image`,
    );
  }
}

const notRenamed = /could not rename \S+disk\.img\.partial to \S+disk\.img: input\/output error/;

/** A fault, its message and exit code; the next run without the fault must succeed. */
const failures: [Kind, string, RegExp, number?][] = [
  [
    'file',
    'pwrite64:error=ENOSPC:when=20+',
    /no space left on the file system of \S+disk\.img after writing \d+ bytes.*\n {2}Free some space/,
  ],
  [
    'file',
    'pwrite64:error=EIO:when=7',
    /could not write to \S+disk\.img\.partial at offset \d+: input\/output error\n {2}The storage reports/,
  ],
  [
    'file',
    'pwrite64:error=EROFS:when=1',
    /could not write to \S+disk\.img\.partial at offset \d+: read-only file system/,
  ],
  [
    'file',
    'pwrite64:retval=0:when=9',
    /could not write to \S+disk\.img\.partial at offset \d+: input\/output error/,
  ],
  [
    'file with a journal saved halfway',
    'fdatasync:error=EIO:when=3',
    /could not sync \S+disk\.img\.partial: input\/output error/,
  ],
  ['file', 'fdatasync:error=ENOSPC:when=2', /no space left on the file system of \S+disk\.img/],
  ['file', 'link:error=EIO', notRenamed],
  [
    'file',
    'ftruncate:error=EFBIG',
    /could not give \S+disk\.img\.partial a size of 1073741824 bytes: file too large/,
  ],
  // Without a journal the next run knows the partial file by its mark.
  ['file in place of another', 'rename:error=EIO', notRenamed],
  ['file in place of another', 'rename:error=EIO:when=3+', notRenamed],
  ["file in place of another user's", 'rename:error=EIO', notRenamed],
  ["file in place of another user's", 'rename:error=EIO:when=3+', notRenamed],
  [
    'device',
    'pwrite64:error=EIO:when=12',
    /could not write to \/dev\/loop\d+ at offset \d+: input\/output error/,
  ],
  [
    'device',
    'pwrite64:error=EIO:when=40+',
    /could not write the start and the end of \/dev\/loop\d+ at offset \d+: input\/output error/,
  ],
  ['device', 'fdatasync:error=EIO:when=2', /could not sync \/dev\/loop\d+: input\/output error/],
  ['device', 'fsync:error=EIO:when=1', /could not sync \/dev\/loop\d+: input\/output error/],
  [
    'device',
    'ioctl:error=EIO:when=5+',
    /could not (examine|zero the start and the end of|zero a range of) \/dev\/loop\d+/,
  ],
  ['upload', 'pread64:error=EIO:when=5', /could not read \S+disk\.img at offset \d+: input\/output error/],
  ['upload', 'pread64:retval=0:when=5', /\S+disk\.img changed while it was read: it became shorter/],
];

describe('a system call that fails ends the run and is reported', { concurrency: 2, ...needsStrace }, () => {
  for (const [kind, fault, message, exitCode = 1] of failures) {
    const skip = kind === 'device' ? noLoopDevices : undefined;
    test(`${kind}: ${fault}`, skip === undefined ? {} : { skip }, async (t) => {
      const scene = await scenes[kind](t);
      const target = fault.startsWith('fsync') || fault.startsWith('ioctl') || fault.startsWith('fdatasync');
      const stracePath = target
        ? { stracePath: kind.startsWith('file') ? `${scene.path}.partial` : scene.path }
        : {};
      const strace = [`trace=${fault.split(':', 1)[0]}`, `inject=${fault}`];
      const { end, stderr, stdout } = await scene.run({ strace, checkpointMs: 5, ...stracePath });
      assert.equal(end, exitCode, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
      await scene.assertIncomplete({ end, stderr, stdout });
      const again = await scene.run();
      assert.equal(again.end, 0, again.stderr);
      await scene.assertComplete(again);
    });
  }
});

test(
  'a file that was killed with its final owner and without its name is resumed',
  needsStrace,
  async (t) => {
    const scene = await scenes["file in place of another user's"](t);
    const strace = ['trace=rename', 'inject=rename:signal=KILL'];
    const killed = await scene.run({ strace, stracePath: `${scene.path}.partial` });
    assert.equal(killed.end, 'SIGKILL', killed.stderr);
    await scene.assertIncomplete(killed);
    assert.equal(statSync(`${scene.path}.partial`).uid, statSync(scene.path).uid);
    const before = emulator.log.length;
    const again = await scene.run();
    assert.equal(again.end, 0, again.stderr);
    await scene.assertComplete(again);
    const requests = emulator.log.slice(before).map(({ operation }) => operation);
    assert.ok(!requests.includes('GetSnapshotBlock'), 'all blocks were done');
  },
);

/** Faults that do not end the run, and the warning, if there is one. */
const survivable: [Kind, string, RegExp?][] = [
  ['file', 'pwrite64:error=EINTR:when=1..40+3'],
  ['file', 'fdatasync:error=EINTR:when=1..5+2'],
  ['file', 'link:error=EPERM'],
  // Where no file can be created without a name.
  ['file', 'linkat:error=EPERM'],
  ['file', 'linkat:error=ENOENT'],
  ['file', 'link:error=EOPNOTSUPP'],
  // One mode for all files (FAT), and a server on which root is nobody.
  ['file', 'fchmod:error=EPERM'],
  ["file in place of another user's", 'fchown:error=EPERM'],
  ["file in place of another user's", 'fchown:error=EINVAL'],
  [
    'file',
    'rename:error=ENOSPC',
    /Could not write the journal \S+ \(no space left on device\); the download continues without it/,
  ],
  [
    'file',
    'rename:error=EDQUOT',
    /Could not write the journal \S+ \(disk quota exceeded\); the download continues without it/,
  ],
  ['device', 'ioctl:error=EOPNOTSUPP:when=6+'],
  ['device', 'fallocate:error=EOPNOTSUPP'],
  ['device', 'pwrite64:error=EINTR:when=1..40+3'],
  ['upload', 'pread64:error=EINTR:when=4..40+3'],
  [
    'upload',
    'rename:error=EACCES',
    /Could not write the journal \S+ \(permission denied\); the upload continues without it/,
  ],
  ['upload', 'flock:error=ENOLCK', /Could not lock the journal/],
];

describe('a system call that may fail does not end the run', {
  concurrency: 2,
  ...needsStrace,
}, () => {
  for (const [kind, fault, message] of survivable) {
    const skip = kind === 'device' ? noLoopDevices : undefined;
    test(`${kind}: ${fault}`, skip === undefined ? {} : { skip }, async (t) => {
      const scene = await scenes[kind](t);
      const strace = [`trace=${fault.split(':', 1)[0]}`, `inject=${fault}`];
      const stracePath = fault.startsWith('ioctl') ? { stracePath: scene.path } : {};
      const ended = await scene.run({ strace, checkpointMs: 5, ...stracePath });
      assert.equal(ended.end, 0, ended.stderr);
      if (message !== undefined) assert.match(ended.stderr, message);
      await scene.assertComplete(ended);
    });
  }
});

test('a journal that cannot be removed is a warning: the next run finds it', needsStrace, async (t) => {
  const scene = await scenes.upload(t);
  const strace = ['trace=unlink', 'inject=unlink:error=EROFS'];
  const { end, stderr } = await scene.run({ strace });
  assert.equal(end, 0, stderr);
  assert.match(stderr, /Could not remove the journal \S+\.coldsnap-upload: read-only file system\./);
});

test('the journal lists a block only after it was written and the target synced', needsStrace, async (t) => {
  const scene = await scenes['file with a journal saved halfway'](t);
  const scratch = await Scratch.for(t);
  const trace = scratch.path('trace');
  const calls = 'trace=pwrite64,write,fdatasync,fsync,rename,link';
  const { end, stderr } = await scene.run({ strace: [calls, 'status=successful'], checkpointMs: 1, trace });
  assert.equal(end, 0, stderr);
  const written = new Set<number>();
  let synced = new Set<number>();
  const saves: number[] = [];
  let last = '';
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    const call = /^\d+ +(\w+)\((.*)\) += \d+/s.exec(line);
    if (call === null || !line.includes(scratch.directory.slice(0, 5))) continue;
    const [, name, args] = call as unknown as [string, string, string];
    const where = /^write|^pwrite64|sync$/.test(name) ? /^\d+<([^>]*)>/.exec(args)?.[1] : args;
    if (where === undefined) continue;
    if (name === 'pwrite64') {
      const offset = Number(/, (\d+)$/.exec(args)?.[1]);
      const length = Number(/, (\d+), \d+$/.exec(args)?.[1]);
      for (let at = 0; at < length; at += BLOCK) written.add((offset + at) / BLOCK);
    } else if (name === 'fdatasync' && where.endsWith('.partial')) {
      synced = new Set(written);
    } else if (name === 'write' && where.endsWith('.coldsnap-progress.new')) {
      const done = /\\"done\\":(\[[\d,[\]]*\])/.exec(args)?.[1];
      assert.ok(done, line.slice(0, 300));
      for (const [start, stop] of JSON.parse(done) as [number, number][]) {
        for (let block = start; block < stop; block++) {
          const data = blocks.get(block);
          if (data?.some((byte) => byte !== 0))
            assert.ok(synced.has(block), `block ${block} was not synced yet`);
        }
      }
      saves.push(written.size);
    } else if (name === 'rename') {
      assert.match(last, /^fsync .*coldsnap-progress\.new$/, 'the journal is synced before it is renamed');
    }
    if (name !== 'pwrite64') last = `${name} ${where}`;
  }
  assert.ok(
    saves.length >= 3 && saves.some((count) => count > 0 && count < 40),
    `saved after ${saves} blocks`,
  );
});

test('an unfinished digest file is recognized even after a power cut', needsStrace, async (t) => {
  const scratch = await Scratch.for(t);
  const [source, trace] = [scratch.path('disk.img'), scratch.path('trace')];
  writeFileSync(source, randomBytes(3 * BLOCK));
  const args = ['upload', '--save-digests', scratch.path('disk.digests'), source];
  const strace = ['trace=write,fsync,link,linkat', 'status=successful'];
  const { end, stderr } = await command.run(emulator.url, args, { strace, trace });
  assert.equal(end, 0, stderr);
  const calls = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes(scratch.directory));
  const named = calls.findIndex((line) => line.includes('linkat(') && line.includes('disk.digests.partial'));
  // An unnamed file is there as deleted.
  const begun = calls.slice(0, named).filter((line) => line.includes('(deleted)'));
  const names = begun.map((line) => /^\d+ +(\w+)/.exec(line)?.[1]);
  assert.deepEqual(names, ['write', 'fsync'], calls.join('\n'));
});

test('holes are detected only after the source was synced, and not if that fails', needsStrace, async (t) => {
  const scratch = await Scratch.for(t);
  const [source, trace] = [scratch.path('disk.img'), scratch.path('trace')];
  writeFileSync(source, randomBytes(3 * BLOCK));
  truncateSync(source, 9 * BLOCK);
  const upload = async (...faults: string[]) => {
    const strace = ['trace=lseek,fsync,fdatasync', ...faults];
    const args = ['upload', '--detect-holes', source];
    const ended = await command.run(emulator.url, args, { strace, trace, stracePath: source });
    const found = readFileSync(trace, 'utf8').matchAll(/fsync|fdatasync|SEEK_HOLE|SEEK_DATA/g);
    const calls = [...found].map(([call]) => call);
    return { ...ended, calls };
  };
  const { end, stderr, stdout, calls } = await upload();
  assert.equal(end, 0, stderr);
  assert.equal(calls[0], 'fsync');
  assert.ok(calls.includes('SEEK_HOLE'), calls.join(' '));
  assert.deepEqual(emulator.snapshot(stdout.trim())?.writtenBlocks, [0, 1, 2]);
  const failed = await upload('inject=fsync:error=EIO');
  assert.equal(failed.end, 1);
  assert.match(failed.stderr, /could not sync \S+disk\.img: input\/output error/);
  assert.deepEqual([failed.stdout, failed.calls], ['', ['fsync']]);
});
