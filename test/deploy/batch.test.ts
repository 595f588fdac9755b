/** deploy/batch.yaml: when Batch tries again, and the job's command, run as Batch runs it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { needsBuild, project } from '../support/built.ts';
import { bytesAt, firstWrongBlock, GIB } from '../support/service.ts';
import type { Environment } from '../support/workplace.ts';
import { ArrayJob } from './array-job.ts';
import { jobDefinition } from './documents.ts';
import { injections } from './injections.ts';

const { RetryStrategy, ContainerProperties } = jobDefinition;

/** What Batch does after an attempt: the first condition that matches decides, and without one it tries again. */
function afterAttempt(attempt: { exitCode?: number; reason?: string; statusReason?: string }): string {
  const matches = (pattern: string | undefined, value: string | undefined) =>
    pattern === undefined ||
    (value !== undefined &&
      (pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern));
  const decision = RetryStrategy.EvaluateOnExit.find(
    ({ OnExitCode, OnReason, OnStatusReason }) =>
      matches(OnExitCode, attempt.exitCode?.toString()) &&
      matches(OnReason, attempt.reason) &&
      matches(OnStatusReason, attempt.statusReason),
  );
  return decision?.Action ?? 'RETRY';
}

test('Batch tries again after exit code 5 alone', () => {
  const codes = [...exitCodes.map(({ exitCode }) => exitCode), 50, 51, 125, 126, 127, 137, 139];
  const tried = codes.filter(
    (exitCode) => afterAttempt({ exitCode, statusReason: 'Essential container in task exited' }) === 'RETRY',
  );
  assert.deepEqual(tried, [5]);
  assert.equal(afterAttempt({ reason: 'CannotPullContainerError: no such image' }), 'EXIT');
  assert.equal(afterAttempt({ statusReason: 'Task failed to start' }), 'EXIT');
});

test('the image for Batch has no entrypoint, which its command does not replace', () => {
  const file = readFileSync(join(project, 'packaging/Containerfile'), 'utf8');
  const stages = file.split(/^FROM /m).slice(1);
  assert.match(stages[0]!, / AS batch\n/);
  assert.doesNotMatch(stages[0]!, /^ENTRYPOINT/m);
  assert.match(stages.at(-1)!, /^batch\nENTRYPOINT \["\/usr\/bin\/coldsnap"\]/);
  assert.equal(ContainerProperties.Command[0], 'sh');
});

const randomVolume = () => new Map([0, 5, 2047].map((index) => [index, randomBytes(524_288)]));

test('the job definition sets what the command reads', () => {
  const names = ContainerProperties.Environment.map(({ Name }) => Name);
  assert.deepEqual(names, ['AWS_REGION', 'COLDSNAP_MANIFEST', 'STATE_DIRECTORY']);
});

describe('a job', { concurrency: 2, ...needsBuild }, () => {
  test('runs its own line of the manifest, in the directory of the manifest', async (t) => {
    const volumes = [randomVolume(), randomVolume(), randomVolume()];
    const ids: string[] = [];
    const array = await ArrayJob.for(t, async ({ emulator }) => {
      for (const blocks of volumes) ids.push(await emulator.putSnapshot({ volumeSizeGiB: 1, blocks }));
      return ids.map((id, index) => `download  ${id}   disk-${index}.img`);
    });
    const { emulator } = array.place;
    for (const index of [2, 0, 1]) {
      emulator.clearLog();
      const { exit, stderr } = await array.run(index);
      assert.equal(exit, 0, stderr);
      assert.match(stderr, new RegExp(`line ${index + 1} of .*: coldsnap download ${ids[index]}`));
      const image = array.place.path(`efs/disk-${index}.img`);
      assert.equal(await firstWrongBlock(image, volumes[index]!, GIB), undefined);
      assert.deepEqual(
        [...new Set(emulator.requests('GetSnapshotBlock').map(({ snapshotId }) => snapshotId))],
        [ids[index]],
      );
    }
  });

  test('uploads, with tags, and prints the ID alone on stdout', async (t) => {
    const array = await ArrayJob.for(t, async () => ['upload --tag Key=Name,Value=web-1 web-1.img']);
    const image = randomBytes(1_000_000);
    writeFileSync(array.place.path('efs/web-1.img'), image);
    const { exit, stdout, stderr } = await array.run();
    assert.equal(exit, 0, stderr);
    const [, id] = /^(snap-[0-9a-f]+)\n$/.exec(stdout) ?? [];
    assert.equal(array.place.emulator.snapshot(id!)?.status, 'completed');
    assert.ok(bytesAt(await array.place.emulator.readImage(id!), 0, image.length).equals(image));
  });

  test('copies a snapshot, and prints the ID of the copy alone on stdout', async (t) => {
    const blocks = randomVolume();
    const array = await ArrayJob.for(t, async ({ emulator }) => {
      return [`copy --description=nightly ${await emulator.putSnapshot({ volumeSizeGiB: 1, blocks })}`];
    });
    const { exit, stdout, stderr } = await array.run();
    assert.equal(exit, 0, stderr);
    const [, id] = /^(snap-[0-9a-f]+)\n$/.exec(stdout) ?? [];
    const { emulator } = array.place;
    assert.equal(emulator.snapshot(id!)?.status, 'completed');
    const image = await emulator.readImage(id!);
    for (const [index, data] of blocks)
      assert.ok(bytesAt(image, index * data.length, data.length).equals(data));
  });

  test('ends with 5 when the service gave up, and its next attempt resumes', async (t) => {
    const blocks = new Map(Array.from({ length: 40 }, (_, index) => [index, randomBytes(524_288)]));
    const array = await ArrayJob.for(t, async ({ emulator }) => {
      const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      return [`download --retry-for 1s --workers 4 ${id} disk.img`];
    });
    const { emulator } = array.place;
    const error = { type: 'error', status: 500, code: 'InternalServerException' } as const;
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block: [39], action: error }]);
    const first = await array.run();
    assert.equal(first.exit, 5, first.stderr);
    assert.equal(afterAttempt({ exitCode: first.exit }), 'RETRY');

    emulator.setFaults([]);
    emulator.clearLog();
    const second = await array.run();
    assert.equal(second.exit, 0, second.stderr);
    assert.equal(await firstWrongBlock(array.place.path('efs/disk.img'), blocks, GIB), undefined);
    assert.ok(emulator.requests('GetSnapshotBlock').length < 40);
  });

  test('passes a refusal on as exit code 3, after which Batch stops', async (t) => {
    const array = await ArrayJob.for(t, async ({ emulator }) => {
      return [
        `download ${await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomVolume() })} disk.img`,
      ];
    });
    writeFileSync(array.place.path('efs/disk.img'), 'somebody else wrote this');
    assert.equal((await array.run()).exit, 3);
  });

  test('is coldsnap itself, so that a signal reaches it', async (t) => {
    const array = await ArrayJob.for(t, async ({ emulator }) => {
      return [
        `download ${await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomVolume() })} disk.img`,
      ];
    });
    const { emulator } = array.place;
    emulator.setFaults([{ operation: 'GetSnapshotBlock', action: { type: 'stall' } }]);
    const child = array.start();
    const closed = once(child, 'close');
    await emulator.waitForRequest(({ operation }) => operation === 'GetSnapshotBlock');
    child.kill('SIGTERM');
    assert.deepEqual(await closed, [143, null]);
  });

  test('hands verify to coldsnap', async (t) => {
    const array = await ArrayJob.for(t, async () => ['verify snap-0123456789abcdef0 disk.img']);
    const { stderr } = await array.run();
    assert.match(stderr, /line 1 of .*: coldsnap verify snap-0123456789abcdef0 disk.img\n/);
  });
});

