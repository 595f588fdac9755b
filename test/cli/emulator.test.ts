import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startEmulator } from '../../src/emulator/index.ts';
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
    assert.deepEqual(world.signals.eventNames(), []);
    assert.equal(world.clock.running, 0);
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
      const { run } = await import('../../src/cli/run.ts');
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
