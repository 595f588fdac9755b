/**
 * The system calls and their order: a crash or power cut at any instant must not leave something that
 * looks like a good disk. Watched, and made to fail, with strace.
 */
import { strict as assert } from 'node:assert';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { assertSameBytes, KiB, MiB } from '../image/blocks.ts';
import { compileProgram } from '../support/compile.ts';
import { noLoopDevices, run, Scratch } from '../support/loop.ts';

const execute = promisify(execFile);
const noStrace = spawnSync('strace', ['-V']).status === 0 ? undefined : 'strace is not there';
const why = noStrace ?? noLoopDevices;
const needsBoth = why === undefined ? {} : { skip: why };
const needsStrace = noStrace === undefined ? {} : { skip: noStrace };

/** Restores blocks 0, 1, 4, 7 and 9 of 10 to a new file or over a device, and says how it went. */
const program = `
  import { openTarget } from './src/image/open-target.ts';
  import { arrived } from './test/image/blocks.ts';
  const target = await openTarget(process.argv[2]);
  try {
    await target.checkOverwrite({ force: target.resumable?.stagesHead === true, resuming: false });
    await target.prepare({ volumeSize: 5 << 20, blockSize: 512 << 10 }, { resume: false });
    await target.writeBlocks([0, 1, 4, 9].map((index) => arrived(index, 512 << 10)));
    await target.zero(5 * (512 << 10), 512 << 10);
    await target.sync();
    await target.writeBlocks([arrived(7, 512 << 10)]);
    await target.commit();
    await target.close();
    console.log('committed');
  } catch (error) {
    console.log(error.class, error.code, error.message);
    if (error.message.includes('sync')) await target.sync().then(() => console.log('synced after all'), () => {});
    await target.abandon({ keepForResume: false });
  }
`;

const compiled = compileProgram({ text: program });

/** Calls that change something, as strace prints them; descriptors with the names of their files. */
async function traced(scratch: Scratch, target: string, ...faults: string[]) {
  const watched = target.startsWith('/dev/') ? target : scratch.directory;
  const log = scratch.path('trace');
  const calls = 'trace=pwrite64,pwritev,fsync,fdatasync,ioctl,fallocate,rename,link,unlink,ftruncate';
  const strace = [
    '-f',
    '-y',
    '-qq',
    '-s',
    '0',
    '-o',
    log,
    '-e',
    calls,
    ...faults.flatMap((fault) => ['-e', fault]),
  ];
  const node = [process.execPath, await compiled, target];
  // strace counts calls by thread ("when"), so there is one that makes them all.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout } = await execute('strace', [...strace, ...node], { env });
  const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes(watched));
  return { stdout: stdout.trim(), calls: lines.map((line) => summary(line.replace(/^\d+\s+/, ''))) };
}

/** For example `pwrite64 524288@0`. */
function summary(line: string): string {
  const name = line.slice(0, line.indexOf('('));
  const write = /^pwrite64\(.*, (\d+), (\d+)\) += /.exec(line);
  if (write !== null) return `${name} ${write[1]}@${write[2]}`;
  if (name === 'ioctl') return /BLK[A-Z0-9]+/.exec(line)?.[0] ?? 'ioctl';
  return name;
}

const block = 512 * KiB;

test(
  'a device gets its end, its start and then block 0 after all else is synced, each synced, and then has its partitions read',
  needsBoth,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device } = await scratch.loop({ bytes: 5 * MiB, fill: 0xff });
    const { stdout, calls } = await traced(scratch, device);
    assert.equal(stdout, 'committed');
    assert.deepEqual(
      calls.filter((call) => !/^BLK(GETSIZE64|SSZGET|PBSZGET|ROGET)$/.test(call)),
      [
        // The start and the end are zeroed, and that is safe, before anything else is written.
        'BLKZEROOUT',
        'BLKZEROOUT',
        'fdatasync',
        `pwrite64 ${block}@${4 * block}`,
        'BLKZEROOUT',
        'fdatasync',
        `pwrite64 ${block}@${7 * block}`,
        'fsync',
        `pwrite64 ${block}@${9 * block}`,
        'fsync',
        `pwrite64 ${block}@${1 * block}`,
        'fsync',
        `pwrite64 ${block}@0`,
        'fsync',
        'BLKRRPART',
      ],
    );
  },
);

