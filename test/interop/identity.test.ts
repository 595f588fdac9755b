/**
 * The AWS CLI, boto3 and curl beside coldsnap: the same identity, proxy and certificates for the same environment. And
 * the identities that the Rust tool finds, if COLDSNAP_PEER names it. Run by scripts/interop-identity.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { proxyFor } from '../../src/ebs/connect/proxy.ts';
import { connectEbs } from '../../src/ebs/connect.ts';
import { Service } from '../../src/ebs/service.ts';
import { makeCertificates, noOpenssl, setVariable } from '../ebs/certificates.ts';
import { configFileCases } from '../ebs/config-files.ts';
import { environment, writeFiles } from '../ebs/environment.ts';
import { fill, identityCases } from '../ebs/identities.ts';
import { startIdentityServices } from '../ebs/identity-services.ts';
import { needsPeer, peer } from './tools.ts';

const python = process.env.BOTOCORE_PYTHON;
const skip = python === undefined && 'run scripts/interop-identity';
const aws = join(dirname(python ?? ''), 'aws');
const run = promisify(execFile);

const askBoto3 = `
import boto3, sys
session = boto3.Session(profile_name=sys.argv[1] or None)
print(session.client("sts").get_caller_identity()["Arn"])
`;

/** The output of a program in this environment; undefined when it failed. */
async function outputOf(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    return (await run(program, words, { timeout: 60_000 })).stdout.trim();
  } catch {
    return undefined;
  }
}

for (const { name, env, profile, files, key, differs } of [...identityCases, ...configFileCases]) {
  test(`aws and boto3 agree: ${name}`, { skip: skip || differs }, async (t) => {
    const services = await startIdentityServices(t);
    const home = environment(t);
    const places = { URL: services.url, HOME: home };
    writeFiles(home, fill(files, places));
    const settings = {
      AWS_ENDPOINT_URL: services.url,
      AWS_DEFAULT_REGION: 'us-east-1',
      ...fill(env, places),
    };
    for (const [variable, value] of Object.entries(settings)) setVariable(t, variable, value);
    const options = profile === undefined ? {} : { profile };
    const client = await connectEbs(options, 1).catch(() => undefined);
    const ours = (await client?.config.credentials())?.accessKeyId;
    client?.destroy();
    const flags = profile === undefined ? [] : ['--profile', profile];
    const query = ['sts', 'get-caller-identity', '--query', 'Arn', '--output', 'text'];
    const [theirs, boto3] = await Promise.all([
      outputOf(aws, [...flags, ...query]),
      outputOf(python ?? '', ['-c', askBoto3, profile ?? '']),
    ]);
    assert.deepEqual({ ours, aws: theirs, boto3 }, { ours: key, aws: key, boto3: key });
  });
}

/** Where the Rust tool decides otherwise, and the access key that it uses, or undefined when it fails. */
const rustDiffers: Readonly<Record<string, string | undefined>> = {
  'a profile chosen by option goes before keys in the environment': 'ENVIRONMENT',
  'AWS_DEFAULT_PROFILE goes before AWS_PROFILE': 'DEFAULT',
  'empty variables are absent': undefined,
  'half of a key in the environment is an error': 'INSTANCE',
  'a missing profile is never the instance': 'INSTANCE',
  'a missing profile by option is never the instance': 'INSTANCE',
  'keys of the credentials file go before a process': 'PROCESS',
  'a role from the environment': 'ENVIRONMENT',
  'a role with a missing source is an error': 'INSTANCE',
  'a web identity goes before the keys of a profile': 'WORK',
  // Its SSO client does not take its endpoint from AWS_ENDPOINT_URL.
  SSO: undefined,
};

for (const { name, env, profile, files, key } of identityCases) {
  test(`the Rust tool agrees, or differs as documented: ${name}`, needsPeer, async (t) => {
    const services = await startIdentityServices(t);
    const home = environment(t);
    const places = { URL: services.url, HOME: home };
    writeFiles(home, fill(files, places));
    const settings = { AWS_ENDPOINT_URL: services.url, ...fill(env, places) };
    for (const [variable, value] of Object.entries(settings)) setVariable(t, variable, value);
    const { url, keys } = await startListing(t);
    const flags = profile === undefined ? [] : ['--profile', profile];
    await outputOf(peer.command[0]!, [
      ...['--endpoint', url, '--region', 'us-east-1', ...flags],
      ...['download', 'snap-0123456789abcdef0', join(home, 'disk.img')],
    ]);
    assert.deepEqual([...keys], [name in rustDiffers ? rustDiffers[name] : key].filter(Boolean));
  });
}

