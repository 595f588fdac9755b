/** The command line names what helps with errors of identity, and asks for MFA codes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hintFor } from '../../src/cli/hints.ts';
import { makeWorld } from './support.ts';

const coldsnap = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
const keys = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B' };

async function runAlone(t: TestContext, env: Record<string, string>, flags: readonly string[] = []) {
  const home = mkdtempSync(join(tmpdir(), 'coldsnap-home-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const words = [coldsnap, ...flags, 'download', 'snap-0123456789abcdef0', join(home, 'disk.img')];
  const clean = { PATH: process.env.PATH ?? '', HOME: home, AWS_EC2_METADATA_DISABLED: 'true', ...env };
  const child = spawn(process.execPath, words, { env: clean, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data;
    });
  }
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

const rows: readonly [string, Record<string, string>, number, RegExp][] = [
  ['no region', keys, 4, /no region is set/],
  ['an empty region', { ...keys, AWS_REGION: '' }, 4, /no region is set/],
  ['a malformed region', { ...keys, AWS_REGION: 'us east' }, 4, /AWS_REGION is malformed: "us east"/],
  ['no credentials', { AWS_REGION: 'us-east-1' }, 4, /found no credentials.*\n.*--profile/],
  ['a missing profile', { AWS_REGION: 'us-east-1', AWS_PROFILE: 'x' }, 4, /the profile "x" does not exist/],
  [
    'an endpoint without a scheme',
    { ...keys, AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL: '127.0.0.1:4590' },
    4,
    /AWS_ENDPOINT_URL.*\n.*http:\/\/127\.0\.0\.1:4590/,
  ],
  [
    'a missing token file',
    {
      AWS_REGION: 'us-east-1',
      AWS_WEB_IDENTITY_TOKEN_FILE: '/no/token',
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/x',
    },
    4,
    /\/no\/token does not exist/,
  ],
  [
    'a malformed proxy',
    { ...keys, AWS_REGION: 'us-east-1', HTTPS_PROXY: 'ftp://proxy.test' },
    4,
    /HTTPS_PROXY.*unknown scheme/,
  ],
];

for (const [sentence, env, code, text] of rows) {
  test(`${sentence} ends with exit code ${code} and one clear message`, async (t) => {
    const result = await runAlone(t, env);
    assert.equal(result.code, code, result.output);
    assert.match(result.output, text);
    assert.doesNotMatch(result.output, /run it again|bug|ENOENT|Invalid URL/);
  });
}

test('a dead proxy ends with exit code 4, named as the proxy', async (t) => {
  const env = { ...keys, AWS_REGION: 'us-east-1', HTTPS_PROXY: '127.0.0.1:1' };
  const result = await runAlone(t, env, ['--quiet']);
  assert.equal(result.code, 4, result.output);
  assert.match(result.output, /^coldsnap: .*the proxy 127\.0\.0\.1:1 \(HTTPS_PROXY\): connection refused\n/);
});

test('with --json, errors of identity are one line of JSON', async (t) => {
  const { output } = await runAlone(t, { AWS_REGION: 'us-east-1', AWS_PROFILE: 'x' }, ['--json']);
  const lines = output.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { code?: string }).code),
    ['PROFILE_NOT_FOUND'],
  );
});

test('under sudo the hint is the line that keeps the environment', async (t) => {
  const { output } = await runAlone(t, { AWS_REGION: 'us-east-1', SUDO_USER: 'me' });
  assert.match(output, /sudo -E HOME="\$HOME" coldsnap/);
  const other = await runAlone(t, { AWS_REGION: 'us-east-1' });
  assert.doesNotMatch(other.output, /sudo/);
});

test('the hint for an expired SSO session is the command that signs in', () => {
  const hint = hintFor({ code: 'SSO_LOGIN_NEEDED', profile: 'my team' });
  assert.equal(hint, "Run: aws sso login --profile 'my team'");
});

test('an MFA code is asked for on a terminal, and not elsewhere', async () => {
  const questions: string[] = [];
  const world = makeWorld({
    async downloadSnapshot({ mfaCode }) {
      assert.equal(await mfaCode?.('arn:mfa/me'), '123456');
      throw new Error('enough');
    },
  });
  const ask = async (question: string) => {
    questions.push(question);
    return '123456';
  };
  Object.assign(world.io, { ask });
  await world.run('download snap-0123456789abcdef0 disk.img');
  assert.deepEqual(questions, ['MFA code of arn:mfa/me: ']);
  const without = makeWorld();
  await without.run('download snap-0123456789abcdef0 disk.img');
  assert.equal(without.downloads[0]?.mfaCode, undefined);
});
