import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CreateTagsCommand,
  DeleteSnapshotCommand,
  DescribeSnapshotsCommand,
  type DescribeSnapshotsCommandInput,
  type DescribeSnapshotsCommandOutput,
  type EC2Client,
} from '@aws-sdk/client-ec2';
import { list, put, randomBlock, refusal, run, start, testClock } from './client.ts';
import { raw, signed } from './raw.ts';

const empty = { volumeSizeGiB: 1, blocks: {} };

async function ids(client: EC2Client, input: DescribeSnapshotsCommandInput): Promise<string[]> {
  const { Snapshots } = await client.send(new DescribeSnapshotsCommand(input));
  return Snapshots!.map(({ SnapshotId }) => SnapshotId!);
}

test('DescribeSnapshots returns all properties of a snapshot', async (t) => {
  const clock = testClock(Date.UTC(2026, 5, 1));
  const { emulator, ec2 } = await run(t, { now: clock.now });
  const id = await emulator.putSnapshot({
    volumeSizeGiB: 7,
    blocks: {},
    encrypted: true,
    description: `<&'"> ünï`,
    tags: { Name: 'a & b' },
  });
  const { Snapshots } = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }));
  assert.deepEqual(Snapshots, [
    {
      SnapshotId: id,
      VolumeId: 'vol-ffffffff',
      State: 'completed',
      StartTime: new Date(clock.now()),
      Progress: '100%',
      OwnerId: '111122223333',
      VolumeSize: 7,
      Description: `<&'"> ünï`,
      Encrypted: true,
      KmsKeyId: emulator.snapshot(id)?.kmsKeyArn,
      Tags: [{ Key: 'Name', Value: 'a & b' }],
      StorageTier: 'standard',
    },
  ]);
});

test('DescribeSnapshots selects by ID, owner and filters', async (t) => {
  const { emulator, ebs, ec2 } = await run(t);
  const one = await emulator.putSnapshot({ ...empty, tags: { Name: 'one', App: 'x' } });
  const two = await emulator.putSnapshot({ ...empty, volumeSizeGiB: 2, tags: { Name: 'two' } });
  const pending = await start(ebs);
  const filter = (Name: string, ...Values: string[]) =>
    ids(ec2, { Filters: [{ Name, Values }] }).then((x) => x.sort());
  assert.deepEqual((await ids(ec2, {})).sort(), [one, two, pending].sort());
  assert.deepEqual(await ids(ec2, { SnapshotIds: [two, one] }), [two, one]);
  assert.equal((await ids(ec2, { OwnerIds: ['self'] })).length, 3);
  assert.equal((await ids(ec2, { OwnerIds: ['111122223333'] })).length, 3);
  assert.equal((await ids(ec2, { OwnerIds: ['amazon', '999988887777'] })).length, 0);
  assert.deepEqual(await filter('status', 'pending'), [pending]);
  assert.deepEqual(await filter('tag:Name', 'one'), [one]);
  assert.deepEqual(await filter('tag:Name', 't*', 'o?e'), [one, two].sort());
  assert.deepEqual(await filter('tag-key', 'App'), [one]);
  assert.deepEqual(await filter('snapshot-id', two, 'snap-0'), [two]);
  assert.deepEqual(await filter('volume-size', '2'), [two]);
  const both = [
    { Name: 'tag-key', Values: ['Name'] },
    { Name: 'volume-size', Values: ['1'] },
  ];
  assert.deepEqual(await ids(ec2, { Filters: both }), [one]);
  await assert.rejects(filter('colour', 'red'), refusal('InvalidParameterValue', undefined, 400));
});

test('DescribeSnapshots returns pages', async (t) => {
  const { emulator, ec2 } = await run(t);
  const all: string[] = [];
  for (let n = 0; n < 12; n++) all.push(await emulator.putSnapshot(empty));
  const seen: string[] = [];
  const lengths: number[] = [];
  let NextToken: string | undefined;
  do {
    const page: DescribeSnapshotsCommandOutput = await ec2.send(
      new DescribeSnapshotsCommand({ MaxResults: 5, ...(NextToken ? { NextToken } : {}) }),
    );
    seen.push(...page.Snapshots!.map(({ SnapshotId }) => SnapshotId!));
    lengths.push(page.Snapshots!.length);
    NextToken = page.NextToken;
  } while (NextToken);
  assert.deepEqual(lengths, [5, 5, 2]);
  assert.deepEqual(seen.sort(), all.sort());
  await assert.rejects(ids(ec2, { NextToken: 'x' }), refusal('InvalidParameterValue'));
  await assert.rejects(ids(ec2, { MaxResults: 4 }), refusal('InvalidParameterValue'));
  await assert.rejects(ids(ec2, { MaxResults: 5, SnapshotIds: all }), refusal('InvalidParameterCombination'));
});

