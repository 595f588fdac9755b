import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartSnapshotCommand } from '@aws-sdk/client-ebs';
import { complete, put, randomBlock, refusal, run, settled, start, upload } from './client.ts';
import { errorOf, raw } from './raw.ts';

const KEY = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

test('a started snapshot is pending, and the reply has all its properties', async (t) => {
  const { ebs, emulator } = await run(t);
  const started = await ebs.send(
    new StartSnapshotCommand({
      VolumeSize: 65_536,
      Description: 'd',
      Tags: [{ Key: 'k', Value: 'v' }],
      Timeout: 10,
    }),
  );
  assert.match(started.SnapshotId!, /^snap-[0-9a-f]{17}$/);
  const { $metadata, StartTime, ...rest } = started;
  assert.equal($metadata.httpStatusCode, 201);
  assert.ok(Math.abs(StartTime!.getTime() - Date.now()) < 60_000);
  assert.deepEqual(rest, {
    SnapshotId: started.SnapshotId,
    OwnerId: '111122223333',
    Status: 'pending',
    VolumeSize: 65_536,
    BlockSize: 4096,
    Description: 'd',
    Tags: [{ Key: 'k', Value: 'v' }],
    SseType: 'none',
  });
  assert.equal(emulator.snapshot(started.SnapshotId!)?.status, 'pending');
});

test('StartSnapshot rejects values beyond the limits', async (t) => {
  const { ebs, emulator } = await run(t);
  const tags = (count: number) => Array.from({ length: count }, (_, n) => ({ Key: `k${n}`, Value: '' }));
  const refused: [object, string][] = [
    [{ VolumeSize: 0 }, 'INVALID_VOLUME_SIZE'],
    [{ VolumeSize: 65_537 }, 'INVALID_VOLUME_SIZE'],
    [{ VolumeSize: 1.5 }, 'INVALID_VOLUME_SIZE'],
    [{ VolumeSize: undefined }, 'INVALID_VOLUME_SIZE'],
    [{ Description: 'x'.repeat(256) }, 'INVALID_PARAMETER_VALUE'],
    [{ Timeout: 9 }, 'INVALID_PARAMETER_VALUE'],
    [{ Timeout: 4321 }, 'INVALID_PARAMETER_VALUE'],
    [{ ClientToken: 'x'.repeat(65) }, 'INVALID_PARAMETER_VALUE'],
    [{ ClientToken: 'ü' }, 'INVALID_PARAMETER_VALUE'],
    [{ Tags: tags(51) }, 'INVALID_TAG'],
    [{ Tags: [{ Key: 'x'.repeat(128), Value: '' }] }, 'INVALID_TAG'],
    [{ Tags: [{ Key: 'k', Value: 'x'.repeat(256) }] }, 'INVALID_TAG'],
    [{ Tags: [{ Key: '', Value: '' }] }, 'INVALID_TAG'],
    [{ Tags: [{ Key: 'aws:k', Value: '' }] }, 'INVALID_TAG'],
    [{ Tags: [...tags(1), ...tags(1)] }, 'INVALID_TAG'],
  ];
  for (const [input, reason] of refused) {
    const body = JSON.stringify({ VolumeSize: 1, ...input });
    const reply = await raw(emulator.url, { method: 'POST', path: '/snapshots', body });
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', reason], body.slice(0, 80));
  }
  await start(ebs, {
    Description: 'x'.repeat(255),
    Timeout: 4320,
    ClientToken: 'x'.repeat(64),
    Tags: [...tags(49), { Key: 'x'.repeat(127), Value: 'x'.repeat(255) }],
  });
});

test('a body that is not a JSON object is rejected', async (t) => {
  const { emulator } = await run(t);
  for (const body of ['', '{', '[]', 'null', '1']) {
    const reply = await raw(emulator.url, { method: 'POST', path: '/snapshots', body });
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_PARAMETER_VALUE'], body);
  }
});

