import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { startEmulator } from '../../src/emulator/index.ts';
import { list, randomBlock, run, start } from './client.ts';
import { connectTo, errorOf, headerOf, raw, readToEnd, requestText } from './raw.ts';
import { tlsCertificate, tlsKey } from './tls.ts';

test('an unknown method or path is an UnknownOperationException with a request ID', async (t) => {
  const { emulator } = await run(t);
  const addresses: [string, string][] = [
    ['GET', '/snapshots'],
    ['GET', '/snapshots/'],
    ['POST', '/snapshots/snap-0/blocks'],
    ['DELETE', '/snapshots/snap-0/blocks/0'],
    ['GET', '/snapshots/completion/snap-0'],
    ['GET', '/snapshots/snap-0/blocks/0/1'],
    ['GET', '/snapshots/%zz/blocks'],
    ['GET', '/other'],
  ];
  for (const [method, path] of addresses) {
    const reply = await raw(emulator.url, { method, path });
    assert.deepEqual(errorOf(reply), [404, 'UnknownOperationException', undefined], `${method} ${path}`);
    assert.match(headerOf(reply, 'x-amzn-RequestId')!, /^[0-9a-f-]{36}$/);
  }
  assert.ok(emulator.log.every(({ operation }) => operation === 'Unknown'));
});

test('errors are JSON with Message and Reason, with the type in a header', async (t) => {
  const { emulator } = await run(t);
  const reply = await raw(emulator.url, { path: '/snapshots/snap-0/blocks' });
  assert.equal(reply.status, 404);
  assert.equal(headerOf(reply, 'Content-Type'), 'application/json');
  assert.equal(headerOf(reply, 'x-amzn-ErrorType'), 'ResourceNotFoundException');
  assert.deepEqual(JSON.parse(reply.body.toString()), {
    Message: "The snapshot 'snap-0' does not exist in us-east-1.",
    Reason: 'SNAPSHOT_NOT_FOUND',
  });
});

test('the log has every request in order, with its outcome and without secrets', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: randomBlock() } });
  const token = encodeURIComponent((await list(ebs, id)).get(0)!);
  const path = `/snapshots/${id}/blocks/0?blockToken=${token}&x=1`;
  await raw(emulator.url, { path, headers: { 'User-Agent': 'me', 'x-amz-security-token': 'secret' } });
  await raw(emulator.url, { path: '/snapshots/snap-0/blocks?pageToken=AAAA' });
  const [first, second, third] = emulator.log;
  assert.deepEqual([first!.seq, second!.seq, third!.seq], [1, 2, 3]);
  assert.deepEqual(
    { ...second, time: 0, headers: second!.headers['user-agent'] },
    {
      seq: 2,
      time: 0,
      operation: 'GetSnapshotBlock',
      snapshotId: id,
      blockIndex: 0,
      method: 'GET',
      path: `/snapshots/${id}/blocks/0?blockToken=***&x=1`,
      headers: 'me',
      connectionId: 2,
      status: 403,
      errorType: 'IncompleteSignatureException',
    },
  );
  assert.equal(third!.path, '/snapshots/snap-0/blocks?pageToken=***');
  assert.deepEqual([third!.status, third!.errorReason], [404, 'SNAPSHOT_NOT_FOUND']);
  const everything = JSON.stringify(emulator.log);
  for (const secret of [token, 'secret', 'Signature=']) assert.ok(!everything.includes(secret));
  assert.equal(emulator.requests('GetSnapshotBlock').length, 1);
  emulator.clearLog();
  assert.equal(emulator.log.length, 0);
});

test('requests on one connection have the same connectionId', async (t) => {
  const { emulator } = await run(t);
  const socket = connectTo(emulator.url);
  socket.write(requestText({ path: '/a' }));
  await emulator.waitForRequest(({ path, status }) => path === '/a' && status > 0);
  socket.write(requestText({ path: '/b', headers: { Connection: 'close' } }));
  await readToEnd(socket);
  await raw(emulator.url, { path: '/c' });
  assert.deepEqual(
    emulator.log.map(({ path, connectionId }) => [path, connectionId]),
    [
      ['/a', 1],
      ['/b', 1],
      ['/c', 2],
    ],
  );
});

test('waitForRequest resolves with past and future requests, and rejects when the emulator closes', async (t) => {
  const { emulator, ebs } = await run(t);
  const second = emulator.waitForRequest(({ operation }) => operation === 'StartSnapshot', 2);
  await start(ebs);
  await start(ebs, { Description: 'second' });
  assert.equal((await second).seq, 2);
  assert.equal((await emulator.waitForRequest(({ status }) => status === 201)).seq, 1);
  const never = emulator.waitForRequest(() => false);
  const rejected = assert.rejects(never, /closed/);
  await emulator.close();
  await rejected;
});

test('serves HTTPS with the given certificate', async (t) => {
  const emulator = await startEmulator({ tls: { key: tlsKey, cert: tlsCertificate }, host: '127.0.0.1' });
  t.after(() => emulator.close());
  assert.match(emulator.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const send = (path: string) =>
    new Promise<number>((resolve, reject) => {
      const options = { ca: tlsCertificate, agent: false, servername: 'localhost' };
      const sent = request(emulator.url + path, options, (reply) => {
        reply.resume();
        resolve(reply.statusCode!);
      });
      sent.on('error', reject);
      sent.end();
    });
  assert.equal(await send('/snapshots/snap-0/blocks'), 403);
  emulator.setFaults([{ action: { type: 'drop', reset: true } }]);
  await assert.rejects(send('/'), { code: 'ECONNRESET' });
});

test('a port in use and options out of range are rejected at the start', async (t) => {
  const { emulator } = await run(t);
  await assert.rejects(startEmulator({ port: emulator.port }), { code: 'EADDRINUSE' });
  for (const options of [{ blockSize: 1000 }, { blockSize: 256 }, { pageSize: 0 }]) {
    await assert.rejects(startEmulator(options), RangeError);
  }
});
