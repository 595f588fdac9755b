/** A dry run that would save digests refuses what the run refuses, and creates nothing. */
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ColdsnapError,
  downloadSnapshot,
  estimateDownload,
  estimateUpload,
  uploadSnapshot,
} from '../../src/index.ts';
import { tryLock } from '../../src/native/index.ts';
import { encodeHeader } from '../../src/transfer/digests/format.ts';
import { randomBlocks, scratch, startService } from '../support/service.ts';
import { stateOf } from '../support/state-of.ts';

const failureOf = (attempt: Promise<unknown>) =>
  attempt.then(
    () => assert.fail('it succeeded'),
    ({ class: errorClass, code, message }: ColdsnapError) => ({ errorClass, code, message }),
  );

for (const [what, make] of [
  ['in a directory that does not exist', () => 'nowhere/digests'],
  ['beside a partial file of another program', (at: string) => writeFileSync(`${at}.partial`, 'mine')],
  ['beside a partial file that is a directory', (at: string) => mkdirSync(`${at}.partial`)],
  ['beside a partial file that is a link', (at: string) => symlinkSync('elsewhere', `${at}.partial`)],
] as const) {
  test(`digests ${what} are refused by a dry run as by the run`, async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
    const directory = scratch(t);
    const source = join(directory, 'source.img');
    writeFileSync(source, 'an image');
    const saveDigests = join(directory, make(join(directory, 'digests')) ?? 'digests');
    const options = { ...service, saveDigests };
    const download = { ...options, snapshotId, target: join(directory, 'disk.img') };
    const before = stateOf(directory);
    const ofDownload = await failureOf(estimateDownload(download));
    const ofUpload = await failureOf(estimateUpload({ ...options, source }));
    assert.deepEqual(stateOf(directory), before);
    assert.deepEqual(ofDownload, await failureOf(downloadSnapshot(download)));
    assert.deepEqual(ofUpload, await failureOf(uploadSnapshot({ ...options, source })));
    assert.deepEqual(emulator.requests('StartSnapshot'), []);
  });
}

test('digests that another run is writing are refused by a dry run, and those of a killed run are not', async (t) => {
  const { service } = await startService(t);
  const directory = scratch(t);
  const source = join(directory, 'source.img');
  const saveDigests = join(directory, 'digests');
  writeFileSync(source, 'an image');
  writeFileSync(`${saveDigests}.partial`, encodeHeader(undefined, undefined));
  const options = { ...service, source, saveDigests };
  const fd = openSync(`${saveDigests}.partial`, 'r');
  assert.ok(tryLock(fd));
  await assert.rejects(estimateUpload(options), { code: 'TARGET_BUSY' });
  closeSync(fd);
  const before = stateOf(directory);
  assert.equal((await estimateUpload(options)).blocks, 1);
  assert.deepEqual(stateOf(directory), before);
});
