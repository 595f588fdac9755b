/** Journals that do not match the target: damaged, planted, or of a target that was overwritten later. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  copySnapshot,
  type DownloadOptions,
  downloadSnapshot,
  estimateDownload,
  uploadSnapshot,
} from '../../src/index.ts';
import { JournalLock, lockOf } from '../../src/transfer/journal/lock.ts';
import {
  bytesAt,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
  uploadJournal,
} from '../support/service.ts';

const BLOCK = 65_536;
const LAST = GIB / BLOCK - 1;

/** A download that failed after half of its blocks, with its journal and partial file. */
async function interruptedDownload(
  t: TestContext,
  blocks = randomBlocks([0, 1, 2, 3, 4, 5, 6, 7, LAST], [], BLOCK),
  failsAt = 4,
) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  const download = (more: Partial<DownloadOptions> = {}) =>
    downloadSnapshot({ snapshotId, target, workers: 1, ...service, ...more });
  const deny = (block: number) =>
    emulator.setFaults([
      {
        operation: 'GetSnapshotBlock',
        block,
        action: { type: 'error', status: 403, code: 'AccessDeniedException' },
      },
    ]);
  deny(failsAt);
  await assert.rejects(download(), { code: 'ACCESS_DENIED' });
  emulator.setFaults([]);
  emulator.clearLog();
  const gets = () => emulator.requests('GetSnapshotBlock').length;
  return {
    emulator,
    snapshotId,
    blocks,
    directory,
    target,
    journal: `${target}.coldsnap-progress`,
    download,
    deny,
    gets,
  };
}

/** The JSON with the character at one position replaced by another. */
function damaged(text: string, at: number): string {
  const old = text[at] as string;
  const other = /[0-9]/.test(old) ? String((Number(old) + 1) % 10) : old === 'x' ? 'y' : 'x';
  return `${text.slice(0, at)}${other}${text.slice(at + 1)}`;
}

test('a download journal that is damaged anywhere is renamed, and the download starts over', async (t) => {
  const { journal, target, blocks, download, gets, directory, deny, emulator } = await interruptedDownload(t);
  const good = readFileSync(journal, 'utf8');
  const partial = bytesAt(`${target}.partial`, 0, 16 * BLOCK);
  const digits = [...good.matchAll(/[0-9]/g)].map((match) => match.index);
  const places = [
    ...digits.slice(-20),
    ...digits.slice(0, 10),
    1,
    good.length - 1,
    good.indexOf('"done"') + 1,
  ];
  for (const at of places) {
    writeFileSync(journal, damaged(good, at));
    // Only the blocks that the journal lists are in the file.
    writeFileSync(`${target}.partial`, partial);
    truncateSync(`${target}.partial`, GIB);
    emulator.clearLog();
    deny(0);
    await assert.rejects(
      download(),
      { code: 'ACCESS_DENIED' },
      `with a damaged byte at ${at}, block 0 was not requested`,
    );
    assert.equal(gets(), 1);
    assert.ok(existsSync(`${journal}.corrupt`));
  }
  emulator.setFaults([]);
  await download();
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img', 'disk.img.coldsnap-progress.corrupt']);
});

