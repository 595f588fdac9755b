/** The request that starts a snapshot, made from the options of an upload. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UploadOptions } from '../../src/transfer/options.ts';
import { startRequest, volumeSizeFor } from '../../src/transfer/snapshot/request.ts';

const GIB = 2 ** 30;

function request(options: UploadOptions, run = { marked: true, resumable: true }) {
  return startRequest(
    { ...options, volumeSizeGiB: options.volumeSizeGiB ?? 1 },
    { clientToken: 'token', ...run },
  );
}

test("a snapshot's description is the base name of its source, cut to what the service takes", () => {
  const description = (source: string) => request({ source }).description;
  assert.equal(description('/var/images/disk.img'), 'disk.img');
  assert.equal(description(`/var/${'x'.repeat(255)}`), 'x'.repeat(255));
  assert.equal(description(`/var/${'x'.repeat(300)}`), 'x'.repeat(255));
  assert.equal(description('-'), undefined);
  assert.equal(request({ source: 'disk.img', description: '' }).description, '');
});

test('rounds the volume up to whole GiB, at least one', () => {
  const size = (bytes: number, volumeSizeGiB?: number) =>
    volumeSizeFor(volumeSizeGiB === undefined ? { source: '' } : { source: '', volumeSizeGiB }, bytes);
  assert.deepEqual([size(1), size(GIB), size(GIB + 1), size(65_536 * GIB), size(1, 8)], [1, 1, 2, 65_536, 8]);
  assert.throws(() => size(GIB + 1, 1), { code: 'VOLUME_TOO_SMALL' });
  for (const given of [undefined, 65_536])
    assert.throws(() => size(65_536 * GIB + 1, given), { code: 'SOURCE_TOO_LARGE' });
});

test("adds the marker tag only where it does not displace one of the user's", () => {
  const tags = Array.from({ length: 50 }, (_, index) => ({ key: `k${index}`, value: '' }));
  assert.deepEqual(request({ source: 'a', tags }).tags, tags);
  assert.equal(request({ source: 'a', tags: tags.slice(1) }).tags?.length, 50);
  const own = [{ key: 'coldsnap:upload', value: 'mine' }];
  assert.deepEqual(request({ source: 'a', tags: own }).tags, own);
});

test('requests encryption with or without a key, but never for a child', () => {
  const asked = (options: Partial<UploadOptions>) => {
    const { encrypted, kmsKeyArn, parentSnapshotId } = request({ source: 'a', ...options });
    return { encrypted, kmsKeyArn, parentSnapshotId };
  };
  const none = { encrypted: undefined, kmsKeyArn: undefined, parentSnapshotId: undefined };
  assert.deepEqual(asked({}), none);
  assert.deepEqual(asked({ encrypted: true }), { ...none, encrypted: true });
  assert.deepEqual(asked({ kmsKeyId: 'k' }), { ...none, encrypted: true, kmsKeyArn: 'k' });
  assert.deepEqual(asked({ parentSnapshotId: 'p', encrypted: false }), { ...none, parentSnapshotId: 'p' });
});
