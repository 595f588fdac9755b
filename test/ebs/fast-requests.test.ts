/** The fast block API sends requests to the same endpoints as the SDK, with the same signatures. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { EBSClient, type EBSClientConfig, GetSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';
import fc from 'fast-check';
import { BlockRequests } from '../../src/ebs/fast/block-requests.ts';
import { directOrigin } from '../../src/ebs/fast/origin.ts';
import { setVariable } from './certificates.ts';

const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };

/** Sets these variables and removes all other endpoint settings. */
function setEndpointVariables(t: TestContext, variables: Record<string, string>): void {
  const cleared = [
    'AWS_ENDPOINT_URL',
    'AWS_ENDPOINT_URL_EBS',
    'AWS_USE_FIPS_ENDPOINT',
    'AWS_USE_DUALSTACK_ENDPOINT',
  ];
  for (const name of [...cleared, 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']) {
    setVariable(t, name, undefined);
  }
  for (const [name, value] of Object.entries({ AWS_CONFIG_FILE: '/nonexistent', ...variables })) {
    setVariable(t, name, value);
  }
}

/** The URL of the SDK's own request for a block. */
async function destinationOfSdk(client: EBSClient): Promise<string> {
  let destination = '';
  const caught = new Error('seen enough');
  client.middlewareStack.add(
    () =>
      async ({ request }) => {
        const { protocol, headers, path } = request as HttpRequest;
        destination = `${protocol}//${headers.host}${path}`;
        throw caught;
      },
    { step: 'finalizeRequest', priority: 'high' },
  );
  const request = new GetSnapshotBlockCommand({ SnapshotId: 'snap-1', BlockIndex: 5, BlockToken: 'A' });
  await assert.rejects(client.send(request), (error) => error === caught);
  return destination;
}

const destinations: readonly [string, EBSClientConfig, Record<string, string>, string][] = [
  ['a Region', { region: 'eu-west-1' }, {}, 'https://ebs.eu-west-1.amazonaws.com'],
  ['a Region of China', { region: 'cn-north-1' }, {}, 'https://ebs.cn-north-1.amazonaws.com.cn'],
  [
    'FIPS',
    { region: 'us-east-1' },
    { AWS_USE_FIPS_ENDPOINT: 'true' },
    'https://ebs-fips.us-east-1.amazonaws.com',
  ],
  [
    'dual-stack',
    { region: 'us-east-1' },
    { AWS_USE_DUALSTACK_ENDPOINT: 'true' },
    'https://ebs.us-east-1.api.aws',
  ],
  ['an endpoint', { region: 'us-east-1', endpoint: 'http://h.test:8080' }, {}, 'http://h.test:8080'],
  [
    'an endpoint with a path',
    { region: 'us-east-1', endpoint: 'https://h.test/a/b-c' },
    {},
    'https://h.test/a/b-c',
  ],
  [
    'an endpoint with an IPv6 address',
    { region: 'us-east-1', endpoint: 'https://[::1]:8443' },
    {},
    'https://[::1]:8443',
  ],
  [
    'an endpoint with its usual port',
    { region: 'us-east-1', endpoint: 'https://h.test:443' },
    {},
    'https://h.test',
  ],
  [
    "the environment's endpoint",
    { region: 'us-east-1' },
    { AWS_ENDPOINT_URL: 'http://all.test' },
    'http://all.test',
  ],
  [
    "the environment's endpoint for EBS",
    { region: 'us-east-1' },
    { AWS_ENDPOINT_URL: 'http://all.test', AWS_ENDPOINT_URL_EBS: 'http://ebs.test' },
    'http://ebs.test',
  ],
];

for (const [what, config, variables, expected] of destinations) {
  test(`requests go to the SDK's endpoint: ${what}`, async (t) => {
    setEndpointVariables(t, variables);
    const client = new EBSClient({ credentials: keys, ...config });
    const origin = await directOrigin(client);
    assert.ok(origin);
    const { secure, authority, pathPrefix } = origin;
    assert.equal(`${secure ? 'https' : 'http'}://${authority}${pathPrefix}`, expected);
    assert.equal(await destinationOfSdk(client), `${expected}/snapshots/snap-1/blocks/5`);
  });
}

test('the host of an IPv6 endpoint has no brackets', async (t) => {
  setEndpointVariables(t, {});
  const client = new EBSClient({ region: 'us-east-1', endpoint: 'http://[::1]', credentials: keys });
  assert.deepEqual(await directOrigin(client), {
    secure: false,
    host: '::1',
    port: 80,
    authority: '[::1]',
    pathPrefix: '',
  });
});

for (const endpoint of ['https://h.test/a%20b', 'https://h.test/a/', 'https://h.test//a']) {
  test(`only the SDK uses an endpoint like ${endpoint}`, async (t) => {
    setEndpointVariables(t, {});
    const client = new EBSClient({ region: 'us-east-1', endpoint, credentials: keys });
    assert.equal(await directOrigin(client), undefined);
  });
}

test('only the SDK uses an endpoint behind a proxy', async (t) => {
  setEndpointVariables(t, { HTTPS_PROXY: 'http://proxy.test:3128' });
  const client = new EBSClient({ region: 'us-east-1', credentials: keys });
  assert.equal(await directOrigin(client), undefined);
});

/** Parses a head into a request for SignatureV4 and its own signature. */
function parse(head: string) {
  const lines = head.split('\r\n');
  assert.deepEqual(lines.splice(-2), ['', '']);
  const [method = '', target = '', protocol] = (lines.shift() ?? '').split(' ');
  assert.equal(protocol, 'HTTP/1.1');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([a-z0-9-]+): ?(.*)$/.exec(line) ?? assert.fail(line);
    assert.ok(!(name in headers), `${name} twice`);
    headers[name] = value;
  }
  const { authorization, ...rest } = headers;
  const [path = '', query] = target.split('?');
  const token = /^blockToken=(.*)$/.exec(query ?? '')?.[1];
  return {
    authorization,
    headers: rest,
    request: {
      method,
      path,
      headers: rest,
      hostname: 'unused',
      ...(token === undefined ? {} : { query: { blockToken: decodeURIComponent(token) } }),
    },
  };
}

