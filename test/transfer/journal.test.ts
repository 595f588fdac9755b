/** The directory of a journal. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tryLock } from '../../src/native/index.ts';
import {
  makeJournalDirectory,
  readJournal,
  removeJournal,
  writeJournal,
} from '../../src/transfer/journal/file.ts';
import { isLocked, JournalLock, lockOf } from '../../src/transfer/journal/lock.ts';
import { scratch } from '../support/service.ts';

test("does not recreate a journal's directory that was moved away", async (t) => {
  const path = join(scratch(t), 'images', 'disk.img.coldsnap-progress');
  await assert.rejects(writeJournal(path, { version: 1 }), { code: 'ENOENT' });
  assert.ok(!existsSync(dirname(path)));

  await makeJournalDirectory(path);
  await writeJournal(path, { version: 1 });
  assert.deepEqual(readdirSync(dirname(path)), ['disk.img.coldsnap-progress']);
  assert.deepEqual(await readJournal(path), { kind: 'present', content: { version: 1 }, sealed: true });
});

test("files of a user's beside a journal of any name stay as they are", async (t) => {
  const path = join(scratch(t), 'journal');
  for (const end of ['new', 'lock']) writeFileSync(`${path}.${end}`, 'mine');
  const lock = await JournalLock.take(path);
  await writeJournal(path, { version: 1 });
  await removeJournal(path);
  await lock?.release();
  assert.deepEqual(readdirSync(dirname(path)), ['journal.lock', 'journal.new']);
  for (const end of ['new', 'lock']) assert.equal(readFileSync(`${path}.${end}`, 'utf8'), 'mine');
});

/** Looks at whether a run holds a journal, as another process may. The look ends in the next pause, however long that takes. */
async function lookAt(t: TestContext, path: string) {
  // A look opens the file, locks it and closes it.
  const looking = await open(lockOf(path), 'a+');
  assert.ok(tryLock(looking.fd));
  const { setTimeout: afterwards } = globalThis;
  const pause = (end: () => void, ms: number) => void looking.close().then(() => afterwards(end, ms));
  return t.mock.method(globalThis, 'setTimeout', pause, { times: 1 });
}

test('a look at whether a run holds a journal does not look like a run to another look', async (t) => {
  const path = join(scratch(t), 'disk.img.coldsnap-upload');
  await lookAt(t, path);
  assert.equal(await isLocked(path), false);
});

test('a look at whether a run holds a journal does not make it seem busy to another', async (t) => {
  const path = join(scratch(t), 'disk.img.coldsnap-upload');
  const paused = await lookAt(t, path);
  const lock = await JournalLock.take(path);
  assert.equal(paused.mock.callCount(), 1);
  assert.ok(lock);
  assert.equal(await isLocked(path), true);
  assert.equal(await JournalLock.take(path), undefined);
  await lock.release();
});
