import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
import type { TransferEvent } from '../../src/transfer/events.ts';
import { downloadResult, makeWorld, startEvent, uploadResult } from './support.ts';

const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test('a download prints the digest on stdout as sha256sum does, also with --quiet', async () => {
  for (const quiet of ['', '--quiet ']) {
    const world = makeWorld({ downloadSnapshot: async () => ({ ...downloadResult, sha256 }) });
    assert.equal(await world.run(`download ${quiet}--sha256 snap-1 disk.img`), 0, world.stderr.text);
    assert.equal(world.stdout.text, `${sha256}  disk.img\n`);
  }
});

test('the digest of a name with a newline or a backslash is escaped as sha256sum does', async () => {
  const world = makeWorld({ downloadSnapshot: async () => ({ ...downloadResult, sha256 }) });
  assert.equal(await world.run(['download', '--sha256', 'snap-1', 'a\n\\b.img']), 0, world.stderr.text);
  assert.equal(world.stdout.text, `\\${sha256}  a\\n\\\\b.img\n`);
});

test('a download to several targets prints the digest of each that is whole', async () => {
  const error = new ColdsnapError('local', 'ENOSPC', 'no space');
  for (const failed of [[], [{ path: 'c.img', ok: false, error }]]) {
    const targets = [{ path: 'a.img', ok: true, sha256 }, { path: 'b.img', ok: true, sha256 }, ...failed];
    const world = makeWorld({
      downloadToTargets: async ({ onEvent }) => {
        onEvent?.({ ...startEvent, targets: targets.map(({ path }) => path) } as TransferEvent);
        return { ...downloadResult, targets };
      },
    });
    const names = targets.map(({ path }) => path).join(' ');
    assert.equal(await world.run(`download -q --sha256 snap-1 ${names}`), failed.length, world.stderr.text);
    assert.equal(world.stdout.text, `${sha256}  a.img\n${sha256}  b.img\n`);
  }
});

test('with --json the document has the digest, and nothing else is on stdout', async () => {
  const world = makeWorld({ downloadSnapshot: async () => ({ ...downloadResult, sha256 }) });
  assert.equal(await world.run('download --json --sha256 snap-1 disk.img'), 0, world.stderr.text);
  assert.equal(JSON.parse(world.stdout.text).sha256, sha256);
});

test('an upload prints the ID alone on stdout, and the digest on stderr also with --quiet', async () => {
  const world = makeWorld({ uploadSnapshot: async () => ({ ...uploadResult, sha256 }) });
  assert.equal(await world.run('upload --quiet --sha256 disk.img'), 0, world.stderr.text);
  assert.equal(world.stdout.text, 'snap-new\n');
  assert.equal(world.stderr.text, `${sha256}  disk.img\n`);
});
