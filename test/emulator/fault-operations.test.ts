/** Every fault works on every operation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultAction } from '../../src/emulator/index.ts';
import { list, randomBlock, run, SMALL, sha256, start } from './client.ts';
import { headerOf, type RawReply, type RawRequest, raw, signed } from './raw.ts';

type Check = (reply: RawReply, normal: RawReply) => void;

const complete: Check = (reply, normal) => assert.equal(reply.status, normal.status);
const noReply: Check = (reply) => assert.deepEqual([reply.status, reply.body.length], [0, 0]);
const header = (name: string, value: string | undefined): Check => {
  return (reply) => assert.equal(headerOf(reply, name), value);
};

/** Each type of action, and what its reply must look like. */
const faults: [FaultAction, Check][] = [
  [
    { type: 'error', status: 503, code: 'Unavailable' },
    (reply) => {
      assert.equal(reply.status, 503);
      assert.match(reply.headers.join() + reply.body, /Unavailable/);
    },
  ],
  [{ type: 'drop' }, noReply],
  [{ type: 'drop', reset: true, executed: true }, (reply) => assert.equal(reply.ended, 'ECONNRESET')],
  [{ type: 'drop', at: 'body', bytes: 1 }, (reply) => assert.equal(reply.body.length, 1)],
  [{ type: 'stall', ms: 1 }, complete],
  [{ type: 'stall', at: 'request', ms: 1 }, complete],
  [{ type: 'stall', at: 'body', ms: 1 }, complete],
  [{ type: 'short-body', bytes: 1 }, (reply) => assert.equal(reply.body.length, 1)],
  [
    { type: 'short-body', bytes: 1, contentLength: 'short' },
    (reply) => assert.deepEqual([reply.body.length, headerOf(reply, 'Content-Length')], [1, '1']),
  ],
  [
    { type: 'flip-bit', byte: 0, bit: 7 },
    (reply, normal) => assert.equal(reply.body[0], normal.body[0]! ^ 0x80),
  ],
  [{ type: 'checksum', value: 'x' }, header('x-amz-checksum', 'x')],
  [{ type: 'checksum', value: null }, header('x-amz-checksum', undefined)],
  [{ type: 'checksum-algorithm' }, header('x-amz-checksum-algorithm', 'CRC32')],
  [{ type: 'data-length', value: -1 }, header('x-amz-data-length', '-1')],
  [{ type: 'chunked' }, header('transfer-encoding', 'chunked')],
  [{ type: 'html', status: 502 }, header('content-type', 'text/html')],
  [{ type: 'drip', bytesPerSecond: 1_000_000 }, complete],
  [{ type: 'close' }, header('connection', 'close')],
  [{ type: 'huge-header', bytes: 10 }, header('x-amz-huge', 'x'.repeat(10))],
  [{ type: 'header-flood', count: 2 }, header('x-amz-flood-2', 'x')],
  [
    { type: 'malformed-json' },
    (reply) => {
      assert.equal(headerOf(reply, 'Content-Length'), String(reply.body.length));
      assert.throws(() => JSON.parse(reply.body.toString()));
    },
  ],
  [{ type: 'delay', ms: 1 }, complete],
];

