import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RequestRecord, startEmulator } from '../../src/emulator/index.ts';
import { list, run, start } from './client.ts';
import { raw } from './raw.ts';
import { tlsCertificate, tlsKey } from './tls.ts';

test('options out of range are rejected', async () => {
  for (const options of [
    { delayMs: -1 },
    { delayMs: Number.NaN },
    { delayMs: 2 ** 31 },
    { quotas: { getPerSecond: 0 } },
    { quotas: { listPerSecond: Number.NaN } },
  ]) {
    await assert.rejects(startEmulator(options), RangeError, JSON.stringify(options));
  }
});

test('malformed credentials are rejected without printing a secret', async () => {
  const secretAccessKey = 'a-secret';
  const cases: [unknown, RegExp][] = [
    [{}, /must be an object with access key IDs/],
    [[], /must be an object with access key IDs/],
    [secretAccessKey, /must be an object with access key IDs/],
    [{ AKID: secretAccessKey }, /AKID have no secretAccessKey/],
    [{ AKID: {} }, /AKID have no secretAccessKey/],
    [{ AKID: { secretAccessKey: 1 } }, /the secretAccessKey of AKID must be a string/],
    [{ AKID: { secretAccessKey: '' } }, /the secretAccessKey of AKID must be a string/],
    [{ AKID: { secretAccessKey, sessionToken: null } }, /the sessionToken of AKID must be a string/],
    [{ AKID: { secretAccessKey, other: secretAccessKey } }, /AKID can have secretAccessKey and sessionToken/],
    [{ 'a/b': { secretAccessKey } }, /an access key ID must have/],
  ];
  for (const [credentials, message] of cases) {
    const options = { credentials: credentials as Record<string, { secretAccessKey: string }> };
    await assert.rejects(startEmulator(options), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'BAD_CREDENTIALS');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /a-secret/);
      return true;
    });
  }
});

test('a key that does not match the certificate, or is not PEM, is rejected', async () => {
  for (const tls of [
    { key: 'no key', cert: tlsCertificate },
    { key: tlsKey, cert: 'no certificate' },
  ]) {
    await assert.rejects(startEmulator({ tls }), {
      class: 'usage',
      code: 'BAD_TLS_FILES',
      message: 'the TLS key and certificate are not valid PEM, or do not belong together',
    });
  }
});

test('delayMs delays every request, in addition to a fault', async (t) => {
  const { emulator, ebs } = await run(t, { delayMs: 60 });
  const timed = async (work: () => Promise<unknown>) => {
    const begin = performance.now();
    await work();
    return performance.now() - begin;
  };
  assert.ok((await timed(() => start(ebs))) > 55);
  emulator.setFaults([{ action: { type: 'delay', ms: 60 } }]);
  assert.ok((await timed(() => start(ebs))) > 115);
});

test('onRequest gets each request once, with its outcome', async (t) => {
  const records: RequestRecord[] = [];
  const { emulator, ebs } = await run(t, { onRequest: (record) => records.push({ ...record }) });
  const id = await start(ebs);
  await assert.rejects(list(ebs, id));
  emulator.setFaults([{ action: { type: 'drop' } }]);
  await assert.rejects(start(ebs));
  emulator.setFaults([{ action: { type: 'stall', at: 'headers', ms: 3_600_000 } }]);
  const stalled = raw(emulator.url, { path: '/other' });
  await emulator.waitForRequest(({ path }) => path === '/other');
  await emulator.close();
  await stalled;
  assert.deepEqual(
    records.map(({ seq, operation, status, errorType, fault }) => [seq, operation, status, errorType, fault]),
    [
      [1, 'StartSnapshot', 201, undefined, undefined],
      [2, 'ListSnapshotBlocks', 400, 'ValidationException', undefined],
      [3, 'StartSnapshot', 0, undefined, 'drop'],
      [4, 'Unknown', 0, undefined, 'stall'],
    ],
  );
});