test('an upload journal that is damaged is renamed, and a new snapshot is started', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const source = join(scratch(t), 'disk.img');
  const image = randomBytes(8 * BLOCK);
  writeFileSync(source, image);
  emulator.setFaults([
    {
      operation: 'PutSnapshotBlock',
      block: 4,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const upload = () => uploadSnapshot({ source, workers: 1, ...service });
  await assert.rejects(upload(), { code: 'ACCESS_DENIED' });
  emulator.setFaults([]);
  const journal = uploadJournal(source, emulator);
  const text = readFileSync(journal, 'utf8');
  // Claim that all blocks were put.
  writeFileSync(journal, text.replace(/"done":\[\[0,\d+\]\]/, '"done":[[0,8]]'));
  assert.notEqual(readFileSync(journal, 'utf8'), text);
  const { snapshotId } = await upload();
  assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
  assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
});

test("a journal that is a FIFO, a directory, a link or another user's is ignored without blocking, and stays as it is", async (t) => {
  const { journal, target, blocks, download, directory } = await interruptedDownload(t);
  const kinds: [string, () => void][] = [
    ['is no regular file', () => execFileSync('mkfifo', [journal])],
    ['is no regular file', () => execFileSync('mkdir', [journal])],
    ['is a symbolic link', () => execFileSync('ln', ['-s', '/dev/zero', journal])],
  ];
  const text = readFileSync(journal);
  if (process.geteuid?.() === 0) {
    kinds.push([
      'belongs to another user',
      () => {
        writeFileSync(journal, text);
        chownSync(journal, 65_534, 65_534);
      },
    ]);
  }
  for (const [reason, plant] of kinds) {
    execFileSync('rm', ['-rf', journal]);
    plant();
    const planted = lstatSync(journal, { bigint: true });
    const { events, onEvent } = recorder();
    await download({ onEvent });
    assert.deepEqual(readdirSync(directory).sort(), ['disk.img', basename(journal)]);
    const { ino, ctimeNs } = lstatSync(journal, { bigint: true });
    assert.deepEqual([ino, ctimeNs], [planted.ino, planted.ctimeNs]);
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
    const warning = events.find((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_USED');
    assert.match(warning?.type === 'warning' ? warning.message : '', new RegExp(reason));
    assert.ok(events.some((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_WRITTEN'));
    await download({ fresh: true, checkpoint: false, force: true });
    await download({ fresh: true, force: true });
    assert.equal(lstatSync(journal, { bigint: true }).ctimeNs, planted.ctimeNs);
    execFileSync('rm', ['-rf', target]);
  }
});

/** Another user can put these beside a journal, in a directory that all may write to. */
const planted: Record<string, (path: string) => void> = {
  'a FIFO': (path) => execFileSync('mkfifo', [path]),
  'a link': (path) => execFileSync('ln', ['-s', '/dev/zero', path]),
  ...(process.geteuid?.() === 0 && {
    "another user's file": (path: string) => {
      writeFileSync(path, 'theirs');
      chownSync(path, 65_534, 65_534);
    },
  }),
};

for (const [what, plant] of Object.entries(planted)) {
  test(`${what} with the name of a journal's lock or new version stays, and costs a warning`, async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    for (const [suffix, code] of [
      ['lock', 'JOURNAL_NOT_LOCKED'],
      ['new', 'JOURNAL_NOT_WRITTEN'],
    ] as const) {
      const source = join(scratch(t), 'disk.img');
      writeFileSync(source, randomBytes(2 * BLOCK));
      const beside = `${uploadJournal(source, emulator)}.${suffix}`;
      plant(beside);
      const before = lstatSync(beside, { bigint: true });
      const { events, onEvent } = recorder();
      await uploadSnapshot({ source, onEvent, ...service });
      const { ino, ctimeNs } = lstatSync(beside, { bigint: true });
      assert.deepEqual([ino, ctimeNs], [before.ino, before.ctimeNs], suffix);
      const codes = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
      assert.deepEqual(codes, [code]);
    }
  });

  test(`${what} with the name that a damaged journal gets stays`, async (t) => {
    const { journal, target, blocks, download } = await interruptedDownload(t);
    writeFileSync(journal, 'a secret');
    plant(`${journal}.corrupt`);
    const before = lstatSync(`${journal}.corrupt`, { bigint: true });
    const { events, onEvent } = recorder();
    await download({ onEvent });
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
    const { ino, ctimeNs } = lstatSync(`${journal}.corrupt`, { bigint: true });
    assert.deepEqual([ino, ctimeNs], [before.ino, before.ctimeNs]);
    const messages = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
    assert.match(messages[0] ?? '', /earlier download \(it is not valid JSON\); starting over/);
  });
}

for (const [how, options] of [
  ['without a journal', { checkpoint: false }],
  ['with a journal in another place', { checkpointFile: 'elsewhere' }],
  ['with fresh', { fresh: true }],
] as const) {
  test(`a run ${how} removes the journal of the run before, before it changes the target`, async (t) => {
    const { journal, target, blocks, download, deny, emulator, directory } = await interruptedDownload(t);
    assert.ok(existsSync(journal));
    deny(1);
    const elsewhere = 'checkpointFile' in options ? { checkpointFile: join(directory, 'elsewhere') } : {};
    await assert.rejects(download({ ...options, ...elsewhere }), { code: 'ACCESS_DENIED' });
    emulator.setFaults([]);
    if (!('fresh' in options)) assert.ok(!existsSync(journal));
    await download();
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  });
}

test('ranges that a journal lists as zeros are verified like all others', async (t) => {
  // Before block 300 the list has no blocks: that range is zeros.
  const blocks = randomBlocks([300, 301, 600, LAST], [], BLOCK);
  const { target, download } = await interruptedDownload(t, blocks, 600);
  assert.equal(statSync(`${target}.partial`).size, GIB);
  const file = openSync(`${target}.partial`, 'r+');
  for (let block = 0; block < 4; block++) writeSync(file, randomBytes(BLOCK), 0, BLOCK, block * BLOCK);
  closeSync(file);
  const { events, onEvent } = recorder();
  await download({ onEvent });
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'TARGET_MODIFIED'));
});

for (const fresh of [false, true]) {
  test(`a file named as the journal that is something else stays as it is${fresh ? ', also with fresh' : ''}`, async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const directory = scratch(t);
    const image = join(directory, 'other.img');
    writeFileSync(image, 'an image');
    for (const checkpointFile of [image, directory]) {
      const options = { checkpointFile, fresh, ...service };
      const download = { snapshotId: 'snap-1', target: join(directory, 'disk.img'), ...options };
      const refusal = { class: 'usage', code: 'CHECKPOINT_NOT_OURS' };
      await assert.rejects(downloadSnapshot(download), refusal);
      await assert.rejects(uploadSnapshot({ source: image, ...options }), refusal);
    }
    assert.deepEqual(readdirSync(directory), ['other.img']);
    assert.equal(readFileSync(image, 'utf8'), 'an image');
    assert.deepEqual(emulator.log, []);
  });
}

test('two downloads do not use one journal at the same time', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: randomBytes(BLOCK) } });
  const checkpointFile = join(directory, 'journal');
  const target = join(directory, 'disk.img');
  const options = { snapshotId, target, checkpointFile, ...service };
  const lock = await JournalLock.take(checkpointFile);
  emulator.clearLog();
  const refusal = { class: 'refused', code: 'TARGET_BUSY', message: /another run uses the journal/ };
  for (const fresh of [false, true]) {
    await assert.rejects(downloadSnapshot({ ...options, fresh }), refusal);
    await assert.rejects(estimateDownload({ ...options, fresh }), refusal);
  }
  assert.deepEqual(emulator.log, []);
  assert.deepEqual(readdirSync(directory), ['journal.coldsnap-lock']);
  await downloadSnapshot({ ...options, checkpoint: false });
  rmSync(target);
  await lock?.release();
  let locked = false;
  const onEvent = () => {
    locked ||= existsSync(lockOf(checkpointFile));
  };
  await downloadSnapshot({ ...options, onEvent });
  assert.ok(locked);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('a file named as the journal that is the journal of another kind of transfer stays as it is', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = join(directory, 'source.img');
  writeFileSync(source, randomBytes(BLOCK));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const checkpointFile = join(directory, 'journal');
  const download = { snapshotId, target: join(directory, 'disk.img'), checkpointFile, ...service };
  const upload = { source, checkpointFile, ...service };
  const refusal = {
    class: 'usage',
    code: 'CHECKPOINT_NOT_OURS',
    message: /journal is the journal of a transfer of another kind/,
  };
  await downloadSnapshot({ ...download, keepCheckpoint: true });
  const journal = readFileSync(checkpointFile);
  await assert.rejects(uploadSnapshot(upload), refusal);
  await assert.rejects(copySnapshot({ snapshotId, description: 'a copy', ...upload }), refusal);
  assert.ok(readFileSync(checkpointFile).equals(journal));
  writeFileSync(checkpointFile, '{"snapshot_id":"snap-1","completed_blocks":[]}');
  await assert.rejects(uploadSnapshot(upload), refusal);
  rmSync(checkpointFile);
  await uploadSnapshot({ ...upload, keepCheckpoint: true });
  await assert.rejects(downloadSnapshot({ ...download, force: true }), refusal);
});
