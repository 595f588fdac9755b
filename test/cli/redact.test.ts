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

test('other text is unchanged', () => {
  const plain = [
    'the block token of block 17 has expired',
    'GetSnapshotBlock of block 3 failed (request ID 1b2c-3d4e)',
    'coldsnap --endpoint http://127.0.0.1:4590 download snap-0123456789abcdef0 /dev/nvme1n1',
    'what is this? a question',
    '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123',
  ];
  for (const text of plain) assert.equal(redact(text, { AWS_SECRET_ACCESS_KEY: 'test' }), text);
});
