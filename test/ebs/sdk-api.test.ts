/** Invalid replies that the contract tests do not cover, over the SDK. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { checkDeadlines, clientConfig } from '../../src/ebs/connect.ts';
import { SdkEbsApi } from '../../src/ebs/sdk-api.ts';
import { ACCESS_KEY, connect, REGION, SECRET, stacks, withBlock } from './contract.ts';

/** The SDK's API connected to a server with this listener. */
async function answeredBy(t: TestContext, listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = await clientConfig({ region: REGION }, endpoint, 2, checkDeadlines());
  const client = new EBSClient({
    ...config,
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
  });
  const api = new SdkEbsApi(client);
  t.after(() => api.close());
  return api;
}

/** The SDK's API connected to a service that always replies with this JSON. */
function answering(t: TestContext, status: number, body: unknown) {
  return answeredBy(t, (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-amzn-RequestId': 'the-id' });
    response.end(JSON.stringify(body));
  });
}

const start = { volumeSizeGiB: 1, clientToken: 'x' };

test('a new snapshot with an ID that is a path, has control characters or is too long is rejected', async (t) => {
  for (const SnapshotId of [
    '../x',
    'snap-1/../../x',
    'snap-1\n',
    'snap-\u001b[2J',
    `snap-${'0'.repeat(60)}`,
    '',
  ]) {
    const api = await answering(t, 201, { SnapshotId, VolumeSize: 1, BlockSize: 524_288 });
    await assert.rejects(api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'x' }), { code: 'BAD_REPLY' });
  }
});

test('a new snapshot without an ID is rejected', async (t) => {
  const api = await answering(t, 201, { Status: 'pending', BlockSize: 524_288, VolumeSize: 1 });
  await assert.rejects(api.startSnapshot(start), { class: 'transient', code: 'BAD_REPLY' });
});

for (const blockSize of [undefined, 0, -512, 511, 1000, 2 ** 30]) {
  test(`a new snapshot with blocks of ${blockSize} bytes is rejected`, async (t) => {
    const api = await answering(t, 201, { SnapshotId: 'snap-1', VolumeSize: 1, BlockSize: blockSize });
    await assert.rejects(api.startSnapshot(start), { class: 'permanent', code: 'BAD_REPLY' });
  });
}

test('an HTML page is not accepted as a list', async (t) => {
  const api = await answeredBy(t, (_request, response) => response.end('<html>Please log in</html>'));
  await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), {
    class: 'transient',
    code: 'BAD_REPLY',
  });
});

test('a truncated page is not accepted as a list', async (t) => {
  const connected = await connect(t, stacks[0]!);
  const { block } = await withBlock(connected);
  connected.emulator.setFaults([{ action: { type: 'malformed-json' } }]);
  const { snapshotId } = block;
  await assert.rejects(connected.api.listSnapshotBlocks({ snapshotId }), { class: 'transient' });
});

test('the failure of a list whose connection is lost in the middle names the request', async (t) => {
  const api = await answeredBy(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '1000', 'x-amzn-requestid': 'the-id' });
    response.write('{"Blocks":[', () => response.socket?.destroy());
  });
  await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), {
    class: 'transient',
    requestId: 'the-id',
  });
});

test('a list without entries is rejected, and one without sizes is passed on to the checks of pages', async (t) => {
  const bare = await answering(t, 200, {});
  await assert.rejects(bare.listSnapshotBlocks({ snapshotId: 'snap-1' }), { code: 'BAD_LIST' });
  const api = await answering(t, 200, { Blocks: [] });
  const page = await api.listSnapshotBlocks({ snapshotId: 'snap-1' });
  assert.deepEqual(page, {
    blocks: [],
    volumeSizeGiB: Number.NaN,
    blockSize: Number.NaN,
    requestId: 'the-id',
  });
});

test('an endless list is not read beyond 32 MiB', async (t) => {
  let sent = 0;
  const api = await answeredBy(t, (_request, response) => {
    const chunk = Buffer.alloc(2 ** 20, ' ');
    const more = () => {
      while (!response.destroyed && sent < 2 ** 30) {
        sent += chunk.length;
        if (!response.write(chunk)) return response.once('drain', more);
      }
    };
    more();
  });
  const failure = { class: 'permanent', code: 'BAD_REPLY', message: /longer than 32 MiB/ };
  await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), failure);
  assert.ok(sent < 100 * 2 ** 20, `${sent} bytes were read`);
});

test('a list with a Content-Length of 1 GiB is not read', async (t) => {
  const api = await answeredBy(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 2 ** 30 });
    response.write('{');
  });
  await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), { code: 'BAD_REPLY' });
});

test('an abort ends a list request', async (t) => {
  const { api, emulator } = await connect(t, stacks[0]!);
  emulator.setFaults([{ action: { type: 'stall' } }]);
  const abort = new AbortController();
  const ended = assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }, { signal: abort.signal }), {
    class: 'aborted',
  });
  await emulator.waitForRequest(() => true);
  abort.abort();
  await ended;
});

test('a borrowed client stays usable when the API is closed', async (t) => {
  const { client, emulator } = await connect(t, stacks[0]!);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const borrowed = new SdkEbsApi(client, { borrowed: true });
  await borrowed.listSnapshotBlocks({ snapshotId });
  borrowed.close();
  await borrowed.listSnapshotBlocks({ snapshotId });
  const connections = new Set(emulator.log.map((request) => request.connectionId));
  assert.equal(connections.size, 1);
});

test('closing the API closes the connections of its lists', async (t) => {
  let socket: Socket | undefined;
  const api = await answeredBy(t, (request, response) => {
    socket = request.socket;
    response.end(JSON.stringify({ Blocks: [], VolumeSize: 1, BlockSize: 524_288 }));
  });
  await api.listSnapshotBlocks({ snapshotId: 'snap-1' });
  assert.ok(socket !== undefined && !socket.destroyed);
  const closed = once(socket, 'close');
  api.close();
  await closed;
});