test('every fault works on every operation', async (t) => {
  const { emulator, ebs } = await run(t);
  const data = randomBlock();
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: data } });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, parent: first, blocks: { 1: data } });
  const token = encodeURIComponent((await list(ebs, first)).get(0)!);
  const pending = await start(ebs);
  const ec2 = (form: string): RawRequest => ({
    method: 'POST',
    path: '/',
    headers: signed('ec2'),
    body: `Version=2016-11-15&${form}`,
  });
  const requests: [string, RawRequest][] = [
    ['StartSnapshot', { method: 'POST', path: '/snapshots', body: '{"VolumeSize":1}' }],
    [
      'PutSnapshotBlock',
      {
        method: 'PUT',
        path: `/snapshots/${pending}/blocks/0`,
        headers: {
          'x-amz-Data-Length': String(SMALL),
          'x-amz-Checksum': sha256(data).toString('base64'),
          'x-amz-Checksum-Algorithm': 'SHA256',
        },
        body: data,
      },
    ],
    [
      'CompleteSnapshot',
      {
        method: 'POST',
        path: `/snapshots/completion/${second}`,
        headers: { 'x-amz-ChangedBlocksCount': '1' },
      },
    ],
    ['ListSnapshotBlocks', { path: `/snapshots/${second}/blocks` }],
    ['ListChangedBlocks', { path: `/snapshots/${second}/changedblocks?firstSnapshotId=${first}` }],
    ['GetSnapshotBlock', { path: `/snapshots/${first}/blocks/0?blockToken=${token}` }],
    ['DescribeSnapshots', ec2(`Action=DescribeSnapshots&SnapshotId.1=${first}`)],
    ['CreateTags', ec2(`Action=CreateTags&ResourceId.1=${first}&Tag.1.Key=a&Tag.1.Value=b`)],
    ['DeleteSnapshot', ec2('Action=DeleteSnapshot&SnapshotId=snap-0')],
  ];
  for (const [operation, request] of requests) {
    emulator.setFaults([]);
    const normal = await raw(emulator.url, request);
    assert.notEqual(normal.status, 0);
    for (const [action, check] of faults) {
      emulator.setFaults([{ operation, nth: 1, action }]);
      const name = `${operation}: ${JSON.stringify(action)}`;
      const reply = await raw(emulator.url, request);
      try {
        check(reply, normal);
      } catch (cause) {
        throw new Error(name, { cause });
      }
      const record = emulator.log.at(-1)!;
      assert.deepEqual([record.operation, record.fault], [operation, action.type], name);
      assert.equal((await raw(emulator.url, request)).status, normal.status, `${name}: only the first call`);
    }
  }
});

test('list faults and conditions work on ListChangedBlocks as on ListSnapshotBlocks', async (t) => {
  const { emulator } = await run(t);
  const data = randomBlock();
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: data } });
  const blocks = { 1: data, 2: data, 3: data };
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, parent: first, blocks });
  interface Listing {
    Blocks?: { BlockIndex: number }[];
    ChangedBlocks?: { BlockIndex: number }[];
    VolumeSize: number;
    BlockSize: number;
    NextToken: string | null;
  }
  for (const [operation, path, pageToken] of [
    ['ListSnapshotBlocks', `/snapshots/${second}/blocks`, '?pageToken='],
    ['ListChangedBlocks', `/snapshots/${second}/changedblocks?firstSnapshotId=${first}`, '&pageToken='],
  ] as const) {
    const page = async (action: FaultAction, query = ''): Promise<Listing> => {
      emulator.setFaults([{ operation, snapshotId: second, action }]);
      return JSON.parse((await raw(emulator.url, { path: path + query })).body.toString()) as Listing;
    };
    const indexes = ({ Blocks, ChangedBlocks }: Listing) =>
      (Blocks ?? ChangedBlocks)!.map(({ BlockIndex }) => BlockIndex);
    for (const [contents, expected] of [
      ['outside', [1, 2, 2 ** 30 / SMALL]],
      ['negative', [-1, 2, 3]],
      ['descending', [3, 2, 1]],
      ['duplicate', [1, 1, 2, 2, 3, 3]],
    ] as const) {
      assert.deepEqual(indexes(await page({ type: 'list', contents })), expected, `${operation} ${contents}`);
    }
    assert.equal((await page({ type: 'list', contents: 'huge-volume' })).VolumeSize, 2 ** 40);
    assert.equal((await page({ type: 'list', contents: 'other-volume' })).VolumeSize, 2);
    assert.equal((await page({ type: 'list', contents: 'other-blocks' })).BlockSize, 2 * SMALL);
    const endless = await page({ type: 'list', contents: 'endless' });
    assert.deepEqual(indexes(endless), []);
    const query = pageToken + encodeURIComponent(endless.NextToken!);
    const next = await page({ type: 'list', contents: 'endless' }, query);
    assert.deepEqual(indexes(next), []);
    assert.notEqual(next.NextToken, endless.NextToken);
    const same: FaultAction = { type: 'list', contents: 'endless', sameToken: true };
    assert.equal((await page(same)).NextToken, (await page(same)).NextToken);
  }
});
