/** The directory of a journal. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { makeJournalDirectory, readJournal, writeJournal } from '../../src/transfer/journal/file.ts';
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
