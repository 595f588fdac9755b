/** Proxy variables mean what they mean to curl. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import {
  type AddressInfo,
  createServer as createTcpServer,
  connect as netConnect,
  type Socket,
} from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { proxyFor } from '../../src/ebs/connect/proxy.ts';
import { Service, type ServiceSettings } from '../../src/ebs/service.ts';
import { startEmulator } from '../../src/emulator/index.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { makeCertificates, noOpenssl, setVariable } from './certificates.ts';
import { environment } from './environment.ts';

const SNAPSHOT = 'snap-0123456789abcdef0';
const keys = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B' };

function used(t: TestContext, variables: Record<string, string>, url: string): string | undefined {
  environment(t);
  for (const [name, value] of Object.entries(variables)) setVariable(t, name, value);
  return proxyFor(new URL(url))?.href;
}

const EBS = 'https://ebs.eu-west-1.amazonaws.com/';
const rows: readonly [Record<string, string>, string, string | undefined][] = [
  [{ https_proxy: 'proxy.test:3128' }, EBS, 'http://proxy.test:3128'],
  [{ HTTPS_PROXY: 'proxy.test' }, EBS, 'http://proxy.test:1080'],
  [{ HTTPS_PROXY: 'http://proxy.test:80' }, EBS, 'http://proxy.test:80'],
  [{ HTTPS_PROXY: 'https://proxy.test' }, EBS, 'https://proxy.test:443'],
  [{ https_proxy: 'http://lower.test:1', HTTPS_PROXY: 'http://upper.test:1' }, EBS, 'http://lower.test:1'],
  [{ https_proxy: '', HTTPS_PROXY: 'http://upper.test:1' }, EBS, 'http://upper.test:1'],
  [{ https_proxy: '' }, EBS, undefined],
  [{ http_proxy: 'http://proxy.test:1' }, EBS, undefined],
  [{ http_proxy: 'http://proxy.test:1' }, 'http://ebs.test/', 'http://proxy.test:1'],
  [{ all_proxy: 'socks5h://proxy.test' }, EBS, 'socks5h://proxy.test:1080'],
  [{ ALL_PROXY: 'http://all.test:1', HTTPS_PROXY: 'http://own.test:1' }, EBS, 'http://own.test:1'],
  [{ HTTPS_PROXY: 'http://me:p%40ss@proxy.test:3128/' }, EBS, 'http://me:p%40ss@proxy.test:3128'],
  [{ HTTPS_PROXY: 'me:secret@proxy.test:3128' }, EBS, 'http://me:secret@proxy.test:3128'],
  [{ HTTPS_PROXY: 'http://[::1]:3128' }, EBS, 'http://[::1]:3128'],
];

for (const [variables, url, expected] of rows) {
  test(`${JSON.stringify(variables)} gives ${url} the proxy ${expected ?? 'none'}`, (t) => {
    assert.equal(used(t, variables, url), expected);
  });
}

const excluded: readonly [string, string, boolean][] = [
  ['amazonaws.com', EBS, true],
  ['.amazonaws.com', EBS, true],
  ['*.amazonaws.com', EBS, true],
  ['AMAZONAWS.COM', EBS, true],
  ['zonaws.com', EBS, false],
  ['ebs.eu-west-1.amazonaws.com', EBS, true],
  ['.ebs.eu-west-1.amazonaws.com', EBS, true],
  ['a.test, amazonaws.com', EBS, true],
  ['a.test amazonaws.com', EBS, true],
  ['*', EBS, true],
  ['a.test,*', EBS, true],
  ['amazonaws.com:443', EBS, true],
  ['amazonaws.com:8443', EBS, false],
  ['127.0.0.1', 'https://127.0.0.1:4590/', true],
  ['127.0.0.1:4590', 'https://127.0.0.1:4590/', true],
  ['127.0.0.1:4591', 'https://127.0.0.1:4590/', false],
  ['127.0.0.0/8', 'https://127.1.2.3/', true],
  ['10.0.0.0/8', 'https://127.1.2.3/', false],
  ['10.0.0.0/33', 'https://10.1.2.3/', false],
  ['127.0.0.0/8', 'https://localhost/', false],
  ['localhost', 'https://localhost:4590/', true],
  ['::1', 'https://[::1]/', true],
  ['[::1]', 'https://[::1]:4590/', true],
  ['[::1]:4590', 'https://[::1]:4590/', true],
  ['fd00::/8', 'https://[fd12::1]/', true],
  ['fd00::/8', 'https://[fe80::1]/', false],
  ['', EBS, false],
  ['ebs.eu-west-1.amazonaws.com.', EBS, true],
];

for (const [list, url, expected] of excluded) {
  test(`NO_PROXY="${list}" ${expected ? 'excludes' : 'does not exclude'} ${url}`, (t) => {
    const variables = { HTTPS_PROXY: 'http://proxy.test:1', NO_PROXY: list };
    assert.equal(used(t, variables, url) === undefined, expected);
  });
}

for (const [value, problem] of [
  ['ftp://me:secret@proxy.test', /unknown scheme "ftp"/],
  ['http://me:secret@proxy.test:x', /not a URL/],
  ['http://me:sec%ret@proxy.test:1', /"%" that is not escaped/],
] as const) {
  test(`a malformed proxy is a configuration error without its password: ${value.slice(0, 6)}`, (t) => {
    environment(t, { HTTPS_PROXY: value });
    assert.throws(
      () => proxyFor(new URL(EBS)),
      (error: ColdsnapError) => {
        assert.deepEqual([error.class, error.code], ['config', 'BAD_PROXY']);
        assert.match(error.message, problem);
        assert.match(error.message, /HTTPS_PROXY/);
        assert.doesNotMatch(error.message + error.hint, /secret|sec%ret/);
        return true;
      },
    );
  });
}

/** Lists a snapshot through HTTPS_PROXY or http_proxy, and returns the error. */
async function failureThrough(
  t: TestContext,
  proxy: string,
  endpoint: string,
  options: Partial<ServiceSettings> = {},
  variables: Record<string, string> = {},
): Promise<ColdsnapError> {
  environment(t, { ...keys, ...variables });
  setVariable(t, endpoint.startsWith('https') ? 'HTTPS_PROXY' : 'http_proxy', proxy);
  const service = new Service({ region: 'us-east-1', endpoint, retryForMs: 200, ...options }, 1, () => {});
  t.after(() => service.close());
  const { api } = await service.ebs();
  const error = await api.listSnapshotBlocks({ snapshotId: SNAPSHOT }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof ColdsnapError);
  return error;
}