/** Runs the job on a manifest that it must refuse before it starts coldsnap. */
async function assertRefused(array: ArrayJob, message: RegExp, env: Environment = {}): Promise<void> {
  const before = readdirSync(array.place.path('efs'));
  const { exit, stdout, stderr } = await array.run(0, env);
  assert.equal(exit, 2, stderr);
  assert.match(stderr, /^coldsnap job: .*\n$/);
  assert.match(stderr, message);
  assert.equal(stdout, '');
  assert.deepEqual(readdirSync(array.place.path('efs')), before);
  assert.deepEqual(readdirSync(array.place.directory), ['efs']);
  assert.equal(array.place.emulator.log.length, 0);
}

describe('a job refuses', { concurrency: 2 }, () => {
  test('a line in which anything could be expanded or evaluated', async (t) => {
    const array = await ArrayJob.for(t, async () => []);
    const harmless = ['\ntouch injected\n', '--endpoint http://127.0.0.1:1', '../../etc/passwd'];
    for (const attempt of injections.filter((value) => !harmless.includes(value))) {
      writeFileSync(array.manifest, `download snap-0123456789abcdef0 disk.img${attempt}\n`);
      await assertRefused(array, /only letters, digits, blanks and/);
    }
  });

  for (const line of [
    '',
    ' ',
    'touch injected',
    'sh -c true',
    'emulator',
    'pending --delete',
    '--region us-east-1 download',
    'downloads a b',
    'wait snap-0123456789abcdef0',
    '-',
  ]) {
    test(`the line ${JSON.stringify(line)}: it begins with no command that a job may run`, async (t) => {
      await assertRefused(
        await ArrayJob.for(t, async () => [line]),
        /does not begin with copy, download, upload or verify/,
      );
    });
  }

  for (const line of ['download snap-0123456789abcdef0 -', 'upload --volume-size 1 -']) {
    test(`the line "${line}": there is no pipe`, async (t) => {
      await assertRefused(await ArrayJob.for(t, async () => [line]), /no stdin or stdout/);
    });
  }

  test('a manifest that has not one line a job', async (t) => {
    const line = 'download snap-0123456789abcdef0 disk.img';
    const array = await ArrayJob.for(t, async () => [line, line, line]);
    await assertRefused(array, /has 3 lines, but the job's array size is 2/, {
      AWS_BATCH_JOB_ARRAY_SIZE: '2',
    });
    await assertRefused(array, /has 3 lines, but the job's array size is 1/, {
      AWS_BATCH_JOB_ARRAY_INDEX: undefined,
      AWS_BATCH_JOB_ARRAY_SIZE: undefined,
    });
  });

  test('a manifest that is not there or empty, and an index that is no number', async (t) => {
    const array = await ArrayJob.for(t, async () => ['download snap-0123456789abcdef0 disk.img']);
    await assertRefused(array, /no such file/, { COLDSNAP_MANIFEST: array.place.path('efs/other') });
    await assertRefused(array, /must be numbers/, { AWS_BATCH_JOB_ARRAY_INDEX: 'a[$(touch injected)]' });
    writeFileSync(array.manifest, '');
    await assertRefused(array, /is empty/);
  });
});

test('the last line of a manifest may lack its newline', needsBuild, async (t) => {
  const array = await ArrayJob.for(t, async () => ['download snap-0123456789abcdef0 disk.img']);
  writeFileSync(array.manifest, 'download snap-0123456789abcdef0 disk.img');
  assert.match((await array.run()).stderr, /line 1 of/);
});