test('old partitions are gone before the first block is written', needsBoth, async (t) => {
  const scratch = await Scratch.for(t);
  await run('truncate', '--size', '5M', scratch.path('disk'));
  const device = await scratch.attach(scratch.path('disk'), ['--partscan']);
  const partition = await scratch.partition(device, 2048, 2048);
  const { stdout, calls } = await traced(scratch, device);
  assert.equal(stdout, 'committed');
  const changes = calls.filter((call) => /^(BLKRRPART|BLKZEROOUT|pwrite64|fdatasync)/.test(call));
  const first = changes.findIndex((call) => call.startsWith('pwrite64'));
  const order = changes.slice(0, first).filter((call, i, all) => call !== all[i - 1]);
  assert.deepEqual(order, ['BLKRRPART', 'BLKZEROOUT', 'fdatasync', 'BLKRRPART']);
  assert.ok(!(await readFile('/proc/partitions', 'utf8')).includes(partition.slice('/dev/'.length)));
});

test('a file gets its name after it is synced, and then the name is synced', needsStrace, async (t) => {
  const scratch = await Scratch.for(t);
  const { stdout, calls } = await traced(scratch, scratch.path('disk.img'), 'status=successful');
  assert.equal(stdout, 'committed');
  const names = calls.filter((call) => !call.startsWith('pwrite64'));
  assert.deepEqual(names, ['ftruncate', 'fdatasync', 'fsync', 'link', 'unlink', 'fsync']);
});

test(
  'a device that failed to sync once stays failed, and its block 0 is never written',
  needsBoth,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 5 * MiB, fill: 0xff });
    const { stdout } = await traced(scratch, device, 'inject=fsync:error=EIO:when=1');
    // The kernel says it once; a second sync would seem to work, and the data are lost all the same.
    assert.match(stdout, new RegExp(`^local EIO could not sync ${device}: input/output error$`));
    const file = await open(backing, 'r');
    const { buffer } = await file.read(Buffer.alloc(block), 0, block, 0);
    await file.close();
    assertSameBytes(buffer, Buffer.alloc(block));
  },
);

test('a file that fails to sync never gets its name', needsStrace, async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  for (const [fault, message] of [
    ['inject=fsync:error=EIO:when=1', /^local EIO could not sync .*disk\.img\.partial: input\/output error/],
    ['inject=fdatasync:error=EIO', /^local EIO could not sync/],
    ['inject=fdatasync:error=ENOSPC', /^local ENOSPC no space left on the file system of/],
    [
      'inject=ftruncate:error=EFBIG',
      /^local EFBIG could not give .* a size of 5242880 bytes: file too large/,
    ],
  ] as const) {
    const { stdout } = await traced(scratch, path, fault);
    assert.match(stdout, message);
    assert.ok(!existsSync(path), fault);
    assert.ok(!existsSync(`${path}.partial`), fault);
  }
});

test('a write that fails names the block', needsBoth, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 5 * MiB });
  const { stdout } = await traced(scratch, device, 'inject=pwrite64:error=EIO:when=2');
  assert.match(
    stdout,
    new RegExp(`^local EIO could not write to ${device} at offset ${7 * block}: input/output error`),
  );
});

test('where there are no hard links the file is renamed', needsStrace, async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  for (const code of ['EPERM', 'EMLINK']) {
    const name = `${path}-${code}`;
    const { stdout, calls } = await traced(scratch, name, `inject=link:error=${code}`);
    assert.equal(stdout, 'committed');
    assert.ok(calls.includes('rename'));
    assert.ok(existsSync(name) && !existsSync(`${name}.partial`));
  }
});
