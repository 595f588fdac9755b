import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redact } from '../../src/cli/redact.ts';

const secret = 'AAEBAXy7+f/Zk3Jx0w==';

const leaks: [string, string][] = [
  ['a block token in a query', `GET /snapshots/snap-1/blocks/7?blockToken=${secret} failed`],
  [
    'an encoded query of a URL',
    `https://ebs.eu-west-1.amazonaws.com/snapshots/s/blocks?pageToken=${encodeURIComponent(secret)}&maxResults=100`,
  ],
  ['a block token as JSON', JSON.stringify({ BlockIndex: 1, BlockToken: secret })],
  ['a page token as JSON', JSON.stringify({ NextToken: secret, VolumeSize: 1 })],
  ['a token as util.inspect prints it', `{ blockIndex: 1, blockToken: '${secret}' }`],
  ['first and second block tokens', `FirstBlockToken: ${secret}, SecondBlockToken: ${secret}`],
  [
    'credentials as util.inspect prints them',
    `{ accessKeyId: 'x', secretAccessKey: '${secret}', sessionToken: '${secret}' }`,
  ],
  ['a session token header', `x-amz-security-token: ${secret}`],
  [
    'a signature',
    `authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu/ebs/aws4_request, Signature=${secret}`,
  ],
  ['a bearer token', `"Authorization": "Bearer ${secret}"`],
  ['a shell variable', `AWS_SECRET_ACCESS_KEY=${secret}`],
  ['a token in JSON inside a JSON string', JSON.stringify(JSON.stringify({ BlockToken: secret }))],
  ['a token in a Map', `Map(1) { 'blockToken' => '${secret}' }`],
  ['a token in an array of headers', `[ 'x-amz-security-token', '${secret}' ]`],
  ['a token in XML', `<SessionToken>${secret}</SessionToken>`],
  ['a secret key in XML', `<SecretAccessKey>${secret}</SecretAccessKey>`],
  ['a token in a query without its question mark', `blockToken=${encodeURIComponent(secret)}&x=1`],
  ['a token after an ampersand', `&nextToken=${secret}`],
  ['a token after an escaped quote', `"blockToken": "abc\\"${secret}"`],
  ['a token in backticks', `blockToken: \`${secret}\``],
  ['a token whose quotes are not closed', `"blockToken": "${secret}`],
  ['a token with an underscore', `block_token=${secret}`],
  ['a token with a hyphen', `session-token: ${secret}`],
  ['a token with a prefix', `firstBlockToken=${secret}`],
  ['a token with an encoded name', `%22blockToken%22%3A%22${encodeURIComponent(secret)}%22`],
  ['an ini file', `aws_secret_access_key = ${secret}`],
  ['a lone signature', `AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=${secret}`],
  ['basic authorization', `Authorization: Basic ${secret}`],
  ['authorization at a proxy', `Proxy-Authorization: Basic ${secret}`],
  ['digest authorization', `Authorization: Digest username="x", response="${secret}"`],
  ['a cookie', `Set-Cookie: AWSALB=${secret}; Path=/`],
  ['the token of the instance metadata', `x-aws-ec2-metadata-token: ${secret}`],
  ['a passphrase', `{ passphrase: '${secret}' }`],
  ['a private key', `-----BEGIN EC PRIVATE KEY-----\n${secret}\n-----END EC PRIVATE KEY-----`],
  ['the password of a SOCKS proxy', `socks5://user:${secret}@proxy:1080`],
  ['a user in a URL', `https://${secret.replaceAll('/', '')}@proxy/`],
  ['user and password in a URL', `http://user:${secret.replaceAll('/', '')}@proxy:3128/x`],
];

for (const [what, text] of leaks) {
  test(`${what} is redacted`, () => {
    const clean = redact(text);
    assert.ok(!clean.includes(secret) && !clean.includes(encodeURIComponent(secret)), clean);
    assert.ok(!clean.includes(secret.replaceAll('/', '')), clean);
    assert.match(clean, /\[redacted\]/);
  });
}

test('access key IDs are redacted', () => {
  assert.equal(redact('key AKIAIOSFODNN7EXAMPLE is unknown'), 'key [redacted] is unknown');
});

test('secrets of the environment are redacted everywhere', () => {
  const env = { AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG', AWS_SESSION_TOKEN: 'FwoGZXIvYXdzEBY' };
  assert.equal(redact('a wJalrXUtnFEMI/K7MDENG b FwoGZXIvYXdzEBY', env), 'a [redacted] b [redacted]');
});

test('secrets of the environment are redacted when they are encoded or escaped', () => {
  const env = { AWS_SECRET_ACCESS_KEY: 'wJalrXUtn/FEMI+K7"MDENG' };
  assert.equal(redact(`a ${encodeURIComponent(env.AWS_SECRET_ACCESS_KEY)} b`, env), 'a [redacted] b');
  assert.equal(redact(JSON.stringify({ key: env.AWS_SECRET_ACCESS_KEY }), env), '{"key":"[redacted]"}');
});

test('other text is unchanged', () => {
  const plain = [
    'the block token of block 17 has expired',
    'GetSnapshotBlock of block 3 failed (request ID 1b2c-3d4e)',
    'coldsnap --endpoint http://127.0.0.1:4590 download snap-0123456789abcdef0 /dev/nvme1n1',
    'what is this? a question',
    'the session token: it has expired; found no usable credentials: set them',
    'the signature does not match; write to a@b.example',
    '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123',
  ];
  for (const text of plain) assert.equal(redact(text, { AWS_SECRET_ACCESS_KEY: 'test' }), text);
});
