/** Which credentials are used, and the errors when there are none. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer } from 'node:tls';
import { cached } from '../../src/ebs/connect/cached.ts';
import { connectEbs, type ServiceOptions } from '../../src/ebs/connect.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { listSnapshots } from '../../src/index.ts';
import { makeCertificates, noOpenssl, setVariable } from './certificates.ts';
import { configFileCases } from './config-files.ts';
import { environment, writeFiles } from './environment.ts';
import { fill, identityCases } from './identities.ts';
import { startIdentityServices } from './identity-services.ts';

const REGION = 'us-east-1';

async function identity(t: TestContext, options: ServiceOptions = {}): Promise<string> {
  const client = await connectEbs({ region: REGION, ...options }, 1);
  t.after(() => client.destroy());
  return (await client.config.credentials()).accessKeyId;
}

async function prepare(t: TestContext, env: Record<string, string> = {}, files: Record<string, string> = {}) {
  const services = await startIdentityServices(t);
  const home = environment(t);
  const places = { URL: services.url, HOME: home };
  writeFiles(home, fill(files, places));
  Object.assign(process.env, { AWS_ENDPOINT_URL: services.url }, fill(env, places));
  return { ...services, home };
}

for (const { name, env, profile, files, key, code } of [...identityCases, ...configFileCases]) {
  test(`identity: ${name}`, async (t) => {
    await prepare(t, env, files);
    const options = profile === undefined ? {} : { profile };
    if (key !== undefined) {
      assert.equal(await identity(t, options), key);
      return;
    }
    await assert.rejects(identity(t, options), (error) => {
      assert.ok(error instanceof ColdsnapError, String(error));
      assert.deepEqual([error.class, error.code], ['config', code], error.message);
      assert.doesNotMatch(error.message, /ENOENT|JSON\b.*position|Unexpected|\bundefined\b/);
      return true;
    });
  });
}

test('the errors name the provider, its own reason and what helps', async (t) => {
  const { home, url } = await prepare(t, {}, identityFiles);
  const failure = async (options: ServiceOptions, variables: Record<string, string> = {}) => {
    Object.assign(process.env, variables);
    const error = await identity(t, options).catch((thrown: unknown) => thrown as ColdsnapError);
    for (const name of Object.keys(variables)) delete process.env[name];
    assert.ok(error instanceof ColdsnapError);
    return `${error.message} | ${error.hint ?? ''}`;
  };
  assert.match(
    await failure({ profile: 'nowhere' }),
    /"nowhere" does not exist in .*config or .*credentials \| .*: .*ops.*sealed/,
  );
  assert.match(
    await failure({ profile: 'sealed' }),
    /^credential_process of profile "sealed" failed: the vault is sealed \|/,
  );
  assert.doesNotMatch(await failure({ profile: 'sealed' }), /password-of-the-vault/);
  assert.match(await failure({ profile: 'prose' }), /failed: it returned invalid JSON/);
  assert.match(
    await failure({ profile: 'ops' }),
    /^AWS STS refused the role arn:\S+denied \(profile "ops"\): User is not authorized .*\| .*sts:AssumeRole on arn:\S+denied/,
  );
  assert.match(
    await failure({ profile: 'corp' }),
    /SSO session of profile "corp" does not exist.*\| .*aws sso login/,
  );
  assert.match(
    await failure({ profile: 'mfa' }),
    /needs a code of the MFA device arn:.*mfa\/me.*\| .*get-session-token/,
  );
  assert.match(
    await failure(
      {},
      { AWS_WEB_IDENTITY_TOKEN_FILE: join(home, 'no'), AWS_ROLE_ARN: 'arn:aws:iam::1:role/x' },
    ),
    /token file \(AWS_WEB_IDENTITY_TOKEN_FILE\) \S+no does not exist/,
  );
  assert.match(
    await failure(
      {},
      {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/no',
      },
    ),
    /token file \(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\) \/no does not exist/,
  );
  assert.match(await failure({}, { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'not a url' }), /not a URL/);
  assert.match(
    await failure({ profile: 'chain' }, { AWS_ENDPOINT_URL_STS: 'http://127.0.0.1:1' }),
    /^the role arn:\S+ \(profile "chain"\) failed: AWS STS: connection refused/,
  );
  assert.match(
    await failure({}),
    /no keys in the environment; no profile; the instance metadata service is disabled/,
  );
});

test('a role service whose certificate is not trusted is not a matter of the network', {
  skip: noOpenssl,
}, async (t) => {
  await prepare(t, {}, identityFiles);
  const server = createServer(makeCertificates());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  setVariable(t, 'AWS_ENDPOINT_URL_STS', `https://127.0.0.1:${port}`);
  await assert.rejects(identity(t, { profile: 'chain' }), {
    class: 'config',
    message: /failed: AWS STS: the certificate is from an unknown authority$/,
    hint: /AWS_CA_BUNDLE/,
  });
});

const role = (name: string) => `role_arn = arn:aws:iam::111122223333:role/${name}\nsource_profile = keys\n`;
const identityFiles = {
  credentials: '[keys]\naws_access_key_id = KEYS\naws_secret_access_key = a secret\n',
  config: [
    `[profile ops]\n${role('denied')}`,
    `[profile chain]\n${role('chain')}`,
    `[profile mfa]\n${role('mfa')}mfa_serial = arn:aws:iam::111122223333:mfa/me\n`,
    "[profile sealed]\ncredential_process = sh -c 'echo the vault is sealed >&2; exit 3' password-of-the-vault\n",
    '[profile prose]\ncredential_process = echo please log in\n',
    '[profile corp]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = admin\n',
    '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n',
  ].join(''),
};

test('a role that needs MFA asks for the code once, for both services', async (t) => {
  const { requests } = await prepare(t, {}, identityFiles);
  const asked: string[] = [];
  const mfaCode = async (serial: string) => {
    asked.push(serial);
    return ' 123456\n';
  };
  assert.equal(await identity(t, { profile: 'mfa', mfaCode }), 'MFA');
  assert.equal(await identity(t, { profile: 'mfa', mfaCode }), 'MFA');
  assert.deepEqual(asked, ['arn:aws:iam::111122223333:mfa/me']);
  assert.deepEqual(requests, ['AssumeRole']);
});

test('an MFA code that never comes does not keep the next call from asking', async (t) => {
  const { requests } = await prepare(t, {}, identityFiles);
  const profile = 'mfa';
  const controller = new AbortController();
  const mfaCode = () => {
    controller.abort();
    return new Promise<string>(() => {});
  };
  const { signal } = controller;
  await assert.rejects(listSnapshots({ region: REGION, profile, mfaCode, signal }), { class: 'aborted' });
  assert.equal(await identity(t, { profile, mfaCode: async () => '123456' }), 'MFA');
  assert.deepEqual(requests, ['AssumeRole']);
});

test('an MFA code that is a number is a usage error', async (t) => {
  await prepare(t, {}, identityFiles);
  const mfaCode = (async () => 123456) as unknown as () => Promise<string>;
  await assert.rejects(identity(t, { profile: 'mfa', mfaCode }), {
    class: 'usage',
    code: 'BAD_OPTION',
    message: 'mfaCode must give a string, but gave a value of type number',
  });
});

test('a profile whose section is misspelled is named with the correction', async (t) => {
  const keys = 'aws_access_key_id = A\naws_secret_access_key = s\n';
  const { home } = await prepare(
    t,
    {},
    { config: `[work]\n${keys}[profile my work]\n${keys}`, credentials: `[profile ops]\n${keys}` },
  );
  const hint = (name: string) => identity(t, { profile: name }).catch((error: ColdsnapError) => error.hint);
  assert.equal(await hint('work'), `Write [profile work] instead of [work] in ${home}/config.`);
  assert.equal(
    await hint('my work'),
    `Write [profile "my work"] instead of [profile my work] in ${home}/config.`,
  );
  assert.equal(await hint('ops'), `Write [ops] instead of [profile ops] in ${home}/credentials.`);
});

test('a line that cannot be parsed is named without its text', async (t) => {
  const { home } = await prepare(
    t,
    {},
    { credentials: '[default]\n# mine\naws_secret_access_key TOP-SECRET\n' },
  );
  await assert.rejects(identity(t), (error: ColdsnapError) => {
    assert.equal(error.message, `line 3 of ${home}/credentials has no "="`);
    assert.doesNotMatch(`${error.stack} ${error.cause}`, /TOP-SECRET/);
    return true;
  });
});

test('a process with 240 s to live is started once for many requests', async (t) => {
  const files = identityCases.find(({ name }) => name === 'a process')?.files ?? {};
  const { home } = await prepare(
    t,
    { AWS_PROFILE: 'work' },
    { config: files.config?.replace('3600', '240') ?? '' },
  );
  const client = await connectEbs({ region: REGION }, 1);
  t.after(() => client.destroy());
  for (let request = 0; request < 50; request++) await client.config.credentials();
  assert.equal(readFileSync(join(home, 'runs'), 'utf8'), 'run\n');
});

test('a process that cannot be started is named', async (t) => {
  await prepare(t, { AWS_PROFILE: 'work' }, { config: '[profile work]\ncredential_process = true\n' });
  // The kernel takes no variable of this size.
  setVariable(t, 'COLDSNAP_LARGE', 'x'.repeat(200_000));
  await assert.rejects(identity(t), {
    class: 'config',
    code: 'CREDENTIALS_FAILED',
    message: 'credential_process of profile "work" failed: spawn E2BIG',
  });
});

test('one hiccup of the instance metadata or a container is retried', async (t) => {
  const { failures, url } = await prepare(t, {
    AWS_EC2_METADATA_DISABLED: 'false',
    AWS_EC2_METADATA_SERVICE_ENDPOINT: 'URL',
  });
  for (const before of [0, 1, 2]) {
    failures.push(...Array<number>(before).fill(0), 503);
    assert.equal(await identity(t, { region: `us-east-${before + 1}` }), 'INSTANCE');
  }
  failures.push(503);
  process.env.AWS_CONTAINER_CREDENTIALS_FULL_URI = `${url}/container`;
  assert.equal(await identity(t), 'CONTAINER');
});

test('credentials are renewed before they expire, once for all requests, and a failed renewal is harmless', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  let loads = 0;
  let failing = false;
  const provider = cached(async () => {
    loads++;
    if (failing) throw new ColdsnapError('config', 'CREDENTIALS_FAILED', 'the vault is sealed', { cause: 1 });
    return { accessKeyId: `K${loads}`, secretAccessKey: 's', expiration: new Date(Date.now() + 240_000) };
  });
  const key = async () => (await provider()).accessKeyId;
  assert.equal(provider.atHand(), undefined);
  assert.deepEqual(await Promise.all([key(), key(), key()]), ['K1', 'K1', 'K1']);
  t.mock.timers.tick(179_000);
  assert.equal(await key(), 'K1');
  assert.equal(provider.atHand()?.accessKeyId, 'K1');
  failing = true;
  t.mock.timers.tick(2_000);
  assert.equal(provider.atHand(), undefined, 'it is time to renew them');
  assert.deepEqual([await key(), await key(), loads], ['K1', 'K1', 2]);
  t.mock.timers.tick(60_000);
  await assert.rejects(provider(), {
    class: 'transient',
    message: /could not renew the credentials: the vault is sealed/,
  });
  failing = false;
  assert.equal(await key(), `K${loads}`);
});

test('credentials that have expired by a wrong clock are not renewed for each request', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  let loads = 0;
  const provider = cached(async () => {
    loads++;
    if (loads === 2) throw new ColdsnapError('config', 'ROLE_REFUSED', 'too many requests');
    return { accessKeyId: `K${loads}`, secretAccessKey: 's', expiration: new Date(Date.now() - 82_800_000) };
  });
  const key = async (forceRefresh = false) => (await provider({ forceRefresh })).accessKeyId;
  assert.deepEqual([await key(), await key(), await key()], ['K1', 'K1', 'K1']);
  assert.equal(provider.atHand()?.accessKeyId, 'K1');
  t.mock.timers.tick(301_000);
  assert.equal(await key(), 'K1', 'a failed renewal is harmless');
  assert.equal(loads, 2);
  assert.equal(await key(true), 'K3', 'the service refused them');
});

test('an SSO token is renewed before it expires, and stored for the AWS CLI', async (t) => {
  const cases = Object.fromEntries(identityCases.map((each) => [each.name, each]));
  const files = { ...cases.SSO?.files };
  const [path = ''] = Object.keys(files).filter((name) => name.includes('sso/cache'));
  const stored = {
    ...{ accessToken: 'old', expiresAt: '2020-01-01T00:00:00Z', startUrl: 'https://corp.awsapps.com/start' },
    ...{ clientId: 'c', clientSecret: 's', refreshToken: 'r', registrationExpiresAt: '2099-01-01T00:00:00Z' },
  };
  const { home, requests } = await prepare(t, {}, { ...files, [path]: JSON.stringify(stored) });
  assert.equal(await identity(t, { profile: 'work' }), 'SSO');
  assert.deepEqual(requests, ['POST /token', 'GET /federation/credentials']);
  const renewed = JSON.parse(readFileSync(join(home, path), 'utf8'));
  assert.ok(new Date(renewed.expiresAt).getTime() > Date.now());
  assert.deepEqual(renewed, {
    ...stored,
    accessToken: 'renewed',
    refreshToken: 'r2',
    expiresAt: renewed.expiresAt,
  });
});

test('an SSO token that is damaged is named', async (t) => {
  const files = identityCases.find(({ name }) => name === 'SSO')?.files ?? {};
  const [path = ''] = Object.keys(files).filter((name) => name.includes('sso/cache'));
  const { home } = await prepare(t, {}, { ...files, [path]: '{"accessToken": "TOP' });
  await assert.rejects(identity(t, { profile: 'work' }), {
    code: 'SSO_LOGIN_NEEDED',
    message: `the SSO session of profile "work" cannot be used: ${join(home, path)} has no token`,
  });
});

test('forceRefresh reads the files again', async (t) => {
  const { home } = await prepare(t, { AWS_PROFILE: 'keys' }, identityFiles);
  const client = await connectEbs({ region: REGION }, 1);
  t.after(() => client.destroy());
  writeFiles(home, { credentials: identityFiles.credentials.replace('KEYS', 'RENEWED') });
  assert.equal((await client.config.credentials({ forceRefresh: true })).accessKeyId, 'RENEWED');
});

test('nothing of the SDK is printed, whatever the source', async (t) => {
  const printed: unknown[] = [];
  for (const method of ['log', 'info', 'warn', 'error'] as const) {
    t.mock.method(console, method, (...words: unknown[]) => printed.push(words));
  }
  const { url } = await prepare(t, { AWS_PROFILE: 'keys' }, identityFiles);
  await identity(t);
  Object.assign(process.env, {
    AWS_PROFILE: '',
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container`,
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '',
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'x',
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/dev/null',
  });
  await identity(t);
  await identity(t, { profile: 'chain' });
  assert.deepEqual(printed, []);
});

for (const [settings, region] of [
  [{ AWS_REGION: 'eu-west-1', AWS_DEFAULT_REGION: 'eu-west-2' }, 'eu-west-1'],
  [{ AWS_REGION: '', AWS_DEFAULT_REGION: 'eu-west-2' }, 'eu-west-2'],
  [{ AWS_DEFAULT_REGION: 'eu-west-2', AWS_PROFILE: 'place' }, 'eu-west-2'],
  [{ AWS_PROFILE: 'place' }, 'eu-north-1'],
] as const) {
  test(`the region of ${JSON.stringify(settings)} is ${region}`, async (t) => {
    await prepare(
      t,
      { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B', ...settings },
      { config: '[profile place]\nregion = eu-north-1\n' },
    );
    const client = await connectEbs({}, 1);
    t.after(() => client.destroy());
    assert.equal(await client.config.region(), region);
  });
}

for (const region of ['US-EAST-1', 'us east', 'eu-west-1.', '-x', 'x/y', 'a'.repeat(64)]) {
  test(`the region "${region.slice(0, 12)}" is malformed`, async (t) => {
    await prepare(t, { AWS_REGION: region });
    await assert.rejects(connectEbs({}, 1), { class: 'config', code: 'BAD_REGION', message: /^AWS_REGION/ });
    await assert.rejects(connectEbs({ region }, 1), { class: 'usage', code: 'BAD_REGION' });
  });
}

test('an availability zone is not a region', async (t) => {
  await prepare(t);
  await assert.rejects(connectEbs({ region: 'us-east-1a' }, 1), {
    code: 'BAD_REGION',
    hint: /region is us-east-1\./,
  });
});

test('endpoints come from variables and profile, that of the service first', async (t) => {
  const { home } = await prepare(t, {
    AWS_ACCESS_KEY_ID: 'A',
    AWS_SECRET_ACCESS_KEY: 'B',
    AWS_ENDPOINT_URL: 'http://all.test/',
  });
  const host = async (options: ServiceOptions = {}) => {
    const client = await connectEbs({ region: REGION, ...options }, 1);
    t.after(() => client.destroy());
    return (await client.config.endpoint?.())?.hostname;
  };
  assert.equal(await host(), 'all.test');
  process.env.AWS_ENDPOINT_URL_EBS = 'http://ebs.test';
  assert.equal(await host(), 'ebs.test');
  assert.equal(await host({ endpoint: 'http://option.test' }), 'option.test');
  process.env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = 'true';
  assert.equal(await host(), undefined);
  for (const name of ['AWS_IGNORE_CONFIGURED_ENDPOINT_URLS', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_EBS'])
    process.env[name] = '';
  const config =
    '[default]\nendpoint_url = http://default.test\n[profile a]\nendpoint_url = http://a.test\n[profile b]\nservices = s\naws_access_key_id = A\naws_secret_access_key = B\n[services s]\nebs =\n  endpoint_url = http://s.test\n';
  writeFiles(home, { config });
  assert.equal(await host(), 'default.test');
  assert.equal(await host({ profile: 'b' }), 's.test');
  process.env.AWS_PROFILE = 'a';
  assert.equal(await host(), 'a.test');
});

for (const url of ['127.0.0.1:4590', 'localhost:4566', 'ebs.test', '/x', 'ftp://x']) {
  test(`AWS_ENDPOINT_URL=${url} is a configuration error that names the variable`, async (t) => {
    await prepare(t, { AWS_ENDPOINT_URL: url });
    await assert.rejects(connectEbs({ region: REGION }, 1), {
      class: 'config',
      code: 'BAD_ENDPOINT',
      message: /^AWS_ENDPOINT_URL is not a URL/,
    });
  });
}

test('a switch that is neither true nor false is a configuration error', async (t) => {
  await prepare(t, { AWS_USE_FIPS_ENDPOINT: 'yes' });
  await assert.rejects(connectEbs({ region: REGION }, 1), {
    class: 'config',
    code: 'BAD_SETTING',
    message: /AWS_USE_FIPS_ENDPOINT/,
  });
});
