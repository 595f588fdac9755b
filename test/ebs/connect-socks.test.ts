/** SOCKS proxies. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIP, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Service, type ServiceSettings } from '../../src/ebs/service.ts';
import { type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { makeCertificates, noOpenssl, setVariable } from './certificates.ts';
import { environment } from './environment.ts';
import { startSocks } from './socks-server.ts';

const keys = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B' };
const SNAPSHOT = 'snap-0123456789abcdef0';
const BLOCK = 4096;

/** Starts an emulator with a snapshot of one block, and returns its port. */
async function serveSnapshot(t: TestContext, options: EmulatorOptions = {}): Promise<number> {
  const emulator = await startEmulator({ blockSize: BLOCK, ...options });
  t.after(() => emulator.close());
  const blocks = new Map([[3, Buffer.alloc(BLOCK, 1)]]);
  await emulator.putSnapshot({ id: SNAPSHOT, volumeSizeGiB: 1, blocks });
  return Number(new URL(emulator.url).port);
}

async function list(
  t: TestContext,
  endpoint: string,
  proxy: string,
  more: Partial<ServiceSettings> = {},
): Promise<number> {
  setVariable(t, 'ALL_PROXY', proxy);
  const service = new Service({ region: 'us-east-1', endpoint, retryForMs: 200, ...more }, 1, () => {});
  t.after(() => service.close());
  const { api } = await service.ebs();
  return (await api.listSnapshotBlocks({ snapshotId: SNAPSHOT })).blocks.length;
}

async function failure(
  t: TestContext,
  endpoint: string,
  proxy: string,
  more: Partial<ServiceSettings> = {},
): Promise<ColdsnapError> {
  environment(t, keys);
  const error = await list(t, endpoint, proxy, more).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof ColdsnapError, String(error));
  return error;
}

const nameOf = (host: string): string => (isIP(host) === 0 ? `DNS:${host}` : `IP:${host}`);

for (const scheme of ['http', 'https'] as const) {
  const skip = scheme === 'https' && noOpenssl;
  for (const [proxy, version, host, resolved] of [
    ['socks4', 4, '127.0.0.1', '127.0.0.1'],
    ['socks4', 4, 'localhost', '127.0.0.1'],
    ['socks', 4, 'localhost', '127.0.0.1'],
    ['socks4a', 4, 'ebs.test', 'ebs.test'],
    ['socks5', 5, '127.0.0.1', '127.0.0.1'],
    ['socks5', 5, 'localhost', '127.0.0.1'],
    ['socks5h', 5, 'ebs.test', 'ebs.test'],
  ] as const) {
    test(`${proxy}:// gets ${scheme} requests to ${host} as ${resolved}`, { skip }, async (t) => {
      environment(t, keys);
      const certificates = scheme === 'https' ? makeCertificates(nameOf(host)) : undefined;
      if (certificates !== undefined) setVariable(t, 'AWS_CA_BUNDLE', certificates.ca);
      const port = await serveSnapshot(t, certificates && { tls: certificates });
      const socks = await startSocks(t, { port });
      assert.equal(await list(t, `${scheme}://${host}:${port}`, `${proxy}://127.0.0.1:${socks.port}`), 1);
      assert.deepEqual(socks.requests, [{ version, host: resolved, port, user: undefined }]);
    });
  }
}

test('a SOCKS proxy gets the user and password', async (t) => {
  environment(t, keys);
  const port = await serveSnapshot(t);
  const socks = await startSocks(t, { port, login: { user: 'me', password: 'p@ss' } });
  const proxy = `socks5h://me:p%40ss@127.0.0.1:${socks.port}`;
  assert.equal(await list(t, `http://ebs.test:${port}`, proxy), 1);
  assert.equal(socks.requests[0]?.user, 'me');
});

for (const [login, what] of [
  ['', 'no'],
  ['me:wrong@', 'a wrong'],
]) {
  test(`a SOCKS proxy that asks for a password and gets ${what} one is a configuration error`, async (t) => {
    const socks = await startSocks(t, { login: { user: 'me', password: 'right' } });
    const error = await failure(t, 'http://ebs.test', `socks5h://${login}127.0.0.1:${socks.port}`);
    assert.deepEqual([error.class, error.code], ['config', 'PROXY_REFUSED'], error.message);
    assert.match(error.message, /the proxy .* user and password/);
    assert.doesNotMatch(error.message + error.hint, /wrong/);
  });
}

for (const [refusal, errorClass, code, text] of [
  [2, 'config', 'PROXY_REFUSED', /refused the connection/],
  [4, 'gave-up', 'PROXY_UNREACHABLE', /could not reach the endpoint/],
  [5, 'gave-up', 'PROXY_UNREACHABLE', /could not reach the endpoint/],
] as const) {
  test(`refusal ${refusal} of a SOCKS proxy is ${code}`, async (t) => {
    const socks = await startSocks(t, { refusal });
    const error = await failure(t, 'http://ebs.test', `socks5h://127.0.0.1:${socks.port}`);
    assert.deepEqual([error.class, error.code], [errorClass, code], error.message);
    assert.match(error.message, text);
  });
}

/** A server that answers the first bytes of each connection with `reply`, or not at all. */
async function startSilent(t: TestContext, reply?: string) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    if (reply !== undefined) socket.once('data', () => socket.write(reply));
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { port, left: () => Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close'))) };
}

const deadlines = { connectMs: 300 };
const endpoints = ['https://ebs.test', 'http://ebs.test'];

for (const endpoint of endpoints) {
  for (const proxy of ['socks4a', 'socks5h']) {
    test(`${endpoint}: a ${proxy} proxy that never answers is named and left`, async (t) => {
      const silent = await startSilent(t);
      const error = await failure(t, endpoint, `${proxy}://127.0.0.1:${silent.port}`, { deadlines });
      assert.deepEqual([error.class, error.code], ['gave-up', 'PROXY_UNREACHABLE'], error.message);
      assert.match(error.message, /the proxy 127\.0\.0\.1:\d+ \(ALL_PROXY\): no answer in time/);
      await silent.left();
    });

    test(`${endpoint}: a ${proxy} proxy that answers with something else is named`, async (t) => {
      const other = await startSilent(t, 'SSH-2.0-OpenSSH_9.2\r\n');
      const error = await failure(t, endpoint, `${proxy}://127.0.0.1:${other.port}`, { deadlines });
      assert.deepEqual([error.class, error.code], ['gave-up', 'PROXY_UNREACHABLE'], error.message);
      assert.match(error.message, /the proxy .*: it does not answer as a SOCKS proxy/);
    });

    test(`${endpoint}: a ${proxy} proxy that is not there is named`, async (t) => {
      const error = await failure(t, endpoint, `${proxy}://127.0.0.1:1`);
      assert.deepEqual([error.class, error.code], ['gave-up', 'PROXY_UNREACHABLE'], error.message);
      assert.match(error.message, /the proxy 127\.0\.0\.1:1 \(ALL_PROXY\): connection refused/);
    });
  }
}
