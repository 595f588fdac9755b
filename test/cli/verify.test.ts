import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VerifyOptions } from '../../src/index.ts';
import { makeWorld, verifyResult, withoutHooks } from './support.ts';

const differing = {
  ...verifyResult,
  equal: false,
  differences: [
    { start: 0, end: 524_288 },
    { start: 1_048_576, end: 2_097_152 },
  ],
  differencesTotal: 2,
};

test('prints one line when nothing differs, and passes the options', async () => {
  let given: VerifyOptions | undefined;
  const world = makeWorld({
    verifySnapshot: async (options) => {
      given = options;
      return verifyResult;
    },
  });
  assert.equal(await world.run('verify --workers 8 --rate 2M snap-1 disk.img'), 0);
  assert.deepEqual(world.stdout.lines, ['disk.img equals snap-1: 1073741824 bytes compared']);
  assert.match(world.stderr.text, /compared disk\.img with snap-1: 1\.0 GiB .* no difference/);
  assert.deepEqual(withoutHooks(given), {
    snapshotId: 'snap-1',
    target: 'disk.img',
    workers: 8,
    bytesPerSecond: 2 * 2 ** 20,
  });
});

test('says what a comparison of a part compared', async () => {
  const world = makeWorld();
  assert.equal(await world.run('verify --sample 2.5 --skip-unlisted snap-1 -'), 0);
  assert.deepEqual(world.stdout.lines, [
    'stdin equals snap-1: 1073741824 bytes compared, a sample of 2.5 %, only what the snapshot lists',
  ]);
});

test('says what a comparison of a part compared, also where it differs', async () => {
  const world = makeWorld({ verifySnapshot: async () => differing });
  assert.equal(await world.run('verify --sample 2.5 --skip-unlisted snap-1 disk.img'), 6);
  assert.match(
    world.stderr.text,
    /^coldsnap: disk\.img differs from snap-1: 2 differing ranges in a sample of 2\.5 %, only what the snapshot lists$/m,
  );
});

test('prints each differing range and exits with 6', async () => {
  const world = makeWorld({ verifySnapshot: async () => differing });
  assert.equal(await world.run('verify snap-1 disk.img'), 6);
  assert.deepEqual(world.stdout.lines, ['0-524288', '1048576-2097152']);
  assert.match(world.stderr.text, /^coldsnap: disk\.img differs from snap-1: 2 differing ranges$/m);
  assert.doesNotMatch(world.stderr.text, /encrypted/);
});

test('prints a count after the first 1,000 ranges', async () => {
  const differences = Array.from({ length: 1_000 }, (_, at) => ({ start: at * 1024, end: at * 1024 + 512 }));
  const result = { ...differing, differences, differencesTotal: 3_001 };
  const world = makeWorld({ verifySnapshot: async () => result });
  assert.equal(await world.run('verify snap-1 disk.img'), 6);
  assert.equal(world.stdout.lines.length, 1_001);
  assert.equal(world.stdout.lines.at(-1), 'and 2,001 more ranges');
});

test('hints at encryption when a difference is where the snapshot lists nothing', async () => {
  const world = makeWorld({ verifySnapshot: async () => ({ ...differing, differsUnlisted: true }) });
  assert.equal(await world.run('verify snap-1 disk.img'), 6);
  assert.match(world.stderr.text, /made from an encrypted snapshot.*--skip-unlisted/);
});

test('--json prints one document, also when the image differs', async () => {
  for (const [result, exit] of [
    [verifyResult, 0],
    [differing, 6],
  ] as const) {
    const world = makeWorld({ verifySnapshot: async () => result });
    assert.equal(await world.run('--json verify snap-1 disk.img'), exit);
    assert.equal(world.stdout.lines.length, 1);
    const { operation, path, snapshotId, equal, volumeSize, bytesCompared, differences, differencesTotal } =
      JSON.parse(world.stdout.text);
    assert.deepEqual(
      { operation, path, snapshotId, equal, volumeSize, bytesCompared, differences, differencesTotal },
      {
        operation: 'verify',
        path: 'disk.img',
        snapshotId: 'snap-1',
        equal: result.equal,
        volumeSize: 2 ** 30,
        bytesCompared: 2 ** 30,
        differences: result.differences,
        differencesTotal: result.differencesTotal,
      },
    );
    const last = JSON.parse(world.stderr.lines.at(-1) ?? '');
    assert.deepEqual([last.type, last.code], exit === 0 ? ['done', undefined] : ['error', 'IMAGE_DIFFERS']);
  }
});