test('a missing or not yet visible snapshot is InvalidSnapshot.NotFound, a malformed ID InvalidSnapshotID.Malformed', async (t) => {
  const clock = testClock();
  const { ebs, ec2 } = await run(t, { now: clock.now, notVisibleMs: 1000 });
  const notFound = refusal('InvalidSnapshot.NotFound', undefined, 400);
  const malformed = refusal('InvalidSnapshotID.Malformed', undefined, 400);
  const id = await start(ebs);
  await assert.rejects(ids(ec2, { SnapshotIds: [id] }), notFound);
  assert.deepEqual(await ids(ec2, {}), []);
  clock.move(1000);
  assert.deepEqual(await ids(ec2, { SnapshotIds: [id] }), [id]);
  await assert.rejects(ids(ec2, { SnapshotIds: [id, 'snap-0'] }), notFound);
  await assert.rejects(ids(ec2, { SnapshotIds: ['vol-1'] }), malformed);
  await assert.rejects(ec2.send(new DeleteSnapshotCommand({ SnapshotId: 'snap-0' })), notFound);
  await assert.rejects(ec2.send(new DeleteSnapshotCommand({ SnapshotId: 'snap-xyz' })), malformed);
  const tags = { Resources: ['snap-0'], Tags: [{ Key: 'a', Value: 'b' }] };
  await assert.rejects(ec2.send(new CreateTagsCommand(tags)), notFound);
});

test('DeleteSnapshot deletes completed and pending snapshots', async (t) => {
  const { emulator, ebs, ec2 } = await run(t);
  const completed = await emulator.putSnapshot(empty);
  const pending = await start(ebs, { ClientToken: 'token' });
  for (const SnapshotId of [completed, pending]) {
    await ec2.send(new DeleteSnapshotCommand({ SnapshotId }));
    assert.equal(emulator.snapshot(SnapshotId), undefined);
  }
  await assert.rejects(list(ebs, completed), refusal('ResourceNotFoundException'));
  await assert.rejects(put(ebs, pending, 0, randomBlock()), refusal('ResourceNotFoundException'));
  assert.notEqual(await start(ebs, { ClientToken: 'token' }), pending);
});

test('CreateTags adds and replaces tags within the limits', async (t) => {
  const { emulator, ec2 } = await run(t);
  const one = await emulator.putSnapshot({ ...empty, tags: { a: '1', b: '2' } });
  const two = await emulator.putSnapshot(empty);
  const tag = (...Tags: { Key: string; Value: string }[]) =>
    ec2.send(new CreateTagsCommand({ Resources: [one, two], Tags }));
  await tag({ Key: 'b', Value: '3' }, { Key: 'c', Value: '' });
  assert.deepEqual(emulator.snapshot(one)?.tags, { a: '1', b: '3', c: '' });
  assert.deepEqual(emulator.snapshot(two)?.tags, { b: '3', c: '' });
  const many = Array.from({ length: 48 }, (_, n) => ({ Key: `k${n}`, Value: '' }));
  await assert.rejects(tag(...many), refusal('TagLimitExceeded'));
  await assert.rejects(tag({ Key: 'aws:x', Value: '' }), refusal('InvalidParameterValue'));
  await assert.rejects(tag(), refusal('MissingParameter'));
  assert.deepEqual(emulator.snapshot(two)?.tags, { b: '3', c: '' });
});

test('DryRun changes nothing, and unknown actions are rejected in XML', async (t) => {
  const { emulator, ec2 } = await run(t);
  const id = await emulator.putSnapshot(empty);
  const dry = ec2.send(new DeleteSnapshotCommand({ SnapshotId: id, DryRun: true }));
  await assert.rejects(dry, refusal('DryRunOperation', undefined, 412));
  assert.ok(emulator.snapshot(id));
  for (const body of [
    'Action=RunInstances&Version=2016-11-15',
    'Action=DescribeSnapshots&Version=2006-01-01',
    '',
  ]) {
    const headers = { ...signed('ec2'), 'Content-Type': 'application/x-www-form-urlencoded' };
    const reply = await raw(emulator.url, { method: 'POST', path: '/', headers, body });
    assert.equal(reply.status, 400);
    assert.match(
      reply.body.toString(),
      /^<\?xml [^>]+>\s*<Response><Errors><Error><Code>InvalidAction<\/Code><Message>[^<]+<\/Message><\/Error><\/Errors><RequestID>[^<]+<\/RequestID><\/Response>$/,
    );
  }
});
