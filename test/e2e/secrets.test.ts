/** No secret and no token appears in any output, journal or error, however verbose. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import type { FaultAction, FaultRule } from '../../src/emulator/index.ts';
import { downloadSnapshot } from '../../src/index.ts';
import { needsBuild } from '../support/built.ts';
import '../support/in-memory.ts';
import { randomBlocks } from '../support/service.ts';
import { ours, Workplace } from '../support/workplace.ts';

const BLOCK = 4096;
const accessKeyId = 'AKIDSECRETSTEST';
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const sessionToken = 'IQoJb3JpZ2luX2VjEXAMPLEsessiontoken//////////wEaCXVzLWVhc3QtMSJHMEUCIQ==';
const credentials = {
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secretAccessKey,
  AWS_SESSION_TOKEN: sessionToken,
};

/** A proxy that records the tokens and signatures that pass. */
async function recordingProxy(
  t: TestContext,
  service: string,
): Promise<{ url: string; secrets: Set<string> }> {
  const secrets = new Set([secretAccessKey, sessionToken]);
  const record = (text: string) => {
    for (const [, token] of text.matchAll(/"(?:BlockToken|NextToken)":"([^"]+)"/g))
      secrets.add(token as string);
  };
  const server = createServer((received, response) => {
    const signature = /Signature=(\w+)/.exec(received.headers.authorization ?? '')?.[1];
    if (signature !== undefined) secrets.add(signature);
    const { port } = new URL(service);
    const { method, url, headers, rawHeaders } = received;
    const forwarded = request(
      { host: '127.0.0.1', port, method, path: url, headers: rawHeaders },
      (reply) => {
        relay(reply);
      },
    );
    const relay = (reply: IncomingMessage) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('end', () => record(Buffer.concat(chunks).toString('latin1')));
      if ((reply.statusCode ?? 500) < 400) {
        response.writeHead(reply.statusCode ?? 500, reply.rawHeaders);
        reply.pipe(response);
        return;
      }
      // The service repeats rejected values in its errors.
      reply.on('end', () => {
        const error = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
        const query = new URL(url ?? '', service).searchParams;
        const refused = [...query].map(([name, value]) => `Value '${value}' at '${name}'`).join(', ');
        const body = JSON.stringify({
          ...error,
          message: `${refused} (${url}) failed to satisfy constraint`,
        });
        const fields = { ...reply.headers, 'content-length': String(Buffer.byteLength(body)) };
        response.writeHead(reply.statusCode ?? 500, fields).end(body);
      });
    };
    assert.ok(headers.host);
    forwarded.on('error', () => received.socket.destroy());
    received.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, secrets };
}

function assertNoSecrets(text: string, secrets: ReadonlySet<string>, where: string): void {
  for (const secret of secrets) {
    for (const form of [secret, encodeURIComponent(secret)]) {
      assert.ok(!text.includes(form), `${where} contains ${form}:\n${text}`);
    }
  }
  assert.doesNotMatch(text, /AWS4-HMAC/, where);
}

const error = (status: number, code: string, reason?: string): FaultAction => ({
  type: 'error',
  status,
  code,
  ...(reason === undefined ? {} : { reason }),
});

/** Faults of one operation that end a download, each in another way. */
const failures: readonly [operation: string, action: FaultAction][] = [
  ['GetSnapshotBlock', error(403, 'AccessDeniedException')],
  ['GetSnapshotBlock', error(400, 'ValidationException', 'INVALID_PARAMETER_VALUE')],
  ['GetSnapshotBlock', error(400, 'ValidationException', 'INVALID_BLOCK_TOKEN')],
  ['GetSnapshotBlock', error(500, 'InternalServerException')],
  ['GetSnapshotBlock', { type: 'drop', reset: true }],
  ['GetSnapshotBlock', { type: 'data-length', value: 0 }],
  ['ListSnapshotBlocks', error(403, 'ExpiredTokenException')],
  ['ListSnapshotBlocks', error(400, 'ValidationException', 'INVALID_PARAMETER_VALUE')],
  ['ListSnapshotBlocks', { type: 'malformed-json' }],
  ['ListSnapshotBlocks', { type: 'list', contents: 'duplicate' }],
];

