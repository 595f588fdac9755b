/** Passes what a caller without TypeScript may pass. Nothing is touched, and no request is sent. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { startEmulator } from '../../src/emulator/index.ts';
import * as library from '../../src/index.ts';

process.env.AWS_ACCESS_KEY_ID = 'AKIDEXAMPLE';
process.env.AWS_SECRET_ACCESS_KEY = 'an example';

const directory = mkdtempSync(join(tmpdir(), 'coldsnap-options-'));
after(() => rmSync(directory, { recursive: true }));

const snapshotId = 'snap-0123456789abcdef0';
type Anything = (options?: unknown) => Promise<unknown>;
const {
  downloadSnapshot,
  uploadSnapshot,
  copySnapshot,
  verifySnapshot,
  downloadToTargets,
  estimateDownload,
  estimateUpload,
  listDevices,
  readImageLayout,
} = library as unknown as Record<string, Anything> as {
  [Name in keyof typeof library]: Anything;
};

const rejects = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, { name: 'ColdsnapError', class: 'usage', code: 'BAD_OPTION', message });

describe('options of a wrong type are usage errors that name the option', () => {
  const cases: readonly [options: object, message: RegExp][] = [
    [{ target: undefined }, /^target must be a path or a stream, but is of type undefined$/],
    [{ target: null }, /^target must be a path or a stream, but is null$/],
    [{ target: new URL('file:///tmp/x') }, /^target must be a path or a stream/],
    [{ target: Buffer.from('x') }, /^target must be a path or a stream/],
    [{ force: 'no' }, /^force must be true or false, but is of type string$/],
    [{ verify: 1 }, /^verify must be true or false/],
    [{ bytesPerSecond: '4M' }, /^bytesPerSecond must be a number/],
    [{ region: 5 }, /^region must be a string, but is of type number$/],
    [{ endpoint: new URL('http://x') }, /^endpoint must be a string/],
    [{ signal: {} }, /^signal must be an AbortSignal/],
    [{ onEvent: 'log' }, /^onEvent must be a function/],
    [{ deadlines: 5 }, /^deadlines must be an object/],
    [{ deadlines: { idleMs: '5' } }, /^deadlines.idleMs must be a number, but is of type string$/],
    [{ checkpointFile: true }, /^checkpointFile must be a string/],
    [{ ebsClient: {} }, /^ebsClient must be a client of the AWS SDK, but is of type object$/],
    [{ ec2Client: { config: {} } }, /^ec2Client must be a client of the AWS SDK/],
    [{ transport: 'FAST' }, /^transport must be "fast" or "sdk", not "FAST"$/],
  ];
  for (const [options, message] of cases) {
    test(String(message), async () => {
      const target = join(directory, 'disk.img');
      await rejects(downloadSnapshot({ snapshotId, target, ...options }), message);
      assert.ok(!existsSync(target));
    });
  }
});

test('tags are objects with a key', async () => {
  for (const tags of [{ a: 'b' }, ['a=b'], [{ Key: 'a', Value: 'b' }], [null], [{ key: 'a', value: 5 }]]) {
    await rejects(uploadSnapshot({ source: 'disk.img', tags }), /^tags must be an array of objects/);
  }
});

test('an unknown choice is not taken for the default', async () => {
  const source = 'disk.img';
  await rejects(
    uploadSnapshot({ source, onFailure: 'remove' }),
    /^onFailure must be "keep" or "delete", not "remove"$/,
  );
  await rejects(
    uploadSnapshot({ source, sourceFormat: 'qcow2' }),
    /^sourceFormat must be "raw", not "qcow2"$/,
  );
});

test('arrays have no holes', async () => {
  await rejects(
    downloadToTargets({ snapshotId, targets: new Array(1) }),
    /^targets must be an array of strings/,
  );
  await rejects(
    uploadSnapshot({ source: 'disk.img', tags: new Array(1) }),
    /^tags must be an array of objects/,
  );
});

test('a tag of a new snapshot needs a value', async () => {
  await assert.rejects(uploadSnapshot({ source: 'disk.img', tags: [{ key: 'a' }] }), {
    class: 'usage',
    code: 'BAD_TAG',
    message: 'tag "a" has no value',
  });
});

test('other functions check their options, too', async () => {
  await rejects(uploadSnapshot({ source: 5 }), /^source must be a path or a stream/);
  await rejects(
    uploadSnapshot({ source: 'disk.img', wait: 'yes' }),
    /^wait must be true, false or an object/,
  );
  await rejects(
    uploadSnapshot({ source: 'disk.img', wait: { timeoutMs: '5' } }),
    /^wait.timeoutMs must be a number/,
  );
  await rejects(copySnapshot({ snapshotId, to: 'eu-west-1' }), /^to must be an object/);
  await rejects(copySnapshot({ snapshotId, to: { region: 5 } }), /^to.region must be a string/);
  await rejects(verifySnapshot({ snapshotId }), /^target must be/);
  await rejects(downloadToTargets({ snapshotId, targets: 'a.img' }), /^targets must be an array of strings/);
});

test('a stream that cannot be read is no source, and one that cannot be written to no target', async () => {
  const readable = Readable.from([]);
  const writable = new Writable();
  const pipes = { pipe: () => {} };
  for (const target of [readable, pipes])
    await rejects(
      downloadSnapshot({ snapshotId, target }),
      /^target must be a path or a stream to write to, but is of type object$/,
    );
  for (const stream of [writable, pipes]) {
    await rejects(
      uploadSnapshot({ source: stream, volumeSizeGiB: 1 }),
      /^source must be a path or a stream to read, but is of type object$/,
    );
    await rejects(
      verifySnapshot({ snapshotId, target: stream }),
      /^target must be a path or a stream to read,/,
    );
  }
});

test('a stream that fails before it is opened rejects the call, and does not end the process', async () => {
  const failing = () => new PassThrough().destroy(new Error('the tape is torn'));
  // Looked for in the file system first.
  const checkpointFile = join(directory, 'none');
  const failure = { class: 'local', code: 'STREAM_FAILED', message: /the tape is torn$/ };
  const emulator = await startEmulator();
  try {
    const existing = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    const options = { endpoint: emulator.url, region: 'us-east-1', snapshotId: existing, checkpointFile };
    await assert.rejects(downloadSnapshot({ ...options, target: failing() }), failure);
    await assert.rejects(verifySnapshot({ ...options, target: failing() }), failure);
    await assert.rejects(uploadSnapshot({ ...options, source: failing(), volumeSizeGiB: 1 }), failure);
  } finally {
    await emulator.close();
  }
});

test('a stream is given to one call only', async () => {
  const emulator = await startEmulator();
  try {
    const existing = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    const options = { endpoint: emulator.url, region: 'us-east-1', snapshotId: existing };
    const source = Readable.from([Buffer.alloc(2 ** 20, 1)]);
    const upload = { ...options, source, volumeSizeGiB: 1 };
    // Dry runs leave it alone.
    await estimateUpload(upload);
    const [first, second] = await Promise.allSettled([uploadSnapshot(upload), uploadSnapshot(upload)]);
    assert.equal(first.status, 'fulfilled');
    const refusal = /^source is a stream that another call was given$/;
    await rejects(second.status === 'rejected' ? Promise.reject(second.reason) : Promise.resolve(), refusal);
    await rejects(uploadSnapshot(upload), refusal);
    await rejects(verifySnapshot({ ...options, target: source }), /^target is a stream that another call/);

    let bytes = 0;
    const target = new Writable({
      write(chunk, _encoding, done) {
        bytes += chunk.length;
        setImmediate(done);
      },
    });
    const download = { ...options, target };
    await estimateDownload(download);
    const running = downloadSnapshot(download);
    await rejects(downloadSnapshot(download), /^target is a stream that another call was given$/);
    await running;
    assert.equal(bytes, 2 ** 30);
    await rejects(downloadSnapshot(download), /^target is a stream/);
    // The two directions of one are two streams.
    const both = new PassThrough();
    const through = { ...options, source: both, target: both, volumeSizeGiB: 1 };
    await Promise.all([downloadSnapshot(through), uploadSnapshot(through)]);
  } finally {
    await emulator.close();
  }
});

test('a journal has a name', async () => {
  const options = { snapshotId, target: 'a', source: 'a', encrypted: true, checkpointFile: '' };
  for (const call of [downloadSnapshot, uploadSnapshot, copySnapshot])
    await rejects(call(options), /^the name of the journal is empty$/);
});

test('a string with a NUL is a usage error, and not cut off', async () => {
  await rejects(
    downloadSnapshot({ snapshotId, target: 'a\0b' }),
    /^target must be .*, but has a NUL character$/,
  );
  await rejects(
    uploadSnapshot({ source: 'a', saveDigests: 'a\0b' }),
    /^saveDigests must be a string, but has a NUL character$/,
  );
  await rejects(
    downloadToTargets({ snapshotId, targets: ['a', 'a\0b'] }),
    /^targets must be .*, but has a NUL character$/,
  );
});

test('options may be changed for the next call while one is running', async () => {
  const [first, second] = ['first.img', 'second.img'].map((name) => join(directory, name)) as [
    string,
    string,
  ];
  for (const path of [first, second]) writeFileSync(path, 'mine');
  const to = { profile: 'first.img' };
  const options = {
    snapshotId,
    target: first,
    targets: [first],
    source: `${first}.gone`,
    to,
    region: 'us-east-1',
  };
  const calls = [downloadSnapshot, downloadToTargets, uploadSnapshot, copySnapshot].map((call) =>
    call(options),
  );
  Object.assign(options, { target: second, source: `${second}.gone` });
  options.targets[0] = second;
  to.profile = 'second.img';
  for (const outcome of await Promise.allSettled(calls)) {
    assert.equal(outcome.status, 'rejected');
    assert.match(outcome.reason.message, /first\.img/);
  }
});

test('functions without a service check what they are given, too', async () => {
  await rejects(listDevices({ all: 1 }), /^all must be true or false, but is of type number$/);
  for (const path of [null, undefined, 5, [], Buffer.from('disk.img')])
    await rejects(readImageLayout(path), /^path must be a string, but is/);
  await rejects(readImageLayout('a\0b'), /^path must be a string, but has a NUL character$/);
});

test('options that are missing altogether are a usage error of every function', async () => {
  const without = ['ColdsnapError', 'readImageLayout'];
  for (const [name, call] of Object.entries(library)) {
    if (without.includes(name)) continue;
    await rejects((call as unknown as Anything)(null), /^the options must be an object, but is null$/);
  }
});
