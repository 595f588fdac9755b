import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { geteuid } from 'node:process';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import {
  type DownloadOptions,
  downloadSnapshot,
  estimateDownload,
  estimateUpload,
  type UploadOptions,
  uploadSnapshot,
} from '../../src/index.ts';
import { tryLock } from '../../src/native/index.ts';
import { digestHeader } from '../../src/transfer/digests/format.ts';
import { DigestReader } from '../../src/transfer/digests/reader.ts';
import { DigestWriter } from '../../src/transfer/digests/writer.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const BLOCK = 524_288;
const COUNT = GIB / BLOCK;
const HEADER = 4_096;
const ID = 'snap-0123456789abcdef0';

/** A snapshot with data, listed zeros and nothing, and its digest file from a download. */
async function makeParts(t: TestContext) {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const blocks = randomBlocks([0, 1, 700, COUNT - 1], [3, 4]);
  const snapshotId = await emulator.putSnapshot({ id: ID, volumeSizeGiB: 1, blocks });
  const target = join(directory, 'disk.img');
  const saveDigests = join(directory, 'disk.digests');
  return { emulator, service, directory, blocks, options: { snapshotId, target, saveDigests, ...service } };
}

function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

/** The digests of a file by block, without zeros. */
function digestsIn(path: string): Map<number, string> {
  const bytes = readFileSync(path);
  const found = new Map<number, string>();
  for (let at = HEADER; at < bytes.length; at += 32) {
    const digest = bytes.subarray(at, at + 32);
    if (digest.some((byte) => byte !== 0)) found.set((at - HEADER) / 32, digest.toString('hex'));
  }
  return found;
}

async function snapshotIn(path: string): Promise<string | undefined> {
  const reader = await DigestReader.open(path);
  await reader?.close();
  return reader?.header.snapshotId;
}

const expectedDigests = (blocks: ReadonlyMap<number, Buffer>) =>
  new Map(
    [...blocks]
      .filter(([, data]) => data.some((byte) => byte !== 0))
      .map(([block, data]) => [block, sha256(data).toString('hex')]),
  );

test('a download saves the SHA-256 of each block that is not zeros, in a sparse file', async (t) => {
  const { options, blocks } = await makeParts(t);
  await downloadSnapshot(options);
  const { size, blocks: allocated } = statSync(options.saveDigests);
  assert.equal(size, HEADER + COUNT * 32);
  assert.ok(allocated * 512 <= size + HEADER);
  assert.deepEqual(digestsIn(options.saveDigests), expectedDigests(blocks));
  const header = readFileSync(options.saveDigests).subarray(0, HEADER).toString().split('\n')[0]!;
  const { seal, ...named } = JSON.parse(header);
  assert.match(seal, /^[0-9a-f]{64}$/);
  assert.deepEqual(named, {
    format: 'coldsnap-digests',
    version: 1,
    snapshotId: ID,
    service: { endpoint: `${options.endpoint}/`, region: 'us-east-1' },
    volumeSize: GIB,
    blockSize: BLOCK,
  });
  assert.ok(!existsSync(`${options.saveDigests}.partial`));
});

test('a download to a stream saves digests, too', async (t) => {
  const { options, blocks } = await makeParts(t);
  const target = new PassThrough();
  target.resume();
  await downloadSnapshot({ ...options, target });
  assert.deepEqual(digestsIn(options.saveDigests), expectedDigests(blocks));
});

test('an upload saves the digests of its source, whether or not zeros are sent', async (t) => {
  const { service, directory } = await makeParts(t);
  const blocks = randomBlocks([0, 1, 6], [3, 4]);
  const source = join(directory, 'source.img');
  const file = openSync(source, 'w');
  for (const [block, data] of blocks) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
  for (const zeros of [{}, { detectHoles: true }, { omitZeroBlocks: true }]) {
    const saveDigests = join(directory, 'upload.digests');
    const { snapshotId } = await uploadSnapshot({
      source,
      saveDigests,
      ...zeros,
      ...service,
    });
    assert.deepEqual(digestsIn(saveDigests), expectedDigests(blocks));
    assert.equal(await snapshotIn(saveDigests), snapshotId);
  }
});