test('the same client token returns the same snapshot in any state, and conflicts with other parameters', async (t) => {
  const { emulator, ebs } = await run(t);
  const input = { VolumeSize: 2, ClientToken: 'token', Tags: [{ Key: 'a', Value: 'b' }] };
  const id = await start(ebs, input);
  assert.equal(await start(ebs, input), id);
  await assert.rejects(start(ebs, { ...input, VolumeSize: 3 }), refusal('ConflictException', undefined, 409));
  await assert.rejects(start(ebs, { ...input, Description: 'x' }), refusal('ConflictException'));
  await put(ebs, id, 0, randomBlock());
  await complete(ebs, id, 1);
  await settled(emulator, id);
  const again = await ebs.send(new StartSnapshotCommand(input));
  assert.deepEqual([again.SnapshotId, again.Status], [id, 'completed']);
  assert.notEqual(await start(ebs, { ...input, ClientToken: 'other' }), id);
});

test('a parent must exist, be completed, and be no larger than the child', async (t) => {
  const { emulator, ebs } = await run(t);
  const parent = await upload(emulator, ebs, new Map([[0, randomBlock()]]), { VolumeSize: 2 });
  const pending = await start(ebs);
  const child = await ebs.send(new StartSnapshotCommand({ VolumeSize: 3, ParentSnapshotId: parent }));
  assert.equal(child.ParentSnapshotId, parent);
  await assert.rejects(
    start(ebs, { VolumeSize: 1, ParentSnapshotId: parent }),
    refusal('ValidationException', 'INVALID_VOLUME_SIZE'),
  );
  await assert.rejects(
    start(ebs, { ParentSnapshotId: pending }),
    refusal('ValidationException', 'INVALID_SNAPSHOT_ID'),
  );
  await assert.rejects(
    start(ebs, { ParentSnapshotId: 'snap-0' }),
    refusal('ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND', 404),
  );
  await assert.rejects(
    start(ebs, { ParentSnapshotId: 'x' }),
    refusal('ValidationException', 'INVALID_SNAPSHOT_ID'),
  );
});

test('encryption without encryption by default', async (t) => {
  const { emulator, ebs } = await run(t, { knownKmsKeys: [KEY] });
  const encrypted = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, Encrypted: true }));
  assert.match(encrypted.KmsKeyArn!, /^arn:aws:kms:us-east-1:111122223333:key\//);
  assert.equal(encrypted.SseType, 'sse-kms');
  const withKey = await ebs.send(
    new StartSnapshotCommand({ VolumeSize: 1, Encrypted: true, KmsKeyArn: KEY }),
  );
  assert.equal(withKey.KmsKeyArn, KEY);
  const plain = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, Encrypted: false }));
  assert.deepEqual([plain.KmsKeyArn, plain.SseType], [undefined, 'none']);
  const parameter = refusal('ValidationException', 'INVALID_PARAMETER_VALUE');
  await assert.rejects(start(ebs, { KmsKeyArn: KEY }), parameter);
  await assert.rejects(start(ebs, { KmsKeyArn: KEY, Encrypted: false }), parameter);
  const key = refusal('ValidationException', 'INVALID_CUSTOMER_KEY');
  await assert.rejects(start(ebs, { KmsKeyArn: `${KEY}9`, Encrypted: true }), key);
  await assert.rejects(start(ebs, { KmsKeyArn: 'alias/mine', Encrypted: true }), key);

  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, encrypted: true });
  const child = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, ParentSnapshotId: parent }));
  assert.equal(child.SseType, 'sse-kms');
  assert.equal(child.KmsKeyArn, emulator.snapshot(parent)?.kmsKeyArn);
  for (const Encrypted of [true, false]) {
    await assert.rejects(start(ebs, { ParentSnapshotId: parent, Encrypted }), parameter);
  }
  await assert.rejects(start(ebs, { ParentSnapshotId: parent, KmsKeyArn: KEY }), parameter);
});

test('with encryption by default, unencrypted snapshots are rejected', async (t) => {
  const { emulator, ebs } = await run(t, { encryptedByDefault: true });
  const implied = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1 }));
  assert.equal(implied.SseType, 'sse-kms');
  assert.equal(emulator.snapshot(implied.SnapshotId!)?.encrypted, true);
  const withKey = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, KmsKeyArn: KEY }));
  assert.equal(withKey.KmsKeyArn, KEY);
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const parameter = refusal('ValidationException', 'INVALID_PARAMETER_VALUE');
  await assert.rejects(start(ebs, { ParentSnapshotId: parent }), parameter);
  await assert.rejects(start(ebs, { Encrypted: false }), parameter);
});
