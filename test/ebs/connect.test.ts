/** Configuration of clients: region, credentials, endpoints, proxies and certificate authorities. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect as netConnect, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { EC2Client } from '@aws-sdk/client-ec2';
import { proxyFor } from '../../src/ebs/connect/proxy.ts';
import { checkDeadlines, connectEbs, type ServiceOptions } from '../../src/ebs/connect.ts';
import { Service } from '../../src/ebs/service.ts';
import { type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import { compileProgram } from '../support/compile.ts';
import { makeCertificates, noOpenssl, setVariable } from './certificates.ts';
import { ACCESS_KEY, BLOCK, connect, getsBlock, REGION, SECRET, stacks, withBlock } from './contract.ts';
import { environment } from './environment.ts';

const behindProxy = (url: URL): boolean => proxyFor(url) !== undefined;

const keys = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET };

async function connecting(t: TestContext, options: ServiceOptions) {
  const client = await connectEbs(options, 1);
  t.after(() => client.destroy());
  return client.config;
}

test('a missing region is an error that says how to set one', async (t) => {
  environment(t, keys);
  await assert.rejects(connectEbs({}, 1), {
    class: 'config',
    code: 'NO_REGION',
    hint: /AWS_REGION.*profile/,
  });
});

test('missing credentials are an error that says how to provide them', async (t) => {
  environment(t);
  await assert.rejects(connectEbs({ region: REGION }, 1), {
    class: 'config',
    code: 'NO_CREDENTIALS',
    hint: /AWS_ACCESS_KEY_ID.*profile.*instance role/,
  });
});

test('an explicit region takes precedence over the environment', async (t) => {
  environment(t, { ...keys, AWS_REGION: 'eu-west-1' });
  assert.equal(await (await connecting(t, {})).region(), 'eu-west-1');
  assert.equal(await (await connecting(t, { region: REGION })).region(), REGION);
});

test('a profile provides region and credentials, and an unknown one is named in the error', async (t) => {
  const home = environment(t);
  writeFileSync(join(home, 'config'), '[profile backup]\nregion = eu-north-1\n');
  const lines = ['[backup]', 'aws_access_key_id = AKIDBACKUP', 'aws_secret_access_key = of the profile'];
  writeFileSync(join(home, 'credentials'), `${lines.join('\n')}\n`);
  const config = await connecting(t, { profile: 'backup' });
  assert.equal(await config.region(), 'eu-north-1');
  assert.equal((await config.credentials()).accessKeyId, 'AKIDBACKUP');
  await assert.rejects(connectEbs({ profile: 'other', region: REGION }, 1), {
    code: 'PROFILE_NOT_FOUND',
    message: /profile "other"/,
  });
});

for (const endpoint of ['ebs.eu-west-1.amazonaws.com', 'localhost:4566', 'ftp://x', '/tmp/socket', '']) {
  test(`"${endpoint}" is rejected as endpoint URL`, async (t) => {
    environment(t, keys);
    const failure = { class: 'usage', code: 'BAD_ENDPOINT', hint: /https:/ };
    await assert.rejects(connectEbs({ region: REGION, endpoint }, 1), failure);
    await assert.rejects(connectEbs({ region: REGION, ebsEndpoint: endpoint }, 1), failure);
  });
}

for (const endpoint of ['user:hunter2@ebs.test', 'http://user:hunter2@ebs test', 'ftp://user:hunt@er2@x'])
  test(`the error for the endpoint ${endpoint} has no password`, async (t) => {
    environment(t, keys);
    const failure = { code: 'BAD_ENDPOINT', message: /^(?!.*(hunt|er2)).*\[redacted\]@/ };
    await assert.rejects(connectEbs({ region: REGION, endpoint }, 1), failure);
    setVariable(t, 'AWS_ENDPOINT_URL', endpoint);
    await assert.rejects(connectEbs({ region: REGION }, 1), failure);
  });

test('the endpoint for EBS takes precedence over the general one', async (t) => {
  environment(t, keys);
  const options = { region: REGION, endpoint: 'http://both.test', ebsEndpoint: 'http://ebs.test/' };
  const config = await connecting(t, options);
  assert.equal((await config.endpoint?.())?.hostname, 'ebs.test');
});

test('deadlines must be times that a timer accepts', () => {
  assert.deepEqual(checkDeadlines(), { connectMs: 10_000, idleMs: 60_000 });
  assert.deepEqual(checkDeadlines({ idleMs: 5 }), { connectMs: 10_000, idleMs: 5 });
  for (const idleMs of [0, -1, Number.NaN, 2 ** 31]) {
    assert.throws(() => checkDeadlines({ idleMs }), { class: 'usage', code: 'BAD_DEADLINE' });
  }
});

test('an unreadable CA bundle is an error with its path', async (t) => {
  environment(t, { ...keys, AWS_CA_BUNDLE: '/nonexistent/ca.pem' });
  await assert.rejects(connectEbs({ region: REGION }, 1), {
    class: 'config',
    code: 'CA_BUNDLE_UNREADABLE',
    path: '/nonexistent/ca.pem',
    message: /AWS_CA_BUNDLE/,
  });
});

for (const stack of stacks) {
  test(`${stack.name}: NODE_EXTRA_CA_CERTS is trusted in addition to AWS_CA_BUNDLE`, {
    skip: noOpenssl,
  }, async (t) => {
    environment(t);
    const { ca, key, cert } = makeCertificates();
    const other = makeCertificates('DNS:other.test');
    setVariable(t, 'AWS_CA_BUNDLE', other.ca);
    setVariable(t, 'NODE_EXTRA_CA_CERTS', ca);
    const connected = await connect(t, stack, { emulator: { tls: { key, cert } } });
    await getsBlock(connected, await withBlock(connected));
  });
}

for (const transport of ['fast', 'sdk'] as const) {
  test(`${transport}: NODE_EXTRA_CA_CERTS is trusted`, { skip: noOpenssl }, async (t) => {
    const { ca, key, cert } = makeCertificates();
    const emulator = await startEmulator({ tls: { key, cert }, blockSize: BLOCK });
    t.after(() => emulator.close());
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks: { 0: Buffer.alloc(BLOCK, 1) },
    });
    // Node reads the variable at startup, so this needs a new process.
    const script = `
      import { Service } from './src/ebs/service.ts';
      const options = { endpoint: '${emulator.url}', region: 'us-east-1', transport: '${transport}' };
      const service = new Service(options, 1, ({ error }) => { throw error; });
      const { api } = await service.ebs();
      const { blocks } = await api.listSnapshotBlocks({ snapshotId: '${snapshotId}' });
      const buffer = Buffer.alloc(${BLOCK});
      await api.getSnapshotBlock({ snapshotId: '${snapshotId}', ...blocks[0] }, buffer);
      console.log(buffer.every((byte) => byte === 1));
      service.close();`;
    const program = await compileProgram({ text: script });
    environment(t, { ...keys, NODE_EXTRA_CA_CERTS: ca });
    const child = spawn(process.execPath, [program]);
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      output += data;
    });
    const [status] = await once(child, 'close');
    assert.deepEqual([output, status], ['true\n', 0]);
  });
}

test('a proxy is used for the URLs that its variables cover, except hosts in NO_PROXY', async (t) => {
  environment(t);
  const https = new URL('https://ebs.eu-west-1.amazonaws.com/');
  assert.equal(behindProxy(https), false);
  setVariable(t, 'HTTPS_PROXY', 'http://proxy.test:3128');
  assert.equal(behindProxy(https), true);
  assert.equal(behindProxy(new URL('http://127.0.0.1:8080/')), false);
  setVariable(t, 'NO_PROXY', 'localhost,.eu-west-1.amazonaws.com');
  assert.equal(behindProxy(https), false);
  assert.equal(behindProxy(new URL('https://ebs.us-east-1.amazonaws.com/')), true);
  setVariable(t, 'NO_PROXY', undefined);
  setVariable(t, 'HTTPS_PROXY', undefined);
  setVariable(t, 'ALL_PROXY', 'socks5://proxy.test');
  assert.equal(behindProxy(https), true);
});

for (const stack of stacks) {
  for (const scheme of ['http', 'https'] as const) {
    const skip = scheme === 'https' && noOpenssl;
    const sentence = `every ${scheme} request goes through the proxy, except to hosts in NO_PROXY`;
    test(`${stack.name}: ${sentence}`, { skip }, async (t) => {
      environment(t);
      const { url, targets } = await startProxy(t);
      const emulator: EmulatorOptions = {};
      if (scheme === 'https') {
        const { ca, key, cert } = makeCertificates();
        setVariable(t, 'AWS_CA_BUNDLE', ca);
        emulator.tls = { key, cert };
      }
      setVariable(t, `${scheme}_proxy`, url);
      const proxied = await connect(t, stack, { emulator });
      const fixture = await withBlock(proxied);
      await getsBlock(proxied, fixture);
      await getsBlock(proxied, fixture);
      assert.ok(targets.length >= 1);
      assert.deepEqual([...new Set(targets)], [`127.0.0.1:${proxied.emulator.port}`]);
      setVariable(t, 'no_proxy', '127.0.0.1');
      targets.length = 0;
      const direct = await connect(t, stack, { emulator });
      await getsBlock(direct, await withBlock(direct));
      assert.deepEqual(targets, []);
    });
  }
}

test("the caller's client is used unchanged and stays open", async (t) => {
  environment(t);
  const { client, emulator } = await connect(t, stacks[0]!);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: Buffer.alloc(BLOCK) } });
  for (const transport of [undefined, 'fast'] as const) {
    const service = new Service({ ebsClient: client, transport }, 1, () => {});
    const { api } = await service.ebs();
    const { blocks } = await api.listSnapshotBlocks({ snapshotId });
    emulator.clearLog();
    await api.getSnapshotBlock({ snapshotId, ...blocks[0]! }, Buffer.alloc(BLOCK));
    assert.match(emulator.log[0]?.headers['user-agent'] ?? '', transport === 'fast' ? /^app/ : /^aws-sdk-js/);
    service.close();
  }
});

test("the providers of the caller's client fail as configuration, not as a lost connection", async () => {
  const giving = (value: unknown) => async () => value as never;
  const cases: [options: object, message: RegExp][] = [
    [
      { credentials: () => Promise.reject(new Error('the vault is sealed')) },
      /^the client's credential provider failed: the vault is sealed$/,
    ],
    [{ credentials: giving(undefined) }, /^the client's credential provider failed: /],
    [{ credentials: giving({}) }, /^the client's credential provider failed: it gave no access key$/],
    [{ credentials: { accessKeyId: undefined, secretAccessKey: undefined } }, /it gave no access key$/],
    [
      { region: () => Promise.reject(new Error('unknown place')) },
      /^the client's region provider failed: unknown place$/,
    ],
  ];
  const usual = {
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
  };
  for (const [options, message] of cases) {
    const settings = {
      ebsClient: new EBSClient({ ...usual, ...options }),
      ec2Client: new EC2Client({ ...usual, ...options }),
    };
    const service = new Service(settings, 1, () => {});
    for (const connection of [service.ebs(), service.ec2()])
      await assert.rejects(connection, { class: 'config', code: 'CREDENTIALS_FAILED', message });
    service.close();
  }
});

/** A proxy that forwards and tunnels, and records the hosts of requests. */
async function startProxy(t: TestContext) {
  const targets: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const { hostname, port, pathname, search, host } = new URL(incoming.url ?? '');
    targets.push(host);
    const { method, headers } = incoming;
    const onward = httpRequest({ hostname, port, path: pathname + search, method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 500, reply.headers);
      reply.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  server.on('connect', (request, near: Socket) => {
    targets.push(request.url ?? '');
    const far = netConnect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      pipeline(near, far, near, () => {});
    });
    t.after(() => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, targets };
}
