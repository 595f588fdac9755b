import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import type { Emulator, FaultAction } from '../../src/emulator/index.ts';
import { complete, get, list, put, randomBlock, refusal, run, SMALL, sha256, start } from './client.ts';
import { connectTo, headerOf, parseReply, type RawReply, raw, readToEnd, requestText } from './raw.ts';

const data = randomBlock();
const checksum = sha256(data).toString('base64');

/** An emulator with one snapshot of one block, and a raw GET of that block under a fault. */
async function withBlock(t: TestContext) {
  const { emulator, ebs, ec2 } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: data } });
  const token = (await list(ebs, id)).get(0)!;
  const path = `/snapshots/${id}/blocks/0?blockToken=${encodeURIComponent(token)}`;
  const fetch = async (action: FaultAction): Promise<RawReply> => {
    emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
    return raw(emulator.url, { path });
  };
  return { emulator, ebs, ec2, id, token, path, fetch };
}

function started(emulator: Emulator): number {
  return emulator.requests('StartSnapshot').length;
}

test('error: any error, in the shape of its protocol, as the SDK understands it', async (t) => {
  const { emulator, ebs, ec2, id } = await withBlock(t);
  const errors: [number, string, string?][] = [
    [500, 'InternalServerException'],
    [503, 'ServiceUnavailable'],
    [400, 'ThrottlingException'],
    [400, 'RequestThrottledException', 'DEPENDENCY_REQUEST_THROTTLED'],
    [400, 'ValidationException', 'WRITE_REQUEST_TIMEOUT'],
    [403, 'AccessDeniedException', 'UNAUTHORIZED_ACCOUNT'],
    [403, 'ExpiredTokenException'],
    [402, 'ServiceQuotaExceededException'],
    [404, 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND'],
    [409, 'ConflictException'],
  ];
  for (const [status, code, reason] of errors) {
    const action: FaultAction = {
      type: 'error',
      status,
      code,
      message: 'why',
      ...(reason ? { reason } : {}),
    };
    emulator.setFaults([{ action }]);
    const failure = await list(ebs, id).catch((error: Error) => error);
    refusal(code, reason, status)(failure);
    assert.equal((failure as Error).message, 'why');
  }
  emulator.setFaults([{ action: { type: 'error', status: 503, code: 'RequestLimitExceeded' } }]);
  const describe = ec2.send(new DescribeSnapshotsCommand({}));
  await assert.rejects(describe, refusal('RequestLimitExceeded', undefined, 503));
  assert.equal(emulator.log.at(-1)?.fault, 'error');
});

test('error: the operation is carried out only when the rule says so', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const action: FaultAction = { type: 'error', status: 500, code: 'InternalServerException' };
  emulator.setFaults([{ action }]);
  await assert.rejects(put(ebs, id, 0, data), refusal('InternalServerException'));
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, []);
  emulator.setFaults([{ action: { ...action, executed: true } }]);
  await assert.rejects(put(ebs, id, 0, data), refusal('InternalServerException'));
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, [0]);
});

