// A Readable is a source and a Writable a target, in order, with back-pressure, ended once
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { downloadSnapshot, uploadSnapshot } from 'coldsnap';

const endpoint = process.env.ENDPOINT;
const image = randomBytes(20 * 524_288 + 12_345);

// Chunks that are not aligned to blocks.
const chunks = function* () {
  for (let at = 0; at < image.length; at += 100_003) yield image.subarray(at, at + 100_003);
};
const source = Readable.from(chunks(), { objectMode: false });
const { snapshotId, blocksTransferred } = await uploadSnapshot({ endpoint, source, volumeSizeGiB: 1 });
assert.equal(blocksTransferred, 21);

const hash = createHash('sha256');
let length = 0;
let writing = 0;
let peak = 0;
const target = new Writable({
  highWaterMark: 65_536,
  write(chunk, _encoding, callback) {
    writing++;
    if (length < image.length) hash.update(chunk.subarray(0, image.length - length));
    length += chunk.length;
    peak = Math.max(peak, target.writableLength);
    setImmediate(() => {
      writing--;
      callback();
    });
  },
});
let finished = 0;
target.on('finish', () => finished++);
await downloadSnapshot({ endpoint, snapshotId, target });
assert.deepEqual([length, finished, writing], [2 ** 30, 1, 0]);
assert.equal(hash.digest('hex'), createHash('sha256').update(image).digest('hex'));
assert.ok(peak <= 64 * 2 ** 20, `${peak} bytes were buffered in the stream`);

// A stream error is the cause of the failure.
const broken = new Writable({ write: (_chunk, _encoding, callback) => callback(new Error('no paper')) });
broken.on('error', () => {});
await assert.rejects(downloadSnapshot({ endpoint, snapshotId, target: broken }), (error) => {
  assert.equal(error.code, 'STREAM_FAILED');
  assert.equal(error.cause.message, 'no paper');
  return true;
});
