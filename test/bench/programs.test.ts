/** The load server, the reference client and the image checker, tested with one another. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  BLOCK_SIZE,
  type Layout,
  layoutOf,
  SOURCE_SNAPSHOT,
  snapshotId,
} from '../../scripts/bench/layout.ts';
import { LoadServer, type ServerOptions } from '../../scripts/bench/load-server.ts';
import { measure } from '../../scripts/bench/measure.ts';
import { buildPrograms, makeCertificates, programPath } from '../../scripts/bench/programs.ts';
import { Volume } from '../../scripts/bench/volume.ts';
import { missing } from './support.ts';

const small = layoutOf(1, { blocks: 24 });

interface ListReply {
  Blocks: { BlockIndex: number; BlockToken: string }[];
  NextToken?: string;
  VolumeSize: number;
}

describe('the bench', { skip: missing() }, () => {
  let directory = '';
  const servers: LoadServer[] = [];

  before(() => {
    buildPrograms();
    directory = mkdtempSync(join(tmpdir(), 'coldsnap-bench-test-'));
  });
  after(async () => {
    for (const server of servers) await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function serve(options: Partial<ServerOptions> & { layout: Layout }): Promise<LoadServer> {
    const server = await LoadServer.start(options);
    servers.push(server);
    return server;
  }

  function client(server: LoadServer, ...args: string[]) {
    return measure([programPath('client'), ...args, '--port', String(server.port)], { env: process.env });
  }

  async function list(server: LoadServer, query: string): Promise<ListReply> {
    const response = await fetch(`${server.url}/snapshots/${snapshotId(1)}/blocks?${query}`);
    assert.equal(response.status, 200);
    return (await response.json()) as ListReply;
  }

  async function block(server: LoadServer, snapshot: string, index: number) {
    const response = await fetch(`${server.url}/snapshots/${snapshot}/blocks/${index}?blockToken=AAAB`);
    const data = Buffer.from(await response.arrayBuffer());
    return { data, checksum: response.headers.get('x-amz-checksum'), status: response.status };
  }

  test('lists a 64 TiB volume page by page; a page token takes precedence over a starting index', async () => {
    const server = await serve({ layout: layoutOf(65_536) });
    const first = await list(server, 'maxResults=10000');
    assert.equal(first.VolumeSize, 65_536);
    assert.equal(first.Blocks.length, 10_000);
    assert.match(first.Blocks[0]?.BlockToken ?? '', /^[A-Za-z0-9+/=]{64}$/);
    const next = await list(server, `maxResults=100&startingBlockIndex=5&pageToken=${first.NextToken}`);
    assert.deepEqual([next.Blocks.length, next.Blocks[0]?.BlockIndex], [100, 10_000]);
    const last = await list(server, 'maxResults=10000&startingBlockIndex=134217700');
    assert.deepEqual([last.Blocks.length, last.Blocks.at(-1)?.BlockIndex], [28, 134_217_727]);
    assert.equal(last.NextToken, undefined);
  });

  test('lists and serves every n-th block of a sparse volume and no other', async () => {
    const server = await serve({ layout: layoutOf(1, { every: 1000 }) });
    const page = await list(server, 'startingBlockIndex=1');
    assert.deepEqual(
      page.Blocks.map((one) => one.BlockIndex),
      [1000, 2000],
    );
    assert.equal((await block(server, snapshotId(1), 1001)).status, 400);
  });

  test('serves blocks that match their checksum and differ by index and by snapshot', async () => {
    const server = await serve({ layout: small });
    const seen = new Set<string>();
    for (const [snapshot, index] of [
      [1, 0],
      [1, 1],
      [2, 0],
    ] as const) {
      const { data, checksum } = await block(server, snapshotId(snapshot), index);
      assert.equal(data.length, BLOCK_SIZE);
      assert.equal(createHash('sha256').update(data).digest('base64'), checksum);
      seen.add(checksum ?? '');
    }
    assert.equal(seen.size, 3);
  });

  test('serves the configured percentage of zero blocks', async () => {
    const server = await serve({ layout: { ...small, zerosPercent: 100 } });
    const { data, checksum } = await block(server, snapshotId(9), 3);
    assert.ok(data.every((byte) => byte === 0));
    assert.equal(checksum, 'B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE=');
  });

  for (const wire of ['plain', 'tls'] as const) {
    test(`the reference client downloads and uploads an image (${wire})`, async () => {
      const certificates = wire === 'tls' ? makeCertificates(directory) : undefined;
      const server = await serve({ layout: small, certificates, checkBodies: true });
      const trust = certificates ? ['--ca', certificates.ca] : [];
      const volume = Volume.create(directory, `${wire}.img`, 2 ** 30, false);
      const down = await client(
        server,
        'download',
        '--snapshot',
        SOURCE_SNAPSHOT,
        '--file',
        volume.path,
        ...trust,
      );
      assert.equal(down.exitCode, 0, down.stderr);
      assert.equal(volume.check(SOURCE_SNAPSHOT, small), undefined);
      const up = await client(server, 'upload', '--blocks', '24', '--file', volume.path, ...trust);
      assert.equal(up.exitCode, 0, up.stderr);
      const stats = await server.takeStats();
      assert.deepEqual(
        [stats.lists, stats.gets, stats.puts, stats.starts, stats.completes],
        [1, 24, 24, 1, 1],
      );
      assert.deepEqual([stats.wrongPuts, stats.refused], [0, 0]);
      assert.ok(stats.countRight && stats.linearGiven && stats.linearRight);
      assert.equal((await server.takeStats()).gets, 0);
    });
  }

  test('counts puts with wrong contents', async () => {
    const server = await serve({ layout: small });
    const volume = Volume.create(directory, 'other.img', 24 * BLOCK_SIZE, false);
    volume.fill(snapshotId(2), small);
    await client(server, 'upload', '--blocks', '24', '--file', volume.path);
    assert.equal((await server.takeStats()).wrongPuts, 24);
  });

  test('detects a wrong byte, a block of another snapshot and a block that should be zeros', () => {
    const volume = Volume.create(directory, 'damaged.img', 2 ** 30, false);
    volume.fill(snapshotId(3), small);
    assert.equal(volume.check(snapshotId(3), small), undefined);
    assert.match(volume.check(snapshotId(4), small) ?? '', /^wrong blocks: 24,/);
    const fd = openSync(volume.path, 'r+');
    const byte = Buffer.alloc(1);
    const at = 5 * BLOCK_SIZE + 1000;
    readSync(fd, byte, 0, 1, at);
    writeSync(fd, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
    writeSync(fd, Buffer.from([1]), 0, 1, 2000 * BLOCK_SIZE);
    closeSync(fd);
    assert.equal(volume.check(snapshotId(3), small), 'wrong blocks: 2, the first is 5');
  });

  test('checks a 64 TiB sparse image without reading its holes', {
    skip: !existsSync('/dev/shm') && 'needs /dev/shm',
  }, () => {
    const layout = layoutOf(65_536, { every: 67_108_864 });
    const volume = Volume.create('/dev/shm', `coldsnap-bench-test-${process.pid}`, 2 ** 46, false);
    try {
      assert.equal(volume.check(snapshotId(1), layout), 'wrong blocks: 2, the first is 0');
      volume.fill(snapshotId(1), { ...layout, blocks: 1 });
      assert.equal(volume.check(snapshotId(1), layout), 'wrong blocks: 1, the first is 67108864');
    } finally {
      volume.remove();
    }
  });

  test('delays replies and limits the rate of blocks', async () => {
    const server = await serve({ layout: small, delayMs: 30, rate: 50 });
    const target = join(directory, 'slow.img');
    const run = await client(server, 'download', '--snapshot', snapshotId(7), '--file', target);
    assert.equal(run.exitCode, 0, run.stderr);
    // The list's delay, then 24 blocks at 50 a second.
    assert.ok(run.wallS > 0.48, `${run.wallS} s`);
  });

  test('paces each connection in both directions', async () => {
    const server = await serve({ layout: { ...small, blocks: 2 }, pace: 2_000_000 });
    const file = join(directory, 'paced.img');
    const one = ['--workers', '1', '--file', file];
    const down = await client(server, 'download', '--snapshot', snapshotId(1), ...one);
    const up = await client(server, 'upload', '--blocks', '2', ...one);
    // 1 MiB at 2 MB/s takes half a second; buffers absorb a part.
    assert.ok(down.wallS > 0.3 && up.wallS > 0.3, `${down.wallS} s down, ${up.wallS} s up`);
  });

  test('rejects unknown requests', async () => {
    const server = await serve({ layout: small });
    const response = await fetch(`${server.url}/elsewhere`);
    assert.equal(response.status, 400);
    assert.equal(response.headers.get('x-amzn-errortype'), 'ResourceNotFoundException');
    assert.equal((await server.takeStats()).refused, 1);
  });

  test('answers DescribeSnapshots for any snapshot', async () => {
    const server = await serve({ layout: small });
    const body = 'Action=DescribeSnapshots&Version=2016-11-15&SnapshotId.1=snap-00000000000000005';
    const response = await fetch(`${server.url}/`, { method: 'POST', body });
    assert.match(await response.text(), /<snapshotId>snap-00000000000000005<.*<status>completed</);
  });
});
