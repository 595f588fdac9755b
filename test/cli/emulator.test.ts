import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { run } from '../../src/cli/run.ts';
import { startEmulator } from '../../src/emulator/index.ts';
import { tlsCertificate, tlsKey } from '../emulator/tls.ts';
import { makeWorld, type World } from './support.ts';

const temporary = mkdtempSync(join(tmpdir(), 'coldsnap-emulator-command-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

/** Runs the command until it has printed its URL, then stops it with a signal. */
async function runAndStop(world: World, line: string): Promise<number> {
  const running = world.run(line);
  while (world.stdout.text === '') await new Promise(setImmediate);
  await new Promise(setImmediate);
  world.signals.emit('SIGINT');
  return running;
}

describe('coldsnap emulator', () => {
  test('prints its URL on stdout and a guide on stderr, and exits with 0 on a signal', async () => {
    const world = makeWorld();
    assert.equal(await runAndStop(world, 'emulator'), 0);
    assert.equal(world.stdout.text, 'http://127.0.0.1:4590\n');
    assert.match(world.stderr.text, /AWS_SECRET_ACCESS_KEY=test/);
    assert.match(world.stderr.text, /coldsnap --endpoint http:\/\/127\.0\.0\.1:4590 upload disk\.img/);
    assert.match(world.stderr.text, /deleted on exit/);
    assert.deepEqual(world.emulators, [{}]);
    assert.equal(world.clock.running, 0);
  });

  test('ends in order when timeout sends its signal twice', async () => {
    const world = makeWorld();
    const running = runAndStop(world, 'emulator');
    await new Promise(setImmediate);
    assert.ok(world.signals.emit('SIGINT'), 'without a listener it would end the process');
    assert.equal(await running, 0);
    assert.deepEqual(world.exits, []);
  });

  test('prints only its URL with --quiet', async () => {
    const world = makeWorld();
    assert.equal(await runAndStop(world, '--quiet emulator'), 0);
    assert.equal(world.stderr.text, '');
  });

  test('passes its options to the emulator', async () => {
    const rules = [{ operation: 'GetSnapshotBlock', nth: 3, action: { type: 'drop' } }];
    const faults = join(temporary, 'faults.json');
    writeFileSync(faults, JSON.stringify(rules));
    const world = makeWorld();
    assert.equal(
      await runAndStop(world, `emulator --port 4590 --host ::1 --data ${temporary}/d --faults ${faults}`),
      0,
    );
    assert.deepEqual(world.emulators, [
      { port: 4590, host: '::1', dataDirectory: `${temporary}/d`, faults: rules },
    ]);
    assert.match(world.stderr.text, /kept in .*\/d\./);
  });

  test('passes quota, delay, region, TLS and credentials to the emulator', async () => {
    const files = { cert: tlsCertificate, key: tlsKey, keys: '{"AKID": {"secretAccessKey": "s"}}' };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(temporary, name), text);
    const world = makeWorld();
    const tls = `--tls-cert ${temporary}/cert --tls-key ${temporary}/key --credentials ${temporary}/keys`;
    const rest = '--requests-per-second 7 --delay 0.25s --region eu-west-1';
    assert.equal(await runAndStop(world, `emulator ${tls} ${rest}`), 0);
    assert.deepEqual(world.emulators, [
      {
        region: 'eu-west-1',
        credentials: { AKID: { secretAccessKey: 's' } },
        tls: { cert: tlsCertificate, key: tlsKey },
        quotas: { getPerSecond: 7, putPerSecond: 7, listPerSecond: 7, startPerSecond: 7 },
        delayMs: 250,
      },
    ]);
    assert.match(world.stderr.text, /one of the configured credentials and region eu-west-1/);
  });

  test('rejects bad files and values before it starts', async () => {
    const bad = join(temporary, 'bad-keys.json');
    writeFileSync(bad, '{"AKID": secret-text}');
    for (const [line, message] of [
      ['--tls-cert a.pem', /--tls-cert and --tls-key must be given together/],
      ['--tls-key a.pem', /--tls-cert and --tls-key must be given together/],
      [`--tls-cert ${temporary}/none --tls-key ${temporary}/none`, /none does not exist/],
      [`--credentials ${temporary}/none`, /none does not exist/],
      [`--credentials ${bad}`, /bad-keys\.json is not JSON\n/],
      ['--requests-per-second 0', /whole number from 1/],
      ['--delay soon', /is not a time/],
    ] as const) {
      const world = makeWorld();
      assert.equal(await world.run(`emulator ${line}`), 2, line);
      assert.match(world.stderr.text, message);
      assert.doesNotMatch(world.stderr.text, /secret-text/);
      assert.deepEqual(world.emulators, []);
    }
  });

  test('logs requests on stderr, as text or with --json as JSON, without secrets', async () => {
    for (const json of [false, true]) {
      const world = makeWorld();
      const running = run(['emulator', '--quiet', '--log-requests', ...(json ? ['--json'] : [])], {
        ...world.io,
        startEmulator,
      });
      while (world.stdout.text === '') await new Promise(setImmediate);
      const url = world.stdout.text.trim();
      await fetch(`${url}/snapshots/snap-0%0a/blocks/7?blockToken=SECRET`);
      await fetch(`${url}/other?pageToken=SECRET`);
      while (world.stderr.lines.length < 2) await new Promise(setImmediate);
      world.signals.emit('SIGINT');
      assert.equal(await running, 0);
      assert.doesNotMatch(world.stderr.text, /SECRET/);
      const [first, second] = world.stderr.lines;
      if (json) {
        const { type, operation, blockIndex, status } = JSON.parse(first!);
        assert.deepEqual([type, operation, blockIndex, status], ['request', 'GetSnapshotBlock', 7, 403]);
      } else {
        const time = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`;
        const error = 'MissingAuthenticationTokenException';
        assert.match(first!, new RegExp(`^${time} 1 GetSnapshotBlock snap-0\\? block 7 403 ${error}$`));
        assert.match(second!, new RegExp(`^${time} 2 Unknown GET /other\\?\\[redacted\\] 403 ${error}$`));
      }
    }
  });

  test('exits with 3 if another emulator uses the data directory', async () => {
    const dataDirectory = join(temporary, 'in-use');
    const emulator = await startEmulator({ dataDirectory });
    try {
      const world = makeWorld();
      assert.equal(await run(['emulator', '--data', dataDirectory], { ...world.io, startEmulator }), 3);
      assert.match(
        world.stderr.text,
        /^coldsnap: the data directory .*\/in-use is in use by another emulator\n.*choose another/,
      );
    } finally {
      await emulator.close();
    }
  });

  test('names a damaged file of the data directory, and the remedy', async () => {
    const dataDirectory = join(temporary, 'damaged');
    mkdirSync(join(dataDirectory, 'snap-1'), { recursive: true });
    writeFileSync(join(dataDirectory, 'snap-1', 'metadata.json'), '');
    const world = makeWorld();
    assert.equal(await run(['emulator', '--data', dataDirectory], { ...world.io, startEmulator }), 1);
    assert.match(
      world.stderr.text,
      /^coldsnap: \S+\/snap-1\/metadata\.json is damaged\n {2}Delete \S+\/snap-1, or choose another data directory\.\n$/,
    );
  });

  test('rejects a host that is no address of this machine', async () => {
    for (const host of ['192.0.2.1', 'a..b']) {
      const world = makeWorld();
      assert.equal(await run(['emulator', '--host', host], { ...world.io, startEmulator }), 2);
      assert.equal(world.stderr.text, `coldsnap: --host: ${host} is not an address of this machine\n`);
    }
  });

  test('rejects a file without fault rules', async () => {
    const file = join(temporary, 'bad.json');
    for (const [text, message] of [
      ['{', /bad\.json is not JSON/],
      ['{}', /bad\.json is not an array of fault rules\n.*"action"/],
      ['[null]', /not an array of fault rules/],
      ['[{"operation": "GetSnapshotBlock"}]', /not an array of fault rules/],
    ] as const) {
      writeFileSync(file, text);
      const world = makeWorld();
      assert.equal(await world.run(`emulator --faults ${file}`), 2);
      assert.match(world.stderr.text, message);
      assert.deepEqual(world.emulators, []);
    }
    const world = makeWorld();
    assert.equal(await world.run(`emulator --faults ${temporary}/none.json`), 2);
    assert.match(world.stderr.text, /none\.json does not exist/);
  });

  test('serves requests, and reports a port that is in use', async () => {
    const emulator = await startEmulator({});
    try {
      const world = makeWorld();
      const io = { ...world.io, startEmulator };
      assert.equal(await run(['emulator', '--port', String(emulator.port)], io), 1);
      assert.match(
        world.stderr.text,
        /^coldsnap: cannot listen on 127\.0\.0\.1:\d+: address already in use\n.*--port/,
      );

      const running = run(['--quiet', 'emulator'], io);
      while (world.stdout.text === '') await new Promise(setImmediate);
      const response = await fetch(world.stdout.text.trim());
      assert.ok(response.status >= 400 && response.headers.get('x-amzn-requestid'));
      world.signals.emit('SIGTERM');
      assert.equal(await running, 0);
    } finally {
      await emulator.close();
    }
  });
});