async function scene(t: TestContext) {
  const place = await Workplace.for(t, {
    blockSize: BLOCK,
    pageSize: 3,
    credentials: { [accessKeyId]: { secretAccessKey, sessionToken } },
  });
  const { url, secrets } = await recordingProxy(t, place.emulator.url);
  const rules: FaultRule[] = [];
  const snapshots: string[] = [];
  const blocks = randomBlocks([0, 1, 2, 3, 4, 5], [], BLOCK);
  for (const [operation, action] of failures) {
    const snapshotId = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    snapshots.push(snapshotId);
    const where = operation === 'GetSnapshotBlock' ? { block: 4 } : {};
    rules.push({ operation, snapshotId, ...where, action });
  }
  rules.push({ operation: 'PutSnapshotBlock', block: 3, action: error(403, 'AccessDeniedException') });
  place.emulator.setFaults(rules);
  return { place, url, secrets, snapshots, blocks };
}

test('output and journals of all commands contain no secret and no token', needsBuild, async (t) => {
  const { place, url, secrets, snapshots, blocks } = await scene(t);
  writeFileSync(place.path('source.img'), randomBytes(6 * BLOCK));
  const complete = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const lines = [
    ...snapshots.map((snapshotId) => ['download', '--retry-for', '1s', snapshotId, `${snapshotId}.img`]),
    ['download', complete, 'complete.img', '--keep-checkpoint'],
    ['upload', 'source.img', '--workers', '1'],
    ['wait', '--seconds-between-attempts', '0', complete],
  ];
  // Three at a time, each with the most verbose output, as text or JSON.
  const work = lines.entries();
  const worker = async () => {
    for (const [at, args] of work) {
      const flags = at % 2 === 0 ? ['--verbose'] : ['--verbose', '--json'];
      const ended = await place.run(ours, ['--endpoint', url, ...flags, ...args], credentials);
      assertNoSecrets(ended.stdout + ended.stderr, secrets, args.join(' '));
      if (args[0] !== 'download' || args.includes(complete)) continue;
      assert.notEqual(ended.exit, 0, `${args}: ${ended.stderr}`);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  const pending = await place.run(ours, ['--endpoint', url, '--verbose', 'pending'], credentials);
  assert.match(pending.stdout, /^snap-/);
  assertNoSecrets(pending.stdout + pending.stderr, secrets, 'pending');

  assert.ok(secrets.size > 40, `${secrets.size} secrets were recorded`);
  const journals = readdirSync(place.directory).filter((name) => /coldsnap-(progress|upload)$/.test(name));
  assert.ok(
    journals.some((name) => name.startsWith('source.img.us-east-1-')) && journals.length >= 6,
    journals.join(),
  );
  for (const name of journals) {
    assertNoSecrets(readFileSync(place.path(name), 'utf8'), secrets, name);
    assert.equal(statSync(place.path(name)).mode & 0o777, 0o600, name);
  }
});

test("the library's errors contain no secret and no token, including their causes", async (t) => {
  const { place, url, secrets, snapshots } = await scene(t);
  const saved = { ...process.env };
  Object.assign(process.env, credentials);
  t.after(() => {
    process.env = saved;
  });
  for (const transport of ['fast', 'sdk'] as const) {
    for (const snapshotId of snapshots) {
      const target = join(place.directory, `${snapshotId}.img`);
      const options = { snapshotId, target, endpoint: url, region: 'us-east-1', transport, retryForMs: 100 };
      const failure = await downloadSnapshot({ ...options, checkpoint: false }).then(
        () => assert.fail('it succeeded'),
        (error: unknown) => error,
      );
      const text = inspect(failure, { depth: Number.POSITIVE_INFINITY, maxStringLength: null });
      assertNoSecrets(text + JSON.stringify(failure), secrets, `${transport}: ${failure}`);
    }
  }
});