/** A service without snapshots, and the access keys that signed its requests. */
async function startListing(t: TestContext) {
  const keys = new Set<string>();
  const server = createServer((request, reply) => {
    keys.add(/Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1] ?? 'unsigned');
    reply.writeHead(404, { 'x-amzn-errortype': 'ResourceNotFoundException' }).end('{"Message":"no"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys };
}

/** A proxy that refuses, and a server that does not: who was asked is the answer. */
async function startPair(t: TestContext) {
  const asked: string[] = [];
  const server = createServer((_request, reply) => {
    asked.push('server');
    reply.writeHead(404).end();
  });
  const proxy = createServer((_request, reply) => {
    asked.push('proxy');
    reply.writeHead(403).end();
  });
  for (const each of [server, proxy]) {
    await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      each.closeAllConnections();
      each.close();
    });
  }
  const portOf = (each: typeof server) => (each.address() as AddressInfo).port;
  return { asked, server: portOf(server), proxy: portOf(proxy) };
}

/** PROXY stands for the proxy's address. Python knows no ranges, and curl no ports in NO_PROXY. */
const proxyRows: readonly [variables: Record<string, string>, host: string, programs: string][] = [
  [{}, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'http://PROXY' }, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'PROXY' }, '127.0.0.1', 'aws curl'],
  [{ all_proxy: 'http://PROXY' }, '127.0.0.1', 'curl'],
  [{ https_proxy: 'http://PROXY' }, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: '127.0.0.1' }, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'http://PROXY', NO_PROXY: '127.0.0.1' }, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: 'localhost' }, '127.0.0.1', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: 'localhost' }, 'localhost', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: '.localhost' }, 'localhost', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: '*' }, 'localhost', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: 'a.test, localhost' }, 'localhost', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: 'LOCALHOST' }, 'localhost', 'aws curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: '127.0.0.0/8' }, '127.0.0.1', 'curl'],
  [{ http_proxy: 'http://PROXY', no_proxy: '10.0.0.0/8' }, '127.0.0.1', 'curl'],
];

for (const [variables, host, programs] of proxyRows) {
  test(`${programs} agree on the proxy for ${host} with ${JSON.stringify(variables)}`, {
    skip,
  }, async (t) => {
    const { asked, server, proxy } = await startPair(t);
    environment(t, { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B', AWS_DEFAULT_REGION: 'us-east-1' });
    for (const [name, value] of Object.entries(variables)) {
      setVariable(t, name, value.replace('PROXY', `127.0.0.1:${proxy}`));
    }
    const url = `http://${host}:${server}`;
    const ours = proxyFor(new URL(url)) === undefined ? 'server' : 'proxy';
    if (programs.includes('curl')) await outputOf('curl', ['-s', url]);
    if (programs.includes('aws')) await outputOf(aws, ['--endpoint-url', url, 'sts', 'get-caller-identity']);
    assert.deepEqual([...new Set(asked)], [ours]);
  });
}

for (const [variable, programs] of [
  ['AWS_CA_BUNDLE', 'aws'],
  ['SSL_CERT_FILE', 'curl'],
  [undefined, 'aws curl'],
] as const) {
  test(`${programs} agree on the authority in ${variable ?? 'no variable'}`, {
    skip: skip || noOpenssl,
  }, async (t) => {
    const { ca, key, cert } = makeCertificates();
    const server = createTlsServer({ key, cert }, (_request, reply) => {
      const result = '<GetCallerIdentityResult><Arn>me</Arn></GetCallerIdentityResult>';
      reply.end(`<GetCallerIdentityResponse>${result}</GetCallerIdentityResponse>`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    environment(t, { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B', AWS_DEFAULT_REGION: 'us-east-1' });
    if (variable !== undefined) setVariable(t, variable, ca);
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const trusted: Record<string, boolean> = {};
    if (programs.includes('curl')) trusted.curl = (await outputOf('curl', ['-sf', url])) !== undefined;
    if (programs.includes('aws')) {
      trusted.aws =
        (await outputOf(aws, ['--endpoint-url', url, 'sts', 'get-caller-identity'])) !== undefined;
    }
    const service = new Service({ endpoint: url, retryForMs: 1 }, 1, () => {});
    t.after(() => service.close());
    const { api } = await service.ebs();
    const list = api.listSnapshotBlocks({ snapshotId: 'snap-0123456789abcdef0' });
    trusted.ours = (await list.catch(({ code }: { code: string }) => code)) !== 'TLS_UNTRUSTED';
    assert.deepEqual([...new Set(Object.values(trusted))], [variable !== undefined], JSON.stringify(trusted));
  });
}
