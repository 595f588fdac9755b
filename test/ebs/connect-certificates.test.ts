/** Where certificate authorities come from, and the errors of TLS. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectEbs } from '../../src/ebs/connect.ts';
import { Service } from '../../src/ebs/service.ts';
import { startEmulator } from '../../src/emulator/index.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { makeCertificates, noOpenssl } from './certificates.ts';
import { environment, writeFiles } from './environment.ts';

const BLOCK = 16_384;
const keys = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B' };
const transports = ['fast', 'sdk'] as const;

/** Fetches a block over TLS, and returns the error or undefined. */
async function fetchBlock(t: TestContext, transport: 'fast' | 'sdk'): Promise<unknown> {
  const { key, cert } = makeCertificates();
  const emulator = await startEmulator({ tls: { key, cert }, blockSize: BLOCK });
  t.after(() => emulator.close());
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: Buffer.alloc(BLOCK, 1) } });
  const options = { endpoint: emulator.url, region: 'us-east-1', transport, retryForMs: 200 };
  const service = new Service(options, 1, () => {});
  t.after(() => service.close());
  try {
    const { api } = await service.ebs();
    const { blocks } = await api.listSnapshotBlocks({ snapshotId });
    await api.getSnapshotBlock({ snapshotId, ...blocks[0]! }, Buffer.alloc(BLOCK));
    return undefined;
  } catch (error) {
    return error;
  }
}

for (const transport of transports) {
  for (const origin of [
    'SSL_CERT_FILE',
    'SSL_CERT_DIR',
    'AWS_CA_BUNDLE',
    'NODE_EXTRA_CA_CERTS',
    'ca_bundle',
  ] as const) {
    test(`${transport}: authorities of ${origin} are trusted`, { skip: noOpenssl }, async (t) => {
      const home = environment(t, keys);
      const { ca } = makeCertificates();
      if (origin === 'ca_bundle') {
        writeFiles(home, { config: `[default]\nca_bundle = ${ca}\n` });
      } else if (origin === 'SSL_CERT_DIR') {
        writeFiles(home, { 'certs/README': 'not a certificate' });
        copyFileSync(ca, join(home, 'certs/ca.pem'));
        process.env.SSL_CERT_DIR = `/nonexistent:${join(home, 'certs')}`;
      } else {
        process.env[origin] = ca;
      }
      t.after(() => {
        if (origin !== 'ca_bundle') delete process.env[origin];
      });
      assert.equal(await fetchBlock(t, transport), undefined);
    });
  }

  test(`${transport}: an unknown authority is a configuration error without OpenSSL's words`, {
    skip: noOpenssl,
  }, async (t) => {
    environment(t, keys);
    const error = await fetchBlock(t, transport);
    assert.ok(error instanceof ColdsnapError);
    assert.deepEqual([error.class, error.code], ['config', 'TLS_UNTRUSTED']);
    assert.match(error.message, /the certificate is from an unknown authority/);
    assert.doesNotMatch(error.message, /unable to|UNABLE_TO/);
  });
}

test('a bundle without a certificate is an error with its path', async (t) => {
  const home = environment(t, keys);
  writeFileSync(join(home, 'empty.pem'), 'nothing\n');
  process.env.AWS_CA_BUNDLE = join(home, 'empty.pem');
  await assert.rejects(connectEbs({ region: 'us-east-1' }, 1), {
    code: 'CA_BUNDLE_UNREADABLE',
    message: /AWS_CA_BUNDLE names .*empty\.pem, which has no certificate/,
  });
});

for (const transport of transports) {
  test(`${transport}: https to a port without TLS ends at once, without OpenSSL's words`, async (t) => {
    environment(t, keys);
    const emulator = await startEmulator({ blockSize: BLOCK });
    t.after(() => emulator.close());
    const endpoint = emulator.url.replace('http:', 'https:');
    const service = new Service({ endpoint, region: 'us-east-1', transport }, 1, () =>
      assert.fail('retried'),
    );
    t.after(() => service.close());
    const { api } = await service.ebs();
    const block = { snapshotId: 'snap-0123456789abcdef0', blockIndex: 0, blockToken: 'x'.repeat(20) };
    await assert.rejects(api.getSnapshotBlock(block, Buffer.alloc(BLOCK)), (error: ColdsnapError) => {
      assert.deepEqual([error.class, error.code], ['config', 'TLS_MISMATCH'], error.message);
      assert.match(error.hint ?? '', /http:\/\//);
      assert.doesNotMatch(error.message, /SSL|routines|version number|\.c:/i);
      return true;
    });
  });
}
