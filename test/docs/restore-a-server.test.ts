/** Runs the commands of docs/restore-a-server.md in order, and those that coldsnap prints after a restore. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { ours, Workplace } from '../support/workplace.ts';
import { read } from './markdown.ts';

const SNAP = 'snap-0123456789abcdef0';
const MIB = 2 ** 20;
const FSTAB = 'UUID=1234 / ext4 defaults 0 1\n';

const tools = ['sfdisk', 'partx', 'e2fsck', 'resize2fs', 'mkfs.ext4'];
const missing = tools.find((program) => spawnSync(program, ['--version']).error !== undefined);
const skip =
  needsBuild.skip ?? needsLoop.skip ?? (missing === undefined ? false : `${missing} is not installed`);

/** A snapshot of a disk of 1 GiB: a small partition, and the root with ext4 at 2 MiB. */
async function putServer(place: Workplace, t: TestContext): Promise<Scratch> {
  const scratch = await Scratch.for(t);
  const image = scratch.path('server.img');
  execFileSync('truncate', ['--size', '1G', image]);
  execFileSync('sfdisk', ['--quiet', image], {
    input: 'label: gpt\nstart=1MiB,size=1MiB,type=21686148-6449-6E6F-744E-656564454649\nstart=2MiB,type=L\n',
  });
  const root = scratch.path('root');
  mkdirSync(`${root}/etc`, { recursive: true });
  writeFileSync(`${root}/etc/fstab`, FSTAB);
  execFileSync('mkfs.ext4', ['-q', '-L', 'root', '-d', root, '-E', `offset=${2 * MIB}`, image, '1000M']);
  await place.emulator.putSnapshot({ id: SNAP, volumeSizeGiB: 1, blocks: image, tags: { Name: 'web' } });
  return scratch;
}

/** The kernel of a test machine may know no partition tables; a detached device must not keep partitions. */
async function attachDisk(scratch: Scratch, bytes: number): Promise<string> {
  const { device } = await scratch.loop({ bytes });
  scratch.onEnd(() => run('partx', '--delete', device).catch(() => {}));
  return device;
}

test('every command of docs/restore-a-server.md works', { skip }, async (t) => {
  const place = await Workplace.for(t);
  const scratch = await putServer(place, t);
  const disk = await attachDisk(scratch, 1536 * MIB);
  const steps = [...read('docs/restore-a-server.md').matchAll(/^<!-- tested -->\n```sh\n([\s\S]*?)^```$/gm)];
  assert.equal(steps.length, 6);
  const env = { DISK: disk, ROOT: scratch.path('mounted'), STATE_DIRECTORY: scratch.path('state') };
  let output = '';
  for (const [, script] of steps) {
    const { exit, stdout, stderr } = await place.shell(script!, env);
    assert.equal(exit, 0, `${script}\n${stdout}\n${stderr}`);
    output += stdout;
  }
  assert.match(output, new RegExp(`^${SNAP} .*web$`, 'm'));
  assert.match(output, / 2 .*Linux filesystem +ext4 "root"$/m);
  assert.equal(output.split(FSTAB).length, 3, output);
  const { partitiontable } = JSON.parse(await run('sfdisk', '--json', disk));
  const { start, size } = partitiontable.partitions[1];
  assert.ok((start + size) * 512 > 1535 * MIB, 'the partition was not grown');
});

test('the commands that a download to a larger disk prints grow it and mount it', { skip }, async (t) => {
  const place = await Workplace.for(t);
  const scratch = await putServer(place, t);
  const disk = await attachDisk(scratch, 1536 * MIB);
  const env = { AWS_ENDPOINT_URL: place.emulator.url, STATE_DIRECTORY: scratch.path('state') };
  const { exit, stdout, stderr } = await place.run(ours, ['download', SNAP, disk], env);
  assert.equal(exit, 0, stderr);
  assert.equal(stdout, '');
  const root = scratch.path('mounted');
  mkdirSync(root);
  const script = commandsIn(stderr, root);
  assert.match(script, /sfdisk --relocate/);
  const after = await place.shell(
    `${script}\ncat ${root}/etc/fstab\ndf --block-size=1M --output=size ${root}\numount ${root}\n`,
  );
  assert.equal(after.exit, 0, `${script}\n${after.stdout}\n${after.stderr}`);
  assert.ok(after.stdout.includes(FSTAB));
  assert.ok(Number(after.stdout.trim().split('\n').at(-1)) > 1300, after.stdout);
});

test('the command that a download to a file prints mounts it', { skip }, async (t) => {
  const place = await Workplace.for(t);
  const scratch = await putServer(place, t);
  const env = { AWS_ENDPOINT_URL: place.emulator.url };
  const { exit, stderr } = await place.run(ours, ['download', SNAP, "it's.img"], env);
  assert.equal(exit, 0, stderr);
  const root = scratch.path('mounted');
  mkdirSync(root);
  const after = await place.shell(`${commandsIn(stderr, root)}\ncat ${root}/etc/fstab\numount ${root}\n`);
  assert.equal(after.exit, 0, after.stderr);
  assert.ok(after.stdout.includes(FSTAB));
  const quiet = await place.run(ours, ['download', '--quiet', SNAP, 'quiet.img'], env);
  assert.deepEqual([quiet.exit, quiet.stderr, quiet.stdout], [0, '', '']);
});

/** The command lines after "To …:", for this mount point and without sudo. */
function commandsIn(stderr: string, root: string): string {
  const lines = stderr.slice(stderr.indexOf('\nTo ')).split('\n');
  return lines
    .filter((line) => /^ {2}\S/.test(line))
    .map((line) => line.trim().replaceAll('sudo ', '').replaceAll('/mnt', root))
    .join('\n');
}