test('drop before the headers: nothing comes, whether the operation was carried out or not', async (t) => {
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

test('drop in mid-body: headers, so many bytes, and the end', async (t) => {
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

test('stall: for ever before the headers, or in mid-body, until the emulator closes', async (t) => {
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

test('stall: a request whose body is never read, with the operation not carried out', async (t) => {
  const { emulator, ebs } = await run(t, { blockSize: 2 ** 26 });
  const id = await start(ebs);
  emulator.setFaults([{ operation: 'PutSnapshotBlock', action: { type: 'stall', at: 'request' } }]);
  const socket = connectTo(emulator.url);
  const text = requestText({ method: 'PUT', path: `/snapshots/${id}/blocks/0`, body: Buffer.alloc(2 ** 26) });
  assert.equal(socket.write(text), false);
  const record = await emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  assert.deepEqual([record.status, record.fault], [0, 'stall']);
  // More than sockets can hold: the body cannot have left whole.
  assert.ok(socket.bytesWritten < text.length || socket.writableLength > 0);
  socket.destroy();
});

test('stall: for a while, then on as if nothing had happened', async (t) => {
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

test('stall: a request is carried out, and never answered', async (t) => {
  const { emulator, ebs } = await run(t);
  emulator.setFaults([{ operation: 'StartSnapshot', action: { type: 'stall', executed: true }, first: 1 }]);
  const lost = start(ebs, { ClientToken: 'token' });
  lost.catch(() => {});
  await emulator.waitForRequest(({ operation }) => operation === 'StartSnapshot');
  const id = await start(ebs, { ClientToken: 'token' });
  assert.equal(emulator.snapshot(id)?.status, 'pending');
});

test('short-body: fewer bytes than Content-Length, or than x-amz-Data-Length', async (t) => {
  const { fetch } = await withBlock(t);
  const full = await fetch({ type: 'short-body', bytes: 100 });
  assert.deepEqual([headerOf(full, 'Content-Length'), full.body.length], [String(SMALL), 100]);
  const short = await fetch({ type: 'short-body', contentLength: 'short' });
  const lengths = ['Content-Length', 'x-amz-Data-Length'].map((name) => headerOf(short, name));
  assert.deepEqual([lengths, short.body.length], [[String(SMALL / 2), String(SMALL)], SMALL / 2]);
});

test('flip-bit: one bit is another, and the checksum still that of the true data', async (t) => {
  const { fetch, emulator, id } = await withBlock(t);
  const reply = await fetch({ type: 'flip-bit', byte: 100, bit: 7 });
  const expected = Buffer.from(data);
  expected[100]! ^= 0x80;
  assert.deepEqual(reply.body, expected);
  assert.equal(headerOf(reply, 'x-amz-Checksum'), checksum);
  emulator.setFaults([]);
  assert.deepEqual((await raw(emulator.url, { path: `/snapshots/${id}/blocks/0` })).status, 400);
});

test('wrong headers: checksum, algorithm and length say what the rule says, or are left out', async (t) => {
  const { fetch } = await withBlock(t);
  const cases: [FaultAction, string, string | undefined][] = [
    [{ type: 'checksum', value: 'AAAA' }, 'x-amz-Checksum', 'AAAA'],
    [{ type: 'checksum', value: null }, 'x-amz-Checksum', undefined],
    [{ type: 'checksum-algorithm' }, 'x-amz-Checksum-Algorithm', 'CRC32'],
    [{ type: 'checksum-algorithm', value: null }, 'x-amz-Checksum-Algorithm', undefined],
    [{ type: 'data-length' }, 'x-amz-Data-Length', String(SMALL + 1)],
    [{ type: 'data-length', value: 0 }, 'x-amz-Data-Length', '0'],
    [{ type: 'data-length', value: -1 }, 'x-amz-Data-Length', '-1'],
    [{ type: 'data-length', value: null }, 'x-amz-Data-Length', undefined],
  ];
  for (const [action, name, value] of cases) {
    const reply = await fetch(action);
    assert.deepEqual([headerOf(reply, name), reply.body], [value, data]);
  }
  const other = headerOf(await fetch({ type: 'checksum' }), 'x-amz-Checksum');
  assert.match(other!, /^[A-Za-z0-9+/]{43}=$/);
  assert.notEqual(other, checksum);
});

test('chunked: the body comes without a Content-Length, and whole', async (t) => {
  const { emulator, ebs, fetch, id, token } = await withBlock(t);
  const reply = await fetch({ type: 'chunked' });
  assert.equal(headerOf(reply, 'Transfer-Encoding'), 'chunked');
  assert.equal(headerOf(reply, 'Content-Length'), undefined);
  assert.notEqual(reply.body.indexOf(data), -1);
  assert.deepEqual(await get(ebs, id, 0, token), data);
  assert.equal(emulator.log.at(-1)?.fault, 'chunked');
});

test('html: a page where JSON or XML should be', async (t) => {
  const { emulator, ebs, ec2, fetch } = await withBlock(t);
  const reply = await fetch({ type: 'html' });
  assert.deepEqual([reply.status, headerOf(reply, 'Content-Type')], [500, 'text/html']);
  assert.match(reply.body.toString(), /^<html>/);
  assert.equal((await fetch({ type: 'html', status: 502 })).status, 502);
  emulator.setFaults([{ action: { type: 'html', executed: true }, first: 1 }]);
  await assert.rejects(start(ebs, { ClientToken: 'token' }));
  emulator.setFaults([{ operation: 'DescribeSnapshots', action: { type: 'html' } }]);
  await assert.rejects(ec2.send(new DescribeSnapshotsCommand({})));
  const id = await start(ebs, { ClientToken: 'token' });
  assert.ok(emulator.snapshot(id));
});

test('drip: the body comes slowly', async (t) => {
  const { fetch } = await withBlock(t);
  const begin = performance.now();
  const reply = await fetch({ type: 'drip', bytesPerSecond: 20_000 });
  assert.deepEqual(reply.body, data);
  assert.ok(performance.now() - begin > 150, 'some 4 KiB at 20,000 bytes a second');
});

test('close: the connection ends after the reply, which says so or not', async (t) => {
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

test('huge-header and header-flood: more headers than a client should take', async (t) => {
  const { fetch } = await withBlock(t);
  const huge = await fetch({ type: 'huge-header', bytes: 100_000 });
  assert.equal(headerOf(huge, 'x-amz-huge')?.length, 100_000);
  const flood = await fetch({ type: 'header-flood', count: 3000 });
  assert.ok(flood.headers.length > 3000);
  for (const reply of [huge, flood]) assert.deepEqual(reply.body, data);
});

test('malformed-json: half of the text, with a length that fits', async (t) => {
  const { emulator, ebs, ec2, id } = await withBlock(t);
  emulator.setFaults([{ action: { type: 'malformed-json' } }]);
  const reply = await raw(emulator.url, { path: `/snapshots/${id}/blocks` });
  assert.equal(headerOf(reply, 'Content-Length'), String(reply.body.length));
  assert.throws(() => JSON.parse(reply.body.toString()));
  await assert.rejects(list(ebs, id));
  await assert.rejects(ec2.send(new DescribeSnapshotsCommand({})));
});

test('several rules for one call are all applied', async (t) => {
  const { emulator, path } = await withBlock(t);
  emulator.setFaults([
    { action: { type: 'delay', ms: 1 } },
    { action: { type: 'flip-bit' } },
    { action: { type: 'data-length', value: 5 } },
    { action: { type: 'close' } },
  ]);
  const reply = await raw(emulator.url, { path, headers: { Connection: 'keep-alive' } });
  assert.deepEqual([reply.body[0], headerOf(reply, 'x-amz-Data-Length')], [data[0]! ^ 1, '5']);
  assert.equal(emulator.log.at(-1)?.fault, 'delay+flip-bit+data-length+close');
});