/** Downloads until block 700 is requested. */
async function interrupt(emulator: Emulator, options: DownloadOptions): Promise<void> {
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ operation, blockIndex }) => operation === 'GetSnapshotBlock' && blockIndex === 700)
    .then(() => controller.abort());
  const limits = { workers: 1, checkpointIntervalMs: 1 };
  await assert.rejects(downloadSnapshot({ ...options, ...limits, signal: controller.signal }), {
    class: 'aborted',
  });
}

test('a resumed download saves the digests of all blocks', async (t) => {
  const { emulator, options, blocks } = await makeParts(t);
  await interrupt(emulator, options);
  assert.ok(!existsSync(options.saveDigests) && !existsSync(`${options.saveDigests}.partial`));
  const { bytesResumed } = await downloadSnapshot(options);
  assert.ok(bytesResumed > 0);
  assert.deepEqual(digestsIn(options.saveDigests), expectedDigests(blocks));
});

test('digests of an earlier run that the target no longer has are not saved', async (t) => {
  const { emulator, options, blocks } = await makeParts(t);
  await interrupt(emulator, options);
  // Where the snapshot has nothing, and where it has data.
  const partial = openSync(`${options.target}.partial`, 'r+');
  writeSync(partial, randomBytes(10), 0, 10, 20 * BLOCK);
  writeSync(partial, randomBytes(10), 0, 10, BLOCK);
  closeSync(partial);
  await downloadSnapshot(options);
  assert.deepEqual(digestsIn(options.saveDigests), expectedDigests(blocks));
});

test('digests of an image that an earlier run completed are saved without a transfer', async (t) => {
  const { emulator, options, blocks, service, directory } = await makeParts(t);
  const { saveDigests, ...plain } = options;
  await downloadSnapshot({ ...plain, keepCheckpoint: true });
  emulator.clearLog();
  await downloadSnapshot({ ...options, keepCheckpoint: true });
  assert.deepEqual(digestsIn(saveDigests), expectedDigests(blocks));
  const upload = { source: options.target, detectHoles: true, keepCheckpoint: true, ...service };
  const { snapshotId } = await uploadSnapshot(upload);
  await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
  emulator.clearLog();
  const again = await uploadSnapshot({ ...upload, saveDigests: join(directory, 'upload.digests') });
  assert.equal(again.snapshotId, snapshotId);
  assert.deepEqual(digestsIn(join(directory, 'upload.digests')), expectedDigests(blocks));
  assert.ok(emulator.log.every(({ operation }) => !/^(Get|Put)/.test(operation)));
});

test('an existing digest file is replaced, and another file only with force', async (t) => {
  const { emulator, options, blocks } = await makeParts(t);
  const { saveDigests, target } = options;
  writeFileSync(saveDigests, 'mine');
  const refused = { class: 'refused', code: 'DIGESTS_EXIST' };
  await assert.rejects(downloadSnapshot(options), refused);
  assert.deepEqual([readFileSync(saveDigests, 'utf8'), existsSync(target)], ['mine', false]);
  assert.deepEqual(emulator.log, []);
  await downloadSnapshot({ ...options, force: true });
  const first = digestsIn(saveDigests);
  await downloadSnapshot({ ...options, target: `${target}.2` });
  assert.deepEqual([digestsIn(saveDigests), first], [first, expectedDigests(blocks)]);
});