const word = fc.stringMatching(/^[A-Za-z0-9]{1,20}$/);
const credentials = fc.record({
  accessKeyId: word,
  secretAccessKey: fc.string({ minLength: 1, maxLength: 40 }),
  sessionToken: fc.option(fc.stringMatching(/^[A-Za-z0-9+/=]{1,200}$/), { nil: undefined }),
});

test('every signature equals that of @smithy/signature-v4', async () => {
  const cases = fc.asyncProperty(
    credentials,
    fc.constantFrom('us-east-1', 'eu-central-2', 'cn-north-1'),
    fc.constantFrom('', '/prefix', '/a/b.c~d-e_f'),
    fc.stringMatching(/^snap-[0-9a-f]{1,17}$/),
    fc.nat(2 ** 27),
    fc.stringMatching(/^[A-Za-z0-9+/= !'()*~%&?]{0,256}$/),
    fc.integer({ min: -86_400_000, max: 86_400_000 }),
    async (secrets, region, pathPrefix, snapshotId, blockIndex, blockToken, systemClockOffset) => {
      const { sessionToken, ...pair } = secrets;
      const identity = sessionToken === undefined ? pair : { ...pair, sessionToken };
      const client = new EBSClient({ region, credentials: identity });
      client.config.systemClockOffset = systemClockOffset;
      const origin = { secure: true, host: 'h.test', port: 8443, authority: 'h.test:8443', pathPrefix };
      const requests = new BlockRequests(client, region, origin);
      const data = randomBytes(64);
      const digest = randomBytes(32);
      const reference = { snapshotId, blockIndex };
      const heads = [
        await requests.get({ ...reference, blockToken }),
        await requests.put({ ...reference, data, digest }, digest.toString('base64')),
        // Reuses the key of the first.
        await requests.get({ ...reference, blockToken }),
      ];
      const signer = new SignatureV4({ service: 'ebs', region, credentials: identity, sha256: Sha256 });
      for (const head of heads) {
        const { authorization, request, headers } = parse(head);
        assert.equal(headers['x-amz-security-token'], sessionToken);
        const stamp = headers['x-amz-date'] ?? '';
        const iso = stamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z');
        assert.ok(Math.abs(Date.parse(iso) - Date.now() - systemClockOffset) < 5_000);
        const signed = await signer.sign(new HttpRequest(request), { signingDate: new Date(iso) });
        assert.equal(authorization, signed.headers.authorization);
        assert.equal(headers['x-amz-date'], signed.headers['x-amz-date']);
      }
      assert.equal(parse(heads[0] ?? '').request.query?.blockToken, blockToken);
    },
  );
  await fc.assert(cases, { numRuns: 200 });
});

test('a clock that was set to the first second of 1970 gives a valid timestamp', async (t) => {
  t.mock.method(Date, 'now', () => 1_000_000);
  const client = new EBSClient({ region: 'us-east-1', credentials: keys });
  client.config.systemClockOffset = -1_000_000;
  const origin = { secure: true, host: 'h', port: 443, authority: 'h', pathPrefix: '' };
  const requests = new BlockRequests(client, 'us-east-1', origin);
  const head = await requests.get({ snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' });
  assert.equal(parse(head).headers['x-amz-date'], '19700101T000000Z');
});

test('new credentials and a new day get a new signing key', async () => {
  let current = { ...keys, sessionToken: 'first' };
  const client = new EBSClient({ region: 'us-east-1', credentials: async () => current });
  const origin = { secure: true, host: 'h', port: 443, authority: 'h', pathPrefix: '' };
  const requests = new BlockRequests(client, 'us-east-1', origin);
  const get = async () => parse(await requests.get({ snapshotId: 'snap-1', blockIndex: 0, blockToken: 'A' }));
  const check = async (signed: Awaited<ReturnType<typeof get>>) => {
    const signer = new SignatureV4({
      service: 'ebs',
      region: 'us-east-1',
      credentials: current,
      sha256: Sha256,
    });
    const stamp = signed.headers['x-amz-date'] ?? '';
    const iso = stamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const again = await signer.sign(new HttpRequest(signed.request), { signingDate: new Date(iso) });
    assert.equal(signed.authorization, again.headers.authorization);
  };
  await check(await get());
  current = { ...keys, secretAccessKey: 'another', sessionToken: 'first' };
  await client.config.credentials({ forceRefresh: true });
  await check(await get());
  client.config.systemClockOffset = 86_400_000;
  await check(await get());
});