async function listen(t: TestContext, server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

for (const endpoint of ['https://ebs.test', 'http://ebs.test']) {
  test(`${endpoint}: a dead proxy is named as the proxy`, async (t) => {
    const server = createTcpServer();
    const port = await listen(t, server);
    server.close();
    const error = await failureThrough(t, `http://me:secret@127.0.0.1:${port}`, endpoint);
    assert.equal(error.code, 'PROXY_UNREACHABLE');
    assert.match(
      error.message,
      new RegExp(`the proxy 127.0.0.1:${port} \\(https?_proxy\\): connection refused`, 'i'),
    );
    assert.doesNotMatch(error.message, /secret|ECONNREFUSED|the endpoint/);
  });

  for (const status of [407, 403]) {
    test(`${endpoint}: HTTP ${status} of a proxy is the proxy's`, async (t) => {
      const headers = { 'proxy-authenticate': 'Basic realm="x"' };
      const server = createServer((_request, reply) => reply.writeHead(status, headers).end('<html>'));
      server.on('connect', (_request, socket) => {
        socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
      });
      const port = await listen(t, server);
      const error = await failureThrough(t, `127.0.0.1:${port}`, endpoint);
      assert.deepEqual([error.class, error.code], ['config', 'PROXY_REFUSED'], error.message);
      assert.match(error.message, /the proxy/);
      assert.match(`${error.message} ${error.hint}`, status === 407 ? /user and password/ : /NO_PROXY/);
    });
  }
}

test('a proxy that cannot reach the endpoint is a failure that may pass', async (t) => {
  const server = createServer();
  server.on('connect', (_request, socket) => {
    socket.end('HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n');
  });
  const port = await listen(t, server);
  const error = await failureThrough(t, `127.0.0.1:${port}`, 'https://ebs.test');
  assert.deepEqual([error.class, error.code], ['gave-up', 'PROXY_UNREACHABLE']);
  assert.match(error.message, /the proxy .* could not reach the endpoint \(HTTP 502\)/);
});

test('the proxy gets the user and password', async (t) => {
  const seen: (string | undefined)[] = [];
  const server = createServer();
  server.on('connect', ({ headers }, socket) => {
    seen.push(headers['proxy-authorization']);
    socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n');
  });
  const port = await listen(t, server);
  await failureThrough(t, `me:p%40ss@127.0.0.1:${port}`, 'https://ebs.test');
  assert.deepEqual(seen, [`Basic ${Buffer.from('me:p@ss').toString('base64')}`]);
});

test('a proxy that accepts connections and never answers is named, and left', async (t) => {
  const sockets: Socket[] = [];
  const port = await listen(
    t,
    createTcpServer((socket) => sockets.push(socket.on('error', () => {}).resume())),
  );
  const deadlines = { connectMs: 300 };
  const error = await failureThrough(t, `127.0.0.1:${port}`, 'https://ebs.test', { deadlines });
  assert.deepEqual([error.class, error.code], ['gave-up', 'PROXY_UNREACHABLE']);
  assert.match(error.message, /the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\): no answer in time/);
  await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
});