test('names of directories, links and images are refused, even with force', async (t) => {
  const { emulator, options, directory, service } = await makeParts(t);
  const { target } = options;
  const force = true;
  mkdirSync(join(directory, 'folder'));
  symlinkSync('nowhere', join(directory, 'link'));
  for (const name of ['folder', 'link']) {
    const saveDigests = join(directory, name);
    await assert.rejects(downloadSnapshot({ ...options, saveDigests, force }), { code: 'DIGESTS_EXIST' });
  }
  await assert.rejects(downloadSnapshot({ ...options, saveDigests: target, force }), { class: 'usage' });
  await assert.rejects(downloadSnapshot({ ...options, saveDigests: '' }), { class: 'usage' });
  writeFileSync(target, 'an image');
  const upload: UploadOptions = {
    source: target,
    saveDigests: join(directory, '.', 'disk.img'),
    force,
    ...service,
  };
  await assert.rejects(uploadSnapshot(upload), { class: 'usage' });
  await assert.rejects(downloadSnapshot({ ...options, since: ID }), { class: 'usage' });
  assert.equal(readFileSync(target, 'utf8'), 'an image');
  assert.deepEqual(emulator.log, []);
});

test('journals and digests in one file are refused before anything is touched, even with force', async (t) => {
  const { emulator, options, directory, service } = await makeParts(t);
  const { target, saveDigests } = options;
  const source = join(directory, 'source.img');
  writeFileSync(source, 'an image');
  const force = true;
  for (const name of [`${target}.coldsnap-progress`, `${source}.us-east-1.coldsnap-upload`]) {
    const usage = { class: 'usage', message: /is the name of a journal/ };
    await assert.rejects(downloadSnapshot({ ...options, saveDigests: name, force }), usage);
    await assert.rejects(estimateDownload({ ...options, saveDigests: name, force }), usage);
    await assert.rejects(uploadSnapshot({ source, saveDigests: name, force, ...service }), usage);
  }
  const taken = { class: 'usage', code: 'CHECKPOINT_NOT_OURS', message: /^the journal .* would replace/ };
  const files = [
    target,
    `${target}.partial`,
    saveDigests,
    `${saveDigests}.partial`,
    join(directory, '.', 'disk.img'),
  ];
  for (const checkpointFile of files) {
    await assert.rejects(downloadSnapshot({ ...options, checkpointFile, force }), taken);
    await assert.rejects(estimateDownload({ ...options, checkpointFile, force }), taken);
  }
  for (const checkpointFile of [source, saveDigests, `${saveDigests}.partial`])
    await assert.rejects(uploadSnapshot({ source, saveDigests, checkpointFile, force, ...service }), taken);
  assert.deepEqual(readdirSync(directory), ['source.img']);
  assert.deepEqual(emulator.log, []);
});

test('digests never replace a file that is in use, even with force', needsLoop, async (t) => {
  const { emulator, options, service } = await makeParts(t);
  const place = await Scratch.for(t);
  const { device, backing } = await place.loop({ bytes: GIB });
  const given = { saveDigests: backing, force: true, ...service };
  const inUse = { class: 'refused', code: 'TARGET_IN_USE', message: new RegExp(`attached to ${device}`) };
  await assert.rejects(uploadSnapshot({ source: device, ...given }), inUse);
  await assert.rejects(downloadSnapshot({ ...options, ...given, target: device }), inUse);
  await assert.rejects(estimateDownload({ ...options, ...given, target: device }), inUse);
  assert.deepEqual([statSync(backing).size, existsSync(`${backing}.partial`)], [GIB, false]);
  assert.deepEqual(emulator.log, []);
});

