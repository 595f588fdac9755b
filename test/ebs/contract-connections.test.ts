/** Connections, aborts, addresses, certificates and credentials, over every stack. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startEmulator } from '../../src/emulator/index.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { makeCertificates, noOpenssl, setVariable } from './certificates.ts';
import { ACCESS_KEY, BLOCK, connect, getsBlock, SECRET, stacks, withBlock, withPending } from './contract.ts';

for (const stack of stacks) {
  const says = (sentence: string) => `${stack.name}: ${sentence}`;

  test(says('consecutive requests share one connection'), async (t) => {
    const connected = await connect(t, stack);
    const fixture = await withBlock(connected);
    const { block } = await withPending(connected);
    for (let count = 0; count < 5; count++) {
      await getsBlock(connected, fixture);
      await connected.api.putSnapshotBlock(block);
    }
    const used = connected.emulator.log.filter((request) => /SnapshotBlock$/.test(request.operation));
    assert.equal(used.length, 10);
    assert.equal(new Set(used.map((request) => request.connectionId)).size, 1);
  });

  test(says('concurrent requests use no more connections than allowed'), async (t) => {
    const connected = await connect(t, stack);
    const { block, data } = await withBlock(connected);
    const buffers = Array.from({ length: 40 }, () => Buffer.alloc(data.length));
    await Promise.all(buffers.map((buffer) => connected.api.getSnapshotBlock(block, buffer)));
    for (const buffer of buffers) assert.ok(buffer.equals(data));
    const used = new Set(connected.emulator.log.map((request) => request.connectionId));
    assert.ok(used.size <= 8, `${used.size} connections`);
  });

  test(says('a connection that the service closes after a reply is replaced'), async (t) => {
    const connected = await connect(t, stack);
    const fixture = await withBlock(connected);
    connected.emulator.setFaults([{ action: { type: 'close' } }]);
    for (let count = 0; count < 3; count++) await getsBlock(connected, fixture);
    const used = connected.emulator.log.map((request) => request.connectionId);
    assert.equal(new Set(used).size, 3);
    assert.equal(connected.retried.length, 0);
  });

  test(says('no request is sent after an abort'), async (t) => {
    const connected = await connect(t, stack);
    const { block, buffer } = await withBlock(connected);
    const put = await withPending(connected);
    const signal = AbortSignal.abort();
    await assert.rejects(connected.api.getSnapshotBlock(block, buffer, { signal }), { class: 'aborted' });
    await assert.rejects(connected.api.putSnapshotBlock(put.block, { signal }), { class: 'aborted' });
    assert.equal(connected.emulator.log.length, 0);
  });

  for (const at of ['headers', 'body'] as const) {
    test(
      says(`an abort before the ${at} of a block fails the request at once with the reason`),
      async (t) => {
        const connected = await connect(t, stack);
        const { block, buffer } = await withBlock(connected);
        connected.emulator.setFaults([{ action: { type: 'stall', at } }]);
        const abort = new AbortController();
        const reason = new ColdsnapError('aborted', 'SIGINT', 'enough');
        const receiving = connected.api.getSnapshotBlock(block, buffer, { signal: abort.signal });
        const ended = assert.rejects(receiving, (error) => error === reason);
        await connected.emulator.waitForRequest((request) => at === 'headers' || request.status === 200);
        abort.abort(reason);
        await ended;
        assert.equal(connected.retried.length, 0);
        assert.equal(connected.emulator.log.length, 1);
      },
    );
  }

  test(says('an abort while the service does not read a payload fails the put at once'), async (t) => {
    const connected = await connect(t, stack);
    const { block } = await withPending(connected);
    connected.emulator.setFaults([{ action: { type: 'stall', at: 'request' } }]);
    const abort = new AbortController();
    const ended = assert.rejects(connected.api.putSnapshotBlock(block, { signal: abort.signal }), {
      class: 'aborted',
    });
    await connected.emulator.waitForRequest(() => true);
    abort.abort();
    await ended;
  });

  test(says('after an abort the next request works'), async (t) => {
    const connected = await connect(t, stack);
    const fixture = await withBlock(connected);
    connected.emulator.setFaults([{ first: 1, action: { type: 'stall', at: 'body' } }]);
    const abort = new AbortController();
    const { block, buffer } = fixture;
    const ended = assert.rejects(connected.api.getSnapshotBlock(block, buffer, { signal: abort.signal }));
    await connected.emulator.waitForRequest((request) => request.status === 200);
    abort.abort();
    await ended;
    await getsBlock(connected, fixture);
  });

  test(says('a port without a listener is unreachable'), async (t) => {
    const endpoint = `http://127.0.0.1:${await unusedPort()}`;
    const { api } = await connect(t, stack, { endpoint });
    const block = { snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' };
    await assert.rejects(api.getSnapshotBlock(block, Buffer.alloc(512)), {
      class: stack.retries ? 'config' : 'transient',
      code: 'ENDPOINT_UNREACHABLE',
      message: /connection refused/,
    });
  });

  test(
    says('a service that accepts connections and never replies has stalled, with TLS and without'),
    async (t) => {
      const server = createTcpServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
      t.after(() => server.close());
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const block = { snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' };
      for (const scheme of ['https', 'http']) {
        const endpoint = `${scheme}://127.0.0.1:${port}`;
        const { api } = await connect(t, stack, { endpoint, deadlines: { connectMs: 100, idleMs: 100 } });
        const stalled = { code: 'STALLED' };
        await Promise.all([
          assert.rejects(api.getSnapshotBlock(block, Buffer.alloc(512)), stalled),
          assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), stalled),
        ]);
      }
    },
  );

  test(says('a certificate of a trusted private CA is accepted'), { skip: noOpenssl }, async (t) => {
    const { ca, ...tls } = makeCertificates();
    setVariable(t, 'AWS_CA_BUNDLE', ca);
    const connected = await connect(t, stack, { emulator: { tls } });
    await getsBlock(connected, await withBlock(connected));
    const { block } = await withPending(connected);
    await connected.api.putSnapshotBlock(block);
  });

  test(says('a certificate of an unknown CA is rejected, and nothing is sent'), {
    skip: noOpenssl,
  }, async (t) => {
    const { key, cert } = makeCertificates();
    setVariable(t, 'NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const { api, emulator } = await connect(t, stack, { emulator: { tls: { key, cert } } });
    const block = { snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' };
    await assert.rejects(api.getSnapshotBlock(block, Buffer.alloc(512)), {
      class: 'config',
      code: 'TLS_UNTRUSTED',
    });
    assert.equal(emulator.log.length, 0);
  });

  test(says('a certificate for another host is rejected'), { skip: noOpenssl }, async (t) => {
    const { ca, ...tls } = makeCertificates('DNS:ebs.example.com');
    setVariable(t, 'AWS_CA_BUNDLE', ca);
    const { api, emulator } = await connect(t, stack, { emulator: { tls } });
    const block = { snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' };
    await assert.rejects(api.getSnapshotBlock(block, Buffer.alloc(512)), { code: 'TLS_UNTRUSTED' });
    assert.equal(emulator.log.length, 0);
  });

  test(says('an endpoint may have an IPv6 address'), { skip: await noIpv6() }, async (t) => {
    const connected = await connect(t, stack, { emulator: { host: '::1' } });
    await getsBlock(connected, await withBlock(connected));
  });

  test(says('an endpoint may have a path, which is put before that of every request'), async (t) => {
    // Without credentials it does not verify signatures, which cover the path with its prefix.
    const emulator = await startEmulator({ blockSize: BLOCK });
    t.after(() => emulator.close());
    const { url, paths } = await proxyUnder(t, '/ebs/v1', emulator.port);
    const connected = await connect(t, stack, { endpoint: `${url}/ebs/v1/` });
    const fixture = await withBlock({ ...connected, emulator });
    await getsBlock({ ...connected, emulator }, fixture);
    assert.ok(
      paths.length >= 2 && paths.every((path) => path.startsWith('/ebs/v1/snapshots/')),
      paths.join(),
    );
  });

  test(says('expired credentials are refreshed once by a retry'), async (t) => {
    const keys = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET };
    let asked = 0;
    const connected = await connect(t, stack, {
      credentials: async () => ({ ...keys, secretAccessKey: asked++ === 0 ? 'of yesterday' : SECRET }),
    });
    const { api, emulator, client } = connected;
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: Buffer.alloc(BLOCK) } });
    const other = await connect(t, stack, { endpoint: emulator.url });
    const { blocks } = await other.api.listSnapshotBlocks({ snapshotId });
    const fetch = () => api.getSnapshotBlock({ snapshotId, ...blocks[0]! }, Buffer.alloc(BLOCK));
    if (!stack.retries) {
      await assert.rejects(fetch(), { class: 'expired-credentials', code: 'CREDENTIALS_EXPIRED' });
      await client.config.credentials({ forceRefresh: true });
    }
    await fetch();
    assert.equal(asked, 2);
    emulator.setFaults([{ action: { type: 'error', status: 403, code: 'ExpiredTokenException' } }]);
    await assert.rejects(fetch(), { class: stack.retries ? 'config' : 'expired-credentials' });
    assert.equal(asked, stack.retries ? 3 : 2);
  });

  test(says('a wrong clock is corrected by the time in the reply'), async (t) => {
    const connected = await connect(t, stack);
    const fixture = await withBlock(connected);
    const put = await withPending(connected);
    const skew = () => {
      connected.client.config.systemClockOffset = -3_600_000;
    };
    skew();
    if (!stack.retries) await assert.rejects(getsBlock(connected, fixture), { class: 'expired-credentials' });
    await getsBlock(connected, fixture);
    assert.ok(Math.abs(connected.client.config.systemClockOffset) < 10_000);
    skew();
    if (!stack.retries) await assert.rejects(connected.api.putSnapshotBlock(put.block));
    await connected.api.putSnapshotBlock(put.block);
  });
}

/** A port that is probably free. */
async function unusedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function noIpv6(): Promise<string | false> {
  const server = createTcpServer();
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(0, '::1', () => resolve(true));
  });
  server.close();
  return listening ? false : 'this machine has no IPv6';
}

/** Forwards requests to a local port, without the prefix of their path. */
async function proxyUnder(t: TestContext, prefix: string, port: number) {
  const paths: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const { url = '', method, headers } = incoming;
    paths.push(url);
    const path = url.slice(prefix.length);
    const onward = httpRequest({ port, path, method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 500, reply.headers);
      reply.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths };
}
