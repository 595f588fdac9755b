import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Emulator, FaultAction } from '../../src/emulator/index.ts';
import { complete, get, refusal, run, SMALL, start } from './client.ts';
import { data, withBlock } from './faulty-block.ts';
import { connectTo, headerOf, parseReply, readToEnd, requestText } from './raw.ts';

function started(emulator: Emulator): number {
  return emulator.requests('StartSnapshot').length;
}

test('drop before the headers: no reply is sent, whether or not the operation is executed', async (t) => {
  const { emulator, ebs, fetch } = await withBlock(t);
  const dropped = await fetch({ type: 'drop' });
  assert.deepEqual([dropped.status, dropped.body.length, dropped.ended], [0, 0, 'end']);
  const reset = await fetch({ type: 'drop', reset: true });
  assert.deepEqual([reset.status, reset.ended], [0, 'ECONNRESET']);
  assert.deepEqual(
    emulator.log.slice(-2).map(({ status, fault }) => [status, fault]),
    [
      [0, 'drop'],
      [0, 'drop'],
    ],
  );

  emulator.setFaults([{ action: { type: 'drop', executed: true }, first: 1 }]);
  await assert.rejects(start(ebs, { ClientToken: 'token' }));
  const id = await start(ebs, { ClientToken: 'token' });
  assert.equal(started(emulator), 2);
  emulator.setFaults([{ action: { type: 'drop', executed: true }, operation: 'CompleteSnapshot', first: 1 }]);
  await assert.rejects(complete(ebs, id, 0));
  await assert.rejects(complete(ebs, id, 0), refusal('ValidationException'));
});

test('drop within the body: sends the headers and the given number of bytes, then closes', async (t) => {
  const { fetch } = await withBlock(t);
  const half = await fetch({ type: 'drop', at: 'body' });
  assert.deepEqual([half.status, headerOf(half, 'Content-Length')], [200, String(SMALL)]);
  assert.deepEqual(half.body, data.subarray(0, SMALL / 2));
  const some = await fetch({ type: 'drop', at: 'body', bytes: 10 });
  assert.deepEqual(some.body, data.subarray(0, 10));
  const none = await fetch({ type: 'drop', at: 'body', bytes: 0 });
  assert.deepEqual([none.status, none.body.length], [200, 0]);
  const reset = await fetch({ type: 'drop', at: 'body', bytes: 10, reset: true });
  assert.equal(reset.ended, 'ECONNRESET');
});

test('stall: without ms, lasts until the emulator closes, before the headers or within the body', async (t) => {
  const { emulator, path } = await withBlock(t);
  const stalled = async (action: FaultAction) => {
    emulator.setFaults([{ action }]);
    const seen = emulator.log.length;
    const socket = connectTo(emulator.url);
    let received = Buffer.alloc(0);
    const wanted = action.type === 'stall' && action.at === 'body' ? 100 : 0;
    const arrived = new Promise<void>((resolve) => {
      socket.on('data', (piece: Buffer) => {
        received = Buffer.concat([received, piece]);
        if (parseReply(received, '').body.length === wanted) resolve();
      });
    });
    socket.write(requestText({ path }));
    if (wanted > 0) await arrived;
    else await emulator.waitForRequest((record) => record.seq > seen);
    return { socket, received: () => received };
  };
  const silent = await stalled({ type: 'stall' });
  const half = await stalled({ type: 'stall', at: 'body', bytes: 100 });
  assert.equal(half.received().indexOf(data.subarray(0, 100)), half.received().length - 100);
  const ends = [silent.socket, half.socket].map((socket) => readToEnd(socket));
  await emulator.close();
  await Promise.all(ends);
  assert.equal(silent.received().length, 0);
});