test('a rejected password and a missing one have different messages', async (t) => {
  const server = createServer();
  server.on('connect', (_request, socket) => {
    socket.end('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n');
  });
  const port = await listen(t, server);
  const error = await failureThrough(t, `me:wrong@127.0.0.1:${port}`, 'https://ebs.test');
  assert.match(error.message, /the proxy .* does not accept the user and password \(HTTP 407\)/);
  assert.doesNotMatch(error.message + error.hint, /wrong/);
});

test('a proxy whose certificate is not trusted is named, at once', { skip: noOpenssl }, async (t) => {
  const server = createTlsServer(makeCertificates());
  const port = await listen(t, server);
  const error = await failureThrough(t, `https://127.0.0.1:${port}`, 'https://ebs.test', {
    retryForMs: 600_000,
  });
  assert.deepEqual([error.class, error.code], ['config', 'TLS_UNTRUSTED']);
  assert.match(error.message, /does not trust the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\): the certificate/);
  assert.match(error.hint!, /AWS_CA_BUNDLE/);
});

test('the authorities of AWS_CA_BUNDLE are trusted for a proxy, too', { skip: noOpenssl }, async (t) => {
  const { ca, ...certificate } = makeCertificates();
  const server = createTlsServer(certificate, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n'));
  });
  const proxy = `https://127.0.0.1:${await listen(t, server)}`;
  const error = await failureThrough(t, proxy, 'https://ebs.test', {}, { AWS_CA_BUNDLE: ca });
  assert.equal(error.code, 'PROXY_REFUSED', error.message);
});

for (const [names, matches] of [
  ['IP:127.0.0.1', true],
  ['DNS:localhost', false],
] as const) {
  const sentence = `a certificate for ${names} is ${matches ? '' : 'not '}accepted for https://127.0.0.1 behind a proxy`;
  test(sentence, { skip: noOpenssl }, async (t) => {
    environment(t, keys);
    const { ca, key, cert } = makeCertificates(names);
    setVariable(t, 'AWS_CA_BUNDLE', ca);
    const emulator = await startEmulator({ tls: { key, cert } });
    t.after(() => emulator.close());
    await emulator.putSnapshot({ id: SNAPSHOT, volumeSizeGiB: 1, blocks: new Map() });
    const server = createServer();
    server.on('connect', (_request, socket: Socket) => {
      const outward = netConnect(Number(new URL(emulator.url).port), '127.0.0.1');
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.on('error', () => {}).on('close', () => outward.destroy());
      socket.pipe(outward.on('error', () => socket.destroy())).pipe(socket);
    });
    setVariable(t, 'HTTPS_PROXY', `localhost:${await listen(t, server)}`);
    const service = new Service(
      { region: 'us-east-1', endpoint: emulator.url, retryForMs: 200 },
      1,
      () => {},
    );
    t.after(() => service.close());
    const { api } = await service.ebs();
    const listed = api.listSnapshotBlocks({ snapshotId: SNAPSHOT });
    if (matches) assert.deepEqual((await listed).blocks, []);
    else await assert.rejects(listed, { code: 'TLS_UNTRUSTED' });
  });
}
