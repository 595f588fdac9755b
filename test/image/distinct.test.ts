import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { checkDistinct } from '../../src/image/distinct.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';

const MIB = 2 ** 20;
const same = { class: 'usage', code: 'SAME_TARGET' };

function directory(t: TestContext): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'coldsnap-test-')));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('files that are the same under any names are refused, whether they exist or not', async (t) => {
  const at = directory(t);
  mkdirSync(join(at, 'sub'));
  symlinkSync(at, join(at, 'loop'));
  writeFileSync(join(at, 'a.img'), 'a');
  linkSync(join(at, 'a.img'), join(at, 'hard.img'));
  symlinkSync('a.img', join(at, 'soft.img'));
  const pairs = [
    ['a.img', 'a.img'],
    ['a.img', 'hard.img'],
    ['soft.img', 'a.img'],
    ['a.img', 'sub/../a.img'],
    ['loop/a.img', 'a.img'],
    ['new.img', 'loop/new.img'],
    ['new.img', 'sub//..//./new.img'],
    // Beside a target its partial file and its journal are made.
    ['new.img', 'new.img.partial'],
    ['a.img.coldsnap-progress', 'a.img'],
  ] as const;
  for (const [one, other] of pairs) {
    const paths = [`${at}/${one}`, `${at}/between.img`, `${at}/${other}`];
    await assert.rejects(checkDistinct(paths), same, `${one} and ${other}`);
    await assert.rejects(checkDistinct(paths.reverse()), same, `${other} and ${one}`);
  }
  await checkDistinct(
    ['a.img', 'new.img', 'sub/a.img', 'sub/new.img', 'none/a.img'].map((name) => join(at, name)),
  );
});

test('a relative path and an absolute one of the same file are refused', async (t) => {
  const at = directory(t);
  const before = process.cwd();
  process.chdir(at);
  t.after(() => process.chdir(before));
  await assert.rejects(checkDistinct(['x.img', join(at, 'x.img')]), {
    ...same,
    message: `x.img and ${join(at, 'x.img')} are the same file or device, or share storage`,
  });
  await assert.rejects(checkDistinct(['x.img', 'x.img']), { message: 'x.img is named twice' });
});

test('a stream cannot be one of several targets', async (t) => {
  const fifo = join(directory(t), 'fifo');
  await run('mkfifo', fifo);
  for (const path of ['-', '/dev/stdout', '/dev/null', fifo])
    await assert.rejects(checkDistinct(['x.img', path]), { class: 'usage', code: 'SEVERAL_TARGETS' }, path);
});

test('devices that share storage are refused, others are not', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const one = await scratch.loop({ bytes: 8 * MIB });
  const other = await scratch.loop({ bytes: 8 * MIB });
  const again = await scratch.attach(one.backing);
  const above = await scratch.attach(one.device, ['--offset', String(4 * MIB)]);
  const head = await scratch.attach(other.backing, ['--sizelimit', String(4 * MIB)]);
  const tail = await scratch.attach(other.backing, ['--offset', String(4 * MIB)]);
  const link = scratch.path('link');
  symlinkSync(one.device, link);
  for (const [first, second] of [
    [one.device, one.device],
    [one.device, link],
    [one.device, again],
    [one.device, above],
    [again, above],
    [one.device, one.backing],
    [above, one.backing],
    [other.device, tail],
  ] as const) {
    await assert.rejects(checkDistinct([first, second]), same, `${first} and ${second}`);
    await assert.rejects(checkDistinct([second, first]), same, `${second} and ${first}`);
  }
  await checkDistinct([one.device, other.device, scratch.path('x.img')]);
  await checkDistinct([head, tail, again]);
});

test('a partition and its disk are refused, two partitions are not', needsLoop, async (t) => {
  const at = directory(t);
  // The kernel's files of a disk with two partitions; the nodes are those of loop devices.
  const scratch = await Scratch.for(t);
  const nodes = [];
  for (let count = 0; count < 3; count++) nodes.push((await scratch.loop({ bytes: MIB })).device);
  const numbers = await Promise.all(
    nodes.map(async (node) => (await run('stat', '-c', '%Hr:%Lr', node)).trim()),
  );
  const disk = join(at, 'devices/sdx');
  const write = (path: string, files: Record<string, string>) => {
    mkdirSync(path, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), `${text}\n`);
  };
  write(disk, { dev: numbers[0]!, size: '8192' });
  write(join(disk, 'sdx1'), { dev: numbers[1]!, size: '2048', start: '2048', partition: '1' });
  write(join(disk, 'sdx2'), { dev: numbers[2]!, size: '2048', start: '4096', partition: '2' });
  mkdirSync(join(at, 'dev/block'), { recursive: true });
  for (const [number, path] of [
    [numbers[0]!, disk],
    [numbers[1]!, join(disk, 'sdx1')],
    [numbers[2]!, join(disk, 'sdx2')],
  ] as const)
    symlinkSync(path, join(at, 'dev/block', number));
  const files = { proc: '/proc', sys: at };
  await assert.rejects(checkDistinct([nodes[0]!, nodes[1]!], files), same);
  await assert.rejects(checkDistinct([nodes[2]!, nodes[0]!], files), same);
  await checkDistinct([nodes[1]!, nodes[2]!], files);
});
