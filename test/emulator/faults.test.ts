import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import type { FaultAction } from '../../src/emulator/index.ts';
import { list, put, refusal, run, SMALL, sha256, start } from './client.ts';
import { data, withBlock } from './faulty-block.ts';
import { headerOf, raw } from './raw.ts';

const checksum = sha256(data).toString('base64');
test('error: the SDK parses every injected error, in the format of its protocol', async (t) => {
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

test('error: the operation is executed only if the rule says so', async (t) => {
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

test('short-body: sends fewer bytes than Content-Length or x-amz-Data-Length', async (t) => {
  const { fetch } = await withBlock(t);
  const full = await fetch({ type: 'short-body', bytes: 100 });
  assert.deepEqual([headerOf(full, 'Content-Length'), full.body.length], [String(SMALL), 100]);
  const short = await fetch({ type: 'short-body', contentLength: 'short' });
  const lengths = ['Content-Length', 'x-amz-Data-Length'].map((name) => headerOf(short, name));
  assert.deepEqual([lengths, short.body.length], [[String(SMALL / 2), String(SMALL)], SMALL / 2]);
});

test('flip-bit: flips one bit and keeps the checksum of the original data', async (t) => {
  const { fetch, emulator, id } = await withBlock(t);
  const reply = await fetch({ type: 'flip-bit', byte: 100, bit: 7 });
  const expected = Buffer.from(data);
  expected[100]! ^= 0x80;
  assert.deepEqual(reply.body, expected);
  assert.equal(headerOf(reply, 'x-amz-Checksum'), checksum);
  emulator.setFaults([]);
  assert.deepEqual((await raw(emulator.url, { path: `/snapshots/${id}/blocks/0` })).status, 400);
});

test('wrong headers: replaces or omits checksum, algorithm and length', async (t) => {
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

test('html: sends a page instead of JSON or XML', async (t) => {
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

test('huge-header and header-flood: send more header bytes than a client should accept', async (t) => {
  const { fetch } = await withBlock(t);
  const huge = await fetch({ type: 'huge-header', bytes: 100_000 });
  assert.equal(headerOf(huge, 'x-amz-huge')?.length, 100_000);
  const flood = await fetch({ type: 'header-flood', count: 3000 });
  assert.ok(flood.headers.length > 3000);
  for (const reply of [huge, flood]) assert.deepEqual(reply.body, data);
});

test('malformed-json: sends half of the body with a matching Content-Length', async (t) => {
  const { emulator, ebs, ec2, id } = await withBlock(t);
  emulator.setFaults([{ action: { type: 'malformed-json' } }]);
  const reply = await raw(emulator.url, { path: `/snapshots/${id}/blocks` });
  assert.equal(headerOf(reply, 'Content-Length'), String(reply.body.length));
  assert.throws(() => JSON.parse(reply.body.toString()));
  await assert.rejects(list(ebs, id));
  await assert.rejects(ec2.send(new DescribeSnapshotsCommand({})));
});

test('applies all rules that match a call', async (t) => {
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