test('a digest file that is written while it is the base fails the upload, though its time is put back', async (t) => {
  const { emulator, options, directory, service } = await makeParts(t);
  const { saveDigests: base, target: source, snapshotId } = options;
  await downloadSnapshot(options);
  const changed = randomBytes(BLOCK);
  const image = openSync(source, 'r+');
  writeSync(image, changed, 0, BLOCK, 0);
  closeSync(image);
  const dated = join(directory, 'dated');
  writeFileSync(dated, '');
  execFileSync('touch', ['-r', base, dated]);
  emulator.setFaults([{ operation: 'StartSnapshot', first: 1, action: { type: 'stall', ms: 500 } }]);
  void emulator
    .waitForRequest(({ operation }) => operation === 'StartSnapshot')
    .then(() => {
      const file = openSync(base, 'r+');
      writeSync(file, sha256(changed), 0, 32, HEADER);
      closeSync(file);
      execFileSync('touch', ['-r', dated, base]);
    });
  const incremental = { source, base, parentSnapshotId: snapshotId, incremental: true, ...service };
  await assert.rejects(uploadSnapshot(incremental), { class: 'local', code: 'SOURCE_CHANGED' });
  assert.equal(emulator.requests('CompleteSnapshot').length, 0);
});

test('a partial file is replaced if a run was killed, and refused if it is not ours or in use', async (t) => {
  const { options } = await makeParts(t);
  const partial = `${options.saveDigests}.partial`;
  writeFileSync(partial, 'mine');
  await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'PARTIAL_FOREIGN' });
  assert.equal(readFileSync(partial, 'utf8'), 'mine');
  // It may be of any program.
  truncateSync(partial, 0);
  const { ino, ctimeMs } = statSync(partial);
  await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'PARTIAL_FOREIGN' });
  const refused = statSync(partial);
  assert.deepEqual([refused.ino, refused.size, refused.ctimeMs], [ino, 0, ctimeMs]);
  rmSync(partial);
  const other = await DigestWriter.create(options.saveDigests, false);
  await other.set(5, randomBytes(32));
  copyFileSync(partial, `${partial}.killed`);
  await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'TARGET_BUSY' });
  await other.close();
  assert.ok(!existsSync(partial));
  // Somebody's copy of a digest file.
  linkSync(`${partial}.killed`, partial);
  const kept = readFileSync(partial);
  await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'PARTIAL_FOREIGN' });
  assert.ok(readFileSync(partial).equals(kept));
  rmSync(partial);
  copyFileSync(`${partial}.killed`, partial);
  await downloadSnapshot(options);
  assert.ok(!existsSync(partial) && !digestsIn(options.saveDigests).has(5));
});

test('a partial file that another run has locked first stays', async (t) => {
  const path = join(scratch(t), 'disk.digests');
  const second = DigestWriter.create(path, false);
  const fd = openSync(`${path}.partial`, 'r+');
  t.after(() => closeSync(fd));
  assert.ok(tryLock(fd));
  await assert.rejects(second, { class: 'refused', code: 'TARGET_BUSY' });
  assert.ok(existsSync(`${path}.partial`));
});

test('a run that starts while another ends is refused as one at the same time', async (t) => {
  const path = join(scratch(t), 'disk.digests');
  const codes = new Set<string>();
  const runs = async () => {
    for (let round = 0; round < 300; round++) {
      try {
        await (await DigestWriter.create(path, false)).close();
      } catch (error) {
        codes.add((error as { code: string }).code);
      }
    }
  };
  await Promise.all([runs(), runs(), runs()]);
  assert.deepEqual([...codes], ['TARGET_BUSY']);
});

test('a digest file that gets its name while a run waits for its lock stays whole', async (t) => {
  const path = join(scratch(t), 'disk.digests');
  const partial = `${path}.partial`;
  const first = await DigestWriter.create(path, false);
  const service = { endpoint: 'https://example', region: 'us-east-1' };
  await first.save(digestHeader(ID, service, { volumeSize: GIB, blockSize: BLOCK }));
  await first.close();
  const whole = readFileSync(path);
  renameSync(path, partial);
  const second = DigestWriter.create(path, false);
  // Once it has opened the file, and before it runs on.
  while (!openFiles().includes(partial));
  renameSync(partial, path);
  await assert.rejects(second, { class: 'refused', code: 'TARGET_BUSY' });
  assert.ok(readFileSync(path).equals(whole));
});

