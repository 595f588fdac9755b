import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ColdsnapError, type CopyOptions } from '../../src/index.ts';
import { copyResult, makeWorld, withoutHooks } from './support.ts';

test('copy prints the ID of the copy, and passes the options of both sides', async () => {
  const given: CopyOptions[] = [];
  const world = makeWorld({
    copySnapshot: async (options) => {
      given.push(options);
      return copyResult;
    },
  });
  const line =
    '--region us-east-1 --endpoint http://127.0.0.1:1 copy --to-region eu-west-1 --to-profile backup ' +
    '--to-endpoint http://127.0.0.1:2 --to-ebs-endpoint http://127.0.0.1:3 --to-ec2-endpoint http://127.0.0.1:4 ' +
    '--description web --tag a=1 --copy-tags --kms-key-id alias/x --encrypted --skip-unlisted --workers 8 --rate 2M ' +
    '--checkpoint-file j --wait --timeout 5m snap-1';
  assert.equal(await world.run(line), 0, world.stderr.text);
  assert.deepEqual(world.stdout.lines, ['snap-new']);
  assert.deepEqual(given.map(withoutHooks), [
    {
      region: 'us-east-1',
      endpoint: 'http://127.0.0.1:1',
      to: {
        region: 'eu-west-1',
        profile: 'backup',
        endpoint: 'http://127.0.0.1:2',
        ebsEndpoint: 'http://127.0.0.1:3',
        ec2Endpoint: 'http://127.0.0.1:4',
      },
      snapshotId: 'snap-1',
      description: 'web',
      tags: [{ key: 'a', value: '1' }],
      copyTags: true,
      kmsKeyId: 'alias/x',
      encrypted: true,
      skipUnlisted: true,
      workers: 8,
      bytesPerSecond: 2 * 2 ** 20,
      checkpointFile: 'j',
      wait: { timeoutMs: 300_000 },
    },
  ]);
});

test('copy passes a base and its copy', async () => {
  let given: CopyOptions | undefined;
  const world = makeWorld({
    copySnapshot: async (options) => {
      given = options;
      return copyResult;
    },
  });
  assert.equal(await world.run('copy --to-region b --since snap-0 --parent-snapshot-id snap-a snap-1'), 0);
  assert.deepEqual(withoutHooks(given), {
    to: { region: 'b' },
    since: 'snap-0',
    parentSnapshotId: 'snap-a',
    snapshotId: 'snap-1',
  });
});

test('the summary of a copy says what happened to blocks that the source does not list', async () => {
  const result = {
    ...copyResult,
    zerosSent: 3,
    bytesTransferred: 5 * 524_288,
    bytesSkipped: 4 * 524_288,
    bytesResumed: 524_288,
    throttles: 1,
  };
  const world = makeWorld({ copySnapshot: async () => result });
  assert.equal(await world.run('copy --to-region b snap-1'), 0);
  assert.match(
    world.stderr.text,
    /^copied snap-1 \(us-east-1\) to snap-new \(eu-west-1\): 1\.0 GiB \(\d+ bytes\) in .*, 2\.5 MiB sent at .*, 1\.5 MiB of it zeros that the source does not list, 2\.0 MiB not listed or unchanged, 512\.0 KiB already done, 3 retries, 1 throttle$/m,
  );
});

test('copy --json prints one document', async () => {
  const world = makeWorld();
  assert.equal(await world.run('--json copy --to-region b snap-1'), 0);
  const document = JSON.parse(world.stdout.text);
  assert.equal(document.operation, 'copy');
  assert.deepEqual(document.source, { snapshotId: 'snap-1', region: 'us-east-1' });
  assert.deepEqual(
    [document.snapshotId, document.region, document.blocksSkipped, document.zerosSent],
    ['snap-new', 'eu-west-1', 0, 0],
  );
});

test('when waiting for a copy fails, the ID is printed, and the command to repeat waits at the destination', async () => {
  const world = makeWorld({
    copySnapshot: async ({ onEvent }) => {
      onEvent?.({ type: 'snapshot', snapshotId: 'snap-new' });
      onEvent?.({ type: 'phase', phase: 'waiting' });
      throw new ColdsnapError('gave-up', 'WAIT_TIMED_OUT', 'snap-new is in state "pending" after 5 min');
    },
  });
  const line =
    '--endpoint http://127.0.0.1:1 --retry-for 90s copy --to-region eu-west-1 --to-profile backup --wait --timeout 5m snap-1';
  assert.equal(await world.run(line), 5);
  assert.deepEqual(world.stdout.lines, ['snap-new']);
  assert.match(
    world.stderr.text,
    /Run it again: coldsnap wait --region eu-west-1 --profile backup --retry-for 90s --timeout 300s snap-new$/m,
  );
});

test('copy --dry-run prints the plan and copies nothing', async () => {
  const calls: object[] = [];
  const world = makeWorld({
    copySnapshot: () => assert.fail('it copied'),
    estimateCopy: async (options) => {
      calls.push(withoutHooks(options));
      return {
        dryRun: true,
        operation: 'copy',
        source: { snapshotId: 'snap-1', region: 'us-east-1' },
        region: 'eu-west-1',
        volumeSize: 2 ** 30,
        blocks: 2,
        bytes: 2 ** 20,
        requests: 7,
        dollars: 0.000_018_6,
        seconds: 0.002,
        bytesResumed: 0,
      };
    },
  });
  assert.equal(await world.run('copy -n --to-region eu-west-1 snap-1'), 0, world.stderr.text);
  assert.deepEqual(calls, [{ snapshotId: 'snap-1', to: { region: 'eu-west-1' } }]);
  assert.deepEqual(world.stdout.lines, [
    'copy     snap-1 (us-east-1) to a new snapshot (eu-west-1)',
    'volume   1.0 GiB (1073741824 bytes)',
    'to send  1.0 MiB (1048576 bytes) in 2 blocks',
    'cost     7 requests, less than $0.0001, at least 0.0 s',
  ]);
});

test('the start of a copy names both sides', async () => {
  const world = makeWorld({
    copySnapshot: async ({ onEvent }) => {
      onEvent?.({
        type: 'start',
        operation: 'copy',
        source: { snapshotId: 'snap-1', region: 'us-east-1' },
        snapshotId: 'snap-new',
        region: 'eu-west-1',
        volumeSize: 2 ** 30,
        blockSize: 524_288,
        bytesResumed: 2 ** 20,
      });
      return copyResult;
    },
  });
  await world.run('copy --progress plain --to-region b snap-1');
  assert.match(
    world.stderr.text,
    /copying snap-1 \(us-east-1\) to snap-new \(eu-west-1\): 1\.0 GiB in blocks of 512\.0 KiB, resuming, 1\.0 MiB already done/,
  );
});
