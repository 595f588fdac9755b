/** Names of Object's members are ordinary names in everything that the emulator parses. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateTagsCommand, DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import { parseFaults, startEmulator } from '../../src/emulator/index.ts';
import { ebsClient, randomBlock, refusal, run, start } from './client.ts';
import { errorOf, raw, signed } from './raw.ts';

const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__'];
const actionNames = { type: 'error', status: 500, code: 'InternalServerException' };

test('as snapshot IDs', async (t) => {
  const { emulator, ec2 } = await run(t);
  for (const name of names) {
    const requests = [
      ['GET', `/snapshots/${name}/blocks`],
      ['GET', `/snapshots/${name}/changedblocks?firstSnapshotId=${name}`],
      ['GET', `/snapshots/${name}/blocks/0?blockToken=AAAA`],
      ['PUT', `/snapshots/${name}/blocks/0`],
      ['POST', `/snapshots/completion/${name}`],
    ] as const;
    for (const [method, path] of requests) {
      const reply = await raw(emulator.url, { method, path });
      assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_SNAPSHOT_ID'], path);
    }
    const body = JSON.stringify({ VolumeSize: 1, ParentSnapshotId: name });
    const child = await raw(emulator.url, { method: 'POST', path: '/snapshots', body });
    assert.deepEqual(errorOf(child), [400, 'ValidationException', 'INVALID_SNAPSHOT_ID'], name);
    await assert.rejects(
      ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [name] })),
      refusal('InvalidSnapshotID.Malformed'),
    );
    assert.equal(emulator.snapshot(name), undefined);
    emulator.deleteSnapshot(name);
  }
});

test('as directories with foreign metadata', async (t) => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'emulator-test-'));
  t.after(() => rm(dataDirectory, { recursive: true, force: true }));
  for (const name of names) {
    await mkdir(join(dataDirectory, name));
    await writeFile(join(dataDirectory, name, 'metadata.json'), JSON.stringify({ version: 1, id: name }));
    await assert.rejects(startEmulator({ dataDirectory }), /was not written by this emulator/);
    await rm(join(dataDirectory, name), { recursive: true });
  }
});

test('as EC2 actions, paths and query parameters', async (t) => {
  const { emulator } = await run(t);
  for (const name of names) {
    const body = `Action=${name}&Version=2016-11-15&${name}=1&SnapshotId.${name}=1`;
    const reply = await raw(emulator.url, { method: 'POST', path: '/', headers: signed('ec2'), body });
    assert.equal(reply.status, 400);
    assert.match(reply.body.toString(), /<Code>InvalidAction</);
    const path = `/${name}/snap-0/blocks?${name}=1`;
    assert.deepEqual(errorOf(await raw(emulator.url, { path })).slice(0, 2), [
      404,
      'UnknownOperationException',
    ]);
    assert.deepEqual(
      emulator.log.slice(-2).map(({ operation }) => operation),
      ['Unknown', 'Unknown'],
    );
  }
});

test('as members of JSON bodies: they neither fail nor provide the required members', async (t) => {
  const { emulator } = await run(t);
  for (const name of names) {
    const send = (body: string) => raw(emulator.url, { method: 'POST', path: '/snapshots', body });
    assert.equal((await send(`{"VolumeSize":1,"${name}":{"VolumeSize":2}}`)).status, 201);
    const reply = await send(`{"${name}":{"VolumeSize":1}}`);
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_VOLUME_SIZE'], name);
    const tag = await send(`{"VolumeSize":1,"Tags":[{"${name}":{"Key":"a","Value":"b"}}]}`);
    assert.deepEqual(errorOf(tag), [400, 'ValidationException', 'INVALID_TAG'], name);
  }
});

test('as keys and values of tags, in both protocols and in filters', async (t) => {
  const { emulator, ebs, ec2 } = await run(t);
  const id = await start(ebs, { Tags: names.map((Key) => ({ Key, Value: Key })) });
  const other = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: randomBlock() } });
  await ec2.send(
    new CreateTagsCommand({ Resources: [id], Tags: names.map((Key) => ({ Key, Value: `${Key}!` })) }),
  );
  const { tags } = emulator.snapshot(id)!;
  assert.deepEqual(
    Object.entries(tags),
    names.map((name) => [name, `${name}!`]),
  );
  for (const name of names) {
    const Filters = [{ Name: `tag:${name}`, Values: [`${name}!`] }];
    const found = await ec2.send(new DescribeSnapshotsCommand({ Filters }));
    assert.deepEqual(
      found.Snapshots?.map(({ SnapshotId }) => SnapshotId),
      [id],
    );
    const filter = new DescribeSnapshotsCommand({ Filters: [{ Name: name, Values: ['*'] }] });
    await assert.rejects(ec2.send(filter), refusal('InvalidParameterValue'));
  }
  assert.deepEqual(emulator.snapshot(other)?.tags, {});
});

test('as members, operations, types and snapshot IDs of fault rules', () => {
  for (const name of names) {
    const bad = { class: 'usage', code: 'BAD_FAULTS' };
    const action = JSON.stringify(actionNames);
    assert.throws(() => parseFaults(`[{"${name}":{"nth":1},"action":${action}}]`), bad);
    assert.throws(() => parseFaults(`[{"${name}":{"action":${action}}}]`), bad);
    assert.throws(() => parseFaults(`[{"action":{"type":"error","${name}":${action}}}]`), bad);
    assert.throws(() => parseFaults(`[{"action":{"type":"${name}"}}]`), bad);
    assert.throws(() => parseFaults(`[{"operation":"${name}","action":${action}}]`), bad);
    assert.throws(() => parseFaults(`{"${name}":[]}`), bad);
    assert.equal(parseFaults(`[{"snapshotId":"${name}","action":${action}}]`)[0]?.snapshotId, name);
  }
  assert.throws(() => parseFaults('[{"action":{"type":"drip","bytesPerSecond":1,"bytesPerSecond!":1}}]'), {
    message: /'bytesPerSecond!' is unknown/,
  });
});

test('as access key IDs', async (t) => {
  const known = JSON.parse('{"constructor":{"secretAccessKey":"s"},"__proto__":{"secretAccessKey":"p"}}');
  const strict = await run(t, { credentials: { AKID: { secretAccessKey: 's' } } });
  const named = await run(t, { credentials: known });
  for (const accessKeyId of names) {
    // The secret that an unchecked lookup of Object's members would compare with.
    const ebs = ebsClient(strict.emulator.url, { accessKeyId, secretAccessKey: 'undefined' });
    await assert.rejects(start(ebs), refusal('UnrecognizedClientException', undefined, 403));
    ebs.destroy();
  }
  for (const [accessKeyId, secretAccessKey] of [
    ['constructor', 's'],
    ['__proto__', 'p'],
  ] as const) {
    const ebs = ebsClient(named.emulator.url, { accessKeyId, secretAccessKey });
    await start(ebs);
    ebs.destroy();
  }
});

test('as headers, which the log keeps', async (t) => {
  const { emulator } = await run(t);
  const headers = Object.fromEntries(names.map((name) => [name, 'x']));
  await raw(emulator.url, { path: '/other', headers });
  const logged = Object.entries(emulator.log.at(-1)!.headers);
  for (const name of names) {
    assert.deepEqual(
      logged.filter(([key]) => key === name.toLowerCase()),
      [[name.toLowerCase(), 'x']],
    );
  }
});

test('as signed headers that were not sent', async (t) => {
  const { emulator } = await run(t, { credentials: { AKID: { secretAccessKey: 's' } } });
  const good = signed();
  const Authorization = good.Authorization!.replace('host;', 'constructor;host;');
  const headers = { ...good, Authorization };
  const reply = await raw(emulator.url, { path: '/snapshots/snap-0/blocks', headers });
  assert.deepEqual(errorOf(reply).slice(0, 2), [403, 'InvalidSignatureException']);
});