/** The files that this process has open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

test("another user's partial file is refused and not changed", { skip: geteuid?.() !== 0 }, async (t) => {
  const { emulator, options } = await makeParts(t);
  const partial = `${options.saveDigests}.partial`;
  const killed = await DigestWriter.create(options.saveDigests, false);
  copyFileSync(partial, `${partial}.killed`);
  await killed.close();
  renameSync(`${partial}.killed`, partial);
  chownSync(partial, 65_534, 65_534);
  const before = statSync(partial);
  const contents = readFileSync(partial);
  await assert.rejects(downloadSnapshot(options), {
    class: 'refused',
    code: 'PARTIAL_FOREIGN',
    message: `${partial} exists and was not made by coldsnap for this user`,
  });
  const after = statSync(partial);
  assert.deepEqual([after.ino, after.mtimeMs, after.ctimeMs], [before.ino, before.mtimeMs, before.ctimeMs]);
  assert.ok(readFileSync(partial).equals(contents));
  assert.deepEqual(emulator.log, []);
});

test('a partial file that another program replaced fails the upload before the snapshot is completed', async (t) => {
  const { emulator, options, service, directory } = await makeParts(t);
  await downloadSnapshot(options);
  const saveDigests = join(directory, 'upload.digests');
  void emulator
    .waitForRequest(({ operation }) => operation === 'PutSnapshotBlock')
    .then(() => {
      rmSync(`${saveDigests}.partial`);
      writeFileSync(`${saveDigests}.partial`, 'mine');
    });
  const upload = { source: options.target, saveDigests, detectHoles: true, ...service };
  await assert.rejects(uploadSnapshot(upload), { class: 'local', code: 'PARTIAL_REPLACED' });
  assert.equal(emulator.requests('CompleteSnapshot').length, 0);
  assert.equal(readFileSync(`${saveDigests}.partial`, 'utf8'), 'mine');
  rmSync(`${saveDigests}.partial`);
  const { snapshotId, blocksTransferred } = await uploadSnapshot(upload);
  assert.deepEqual([await snapshotIn(saveDigests), blocksTransferred], [snapshotId, 0]);
});

/** A digest file with many pages, and the digests of it. */
async function writeLarge(path: string, volumeSize: number) {
  const expected = new Map<number, Buffer>();
  const writer = await DigestWriter.create(path, false);
  const count = volumeSize / BLOCK;
  const blocks = Array.from({ length: 3_000 }, () => Math.floor(Math.random() * count));
  await Promise.all(
    blocks.map(async (block) => {
      const digest = randomBytes(32);
      expected.set(block, digest);
      await writer.set(block, digest);
    }),
  );
  return { expected, writer };
}

test('digests in any order, of a volume of 64 TiB, are read back', async (t) => {
  const path = join(scratch(t), 'large.digests');
  const volumeSize = 65_536 * GIB;
  const { expected, writer } = await writeLarge(path, volumeSize);
  const start = Math.floor(volumeSize / BLOCK / 3);
  await writer.clear(start, 2 * start);
  for (const block of expected.keys()) if (block >= start && block < 2 * start) expected.delete(block);
  const service = { endpoint: 'aws', region: 'us-east-1' };
  await writer.save({ snapshotId: ID, service, volumeSize, blockSize: BLOCK });
  await writer.close();
  const reader = await DigestReader.open(path);
  for (const [block, digest] of expected) assert.ok(digest.equals((await reader!.digest(block))!));
  assert.equal(await reader!.digest(start), undefined);
  await reader!.close();
  assert.equal(statSync(path).size, HEADER + (volumeSize / BLOCK) * 32);
});

