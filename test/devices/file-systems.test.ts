/** Images on the file systems that people keep them on: whatever one can and cannot do, the bytes are the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { downloadSnapshot, uploadSnapshot } from '../../src/index.ts';
import { noLoopDevices, run, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, randomBlocks, startService } from '../support/service.ts';

const MiB = 2 ** 20;
const blocks = randomBlocks([0, 1, 2, 5, 900, 2046], [3, 901]);

interface Case {
  readonly type: string;
  /** Its mkfs with options; none for one in memory. */
  readonly make?: readonly string[];
  readonly sectorSize?: number;
}

const cases: readonly Case[] = [
  { type: 'tmpfs' },
  { type: 'ext4', make: ['mkfs.ext4', '-q'] },
  { type: 'ext4', make: ['mkfs.ext4', '-q'], sectorSize: 4096 },
  { type: 'xfs', make: ['mkfs.xfs', '-q'] },
  { type: 'xfs', make: ['mkfs.xfs', '-q'], sectorSize: 4096 },
  { type: 'btrfs', make: ['mkfs.btrfs', '-q'] },
];

function whyNot({ type, make }: Case): string | undefined {
  if (noLoopDevices !== undefined) return noLoopDevices;
  if (make !== undefined && spawnSync(make[0]!, ['--help']).error !== undefined)
    return `there is no ${make[0]}`;
  spawnSync('modprobe', ['-q', type]);
  return readFileSync('/proc/filesystems', 'utf8').includes(`\t${type}\n`)
    ? undefined
    : `this kernel has no ${type}`;
}

async function mounted(scratch: Scratch, { type, make, sectorSize }: Case): Promise<string> {
  // Less than the volume has: what is not listed must stay a hole.
  const bytes = 512 * MiB;
  if (make === undefined) return scratch.tmpfs(bytes);
  const { device } = await scratch.loop({ bytes, ...(sectorSize === undefined ? {} : { sectorSize }) });
  await run(make[0]!, ...make.slice(1), device);
  return scratch.mount(device, ['-t', type]);
}

async function thereAndBack(t: TestContext, one: Case): Promise<void> {
  const { emulator, service } = await startService(t);
  const scratch = await Scratch.for(t);
  const target = join(await mounted(scratch, one), 'disk.img');
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  await downloadSnapshot({ ...service, snapshotId, target });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  const upload = await uploadSnapshot({ ...service, source: target, detectHoles: true });
  const image = scratch.path('image');
  await downloadSnapshot({ ...service, snapshotId: upload.snapshotId, target: image });
  assert.equal(await firstWrongBlock(image, blocks, GIB), undefined);
  const written = emulator.snapshot(upload.snapshotId)?.writtenBlocks ?? [];
  // A file system may keep a hole as data (xfs allocates ahead), never data as a hole.
  for (const [index, data] of blocks) if (data.some((byte) => byte !== 0)) assert.ok(written.includes(index));
  assert.ok(written.length < 200, `holes were uploaded: ${written.length} blocks`);
}

for (const one of cases) {
  const where =
    one.sectorSize === undefined ? one.type : `${one.type} with sectors of ${one.sectorSize} bytes`;
  const skip = whyNot(one);
  test(
    `an image on ${where} comes out right, and goes back with its holes`,
    skip === undefined ? {} : { skip },
    (t) => thereAndBack(t, one),
  );
}