test('stall at request: the body is not read and the operation is not executed', async (t) => {
  const { emulator, ebs } = await run(t, { blockSize: 2 ** 26 });
  const id = await start(ebs);
  emulator.setFaults([{ operation: 'PutSnapshotBlock', action: { type: 'stall', at: 'request' } }]);
  const socket = connectTo(emulator.url);
  const text = requestText({ method: 'PUT', path: `/snapshots/${id}/blocks/0`, body: Buffer.alloc(2 ** 26) });
  assert.equal(socket.write(text), false);
  const record = await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  assert.deepEqual([record.status, record.fault], [0, 'stall']);
  // More than the socket buffers hold, so the body cannot have been sent completely.
  assert.ok(socket.bytesWritten < text.length || socket.writableLength > 0);
  socket.destroy();
});

test('stall: with ms, the reply continues normally afterwards', async (t) => {
  const { fetch, emulator } = await withBlock(t);
  const stalls: FaultAction[] = [
    { type: 'stall', at: 'request', ms: 30 },
    { type: 'stall', ms: 30 },
    { type: 'stall', at: 'body', bytes: 0, ms: 30 },
    { type: 'stall', at: 'body', ms: 30 },
    { type: 'delay', ms: 30 },
  ];
  for (const action of stalls) {
    const begin = performance.now();
    const reply = await fetch(action);
    assert.deepEqual([reply.status, reply.body], [200, data]);
    assert.ok(performance.now() - begin >= 25, JSON.stringify(action));
  }
  assert.equal(emulator.log.at(-1)?.status, 200);
});

test('stall: executes the operation and sends no reply', async (t) => {
  const { emulator, ebs } = await run(t);
  emulator.setFaults([{ operation: 'StartSnapshot', action: { type: 'stall', executed: true }, first: 1 }]);
  const lost = start(ebs, { ClientToken: 'token' });
  lost.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'StartSnapshot');
  const id = await start(ebs, { ClientToken: 'token' });
  assert.equal(emulator.snapshot(id)?.status, 'pending');
});

test('chunked: sends the whole body without a Content-Length', async (t) => {
  const { emulator, ebs, fetch, id, token } = await withBlock(t);
  const reply = await fetch({ type: 'chunked' });
  assert.equal(headerOf(reply, 'Transfer-Encoding'), 'chunked');
  assert.equal(headerOf(reply, 'Content-Length'), undefined);
  assert.notEqual(reply.body.indexOf(data), -1);
  assert.deepEqual(await get(ebs, id, 0, token), data);
  assert.equal(emulator.log.at(-1)?.fault, 'chunked');
});

test('drip: sends the body slowly', async (t) => {
  const { fetch } = await withBlock(t);
  const begin = performance.now();
  const reply = await fetch({ type: 'drip', bytesPerSecond: 20_000 });
  assert.deepEqual(reply.body, data);
  assert.ok(performance.now() - begin > 150, 'some 4 KiB at 20,000 bytes a second');
});

test('close: closes the connection after the reply, with or without announcing it', async (t) => {
  const { emulator, path } = await withBlock(t);
  for (const silent of [false, true]) {
    emulator.setFaults([{ action: { type: 'close', silent } }]);
    const socket = connectTo(emulator.url);
    socket.write(requestText({ path }));
    const reply = parseReply(...(await readToEnd(socket)));
    assert.deepEqual(reply.body, data);
    assert.equal(headerOf(reply, 'Connection'), silent ? 'keep-alive' : 'close');
  }
});

test('a reply that waits behind another on a connection that is lost does not keep the emulator from closing', async (t) => {
  const { emulator, path } = await withBlock(t);
  emulator.setFaults([
    { operation: 'GetSnapshotBlock', nth: 1, action: { type: 'stall', at: 'body', bytes: 100 } },
    { operation: 'GetSnapshotBlock', nth: 2, action: { type: 'drip', bytesPerSecond: 1_000_000 } },
  ]);
  const seen = emulator.log.length;
  const socket = connectTo(emulator.url);
  const request = requestText({ path });
  socket.write(Buffer.concat([request, request]));
  await emulator.waitForRequest(() => emulator.log.length === seen + 2);
  socket.destroy();
  await emulator.close();
});