test('a digest file with any flipped bit, or cut off anywhere, is damaged, and nothing is started', async (t) => {
  const { emulator, options, service } = await makeParts(t);
  await downloadSnapshot(options);
  const { saveDigests: base, target } = options;
  const whole = readFileSync(base);
  const upload = { source: target, parentSnapshotId: ID, incremental: true, base, ...service };
  const damaged = { class: 'integrity', code: 'DIGESTS_DAMAGED' };
  const bits = [0, 5, 60, 120, 200, 4_000, HEADER, HEADER + 40, HEADER + 700 * 32, whole.length - 1];
  for (const at of bits) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 1;
    writeFileSync(base, flipped);
    await assert.rejects(uploadSnapshot(upload), damaged, `byte ${at}`);
  }
  for (const length of [whole.length - 1, HEADER, 100]) {
    writeFileSync(base, whole.subarray(0, length));
    await assert.rejects(uploadSnapshot(upload), damaged, `${length} bytes`);
  }
  writeFileSync(base, Buffer.concat([whole, Buffer.alloc(32)]));
  await assert.rejects(uploadSnapshot(upload), damaged);
  assert.equal(emulator.requests('StartSnapshot').length, 0);
});

test('a digest file of which the disk takes only a part is an error', needsLoop, async (t) => {
  const page = 65_536;
  const directory = await (await Scratch.for(t)).tmpfs(HEADER + page / 2);
  const writer = await DigestWriter.create(join(directory, 'disk.digests'), false);
  await writer.set(0, sha256(Buffer.of(0)));
  await writer.set(page / 32 - 1, sha256(Buffer.of(1)));
  const header = { snapshotId: ID, service: { endpoint: '', region: '' }, volumeSize: GIB, blockSize: BLOCK };
  await assert.rejects(writer.save(header), { class: 'local', code: 'ENOSPC' });
  await writer.close();
  assert.deepEqual(readdirSync(directory), []);
});

test('a digest file does not vouch for a snapshot with the same ID at another service', async (t) => {
  const { options, blocks } = await makeParts(t);
  await downloadSnapshot(options);
  const { saveDigests: base, target: source } = options;
  // There the snapshot holds something else, so the digests would hide what differs.
  const other = await startService(t);
  await other.emulator.putSnapshot({ id: ID, volumeSizeGiB: 1, blocks: randomBlocks([...blocks.keys()]) });
  const upload = { source, incremental: true, base, parentSnapshotId: ID, ...other.service };
  for (const attempt of [uploadSnapshot, estimateUpload])
    await assert.rejects(attempt(upload), {
      class: 'refused',
      code: 'BASE_MISMATCH',
      message: /another endpoint/,
    });
  assert.deepEqual(other.emulator.log, []);
});

test('a digest file of another snapshot, or of another size, is refused', async (t) => {
  const { emulator, options, service } = await makeParts(t);
  await downloadSnapshot(options);
  const { saveDigests: base, target: source } = options;
  const upload = { source, incremental: true, base, ...service };
  emulator.clearLog();
  const other = { class: 'refused', code: 'BASE_MISMATCH' };
  await assert.rejects(uploadSnapshot({ ...upload, parentSnapshotId: 'snap-0e47' }), {
    ...other,
    message: /has the digests of snap-0123456789abcdef0 and not of snap-0e47/,
  });
  await assert.rejects(uploadSnapshot({ ...upload, parentSnapshotId: ID, verifyBase: true }), {
    class: 'usage',
  });
  assert.deepEqual(emulator.log, []);
  for (const sizes of [{ volumeSize: 2 * GIB }, { blockSize: 2 * BLOCK }]) {
    const writer = await DigestWriter.create(base, false);
    const of = { endpoint: `${service.endpoint}/`, region: service.region };
    await writer.save({ snapshotId: ID, service: of, volumeSize: GIB, blockSize: BLOCK, ...sizes });
    await writer.close();
    await assert.rejects(uploadSnapshot({ ...upload, parentSnapshotId: ID }), other);
  }
  assert.equal(emulator.requests('StartSnapshot').length, 0);
});
