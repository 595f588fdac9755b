import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { DescribeSnapshotsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { credentials, list, refusal, run, start } from './client.ts';

const key = (region: string) => `arn:aws:kms:${region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`;

test('two emulators are two regions: each accepts its own signatures, snapshots and keys only', async (t) => {
  const regions = ['us-east-1', 'eu-west-1'] as const;
  const emulators = await Promise.all(regions.map((region) => run(t, { region })));
  for (const [at, region] of regions.entries()) {
    const other = regions[1 - at]!;
    const { emulator } = emulators[at]!;
    const clientOf = (signedFor: string) => {
      const options = { endpoint: emulator.url, region: signedFor, credentials, maxAttempts: 1 };
      const clients = { ebs: new EBSClient(options), ec2: new EC2Client(options) };
      t.after(() => {
        clients.ebs.destroy();
        clients.ec2.destroy();
      });
      return clients;
    };
    const own = clientOf(region);
    const foreign = clientOf(other);
    assert.equal(emulator.region, region);

    const refused = await start(foreign.ebs).catch((error: Error) => error);
    refusal('InvalidSignatureException', undefined, 403)(refused);
    assert.equal(
      (refused as Error).message,
      `Credential should be scoped to the Region '${region}', not '${other}'.`,
    );
    await assert.rejects(foreign.ec2.send(new DescribeSnapshotsCommand({})), refusal('AuthFailure'));

    const elsewhere = await emulators[1 - at]!.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    await assert.rejects(list(own.ebs, elsewhere), {
      name: 'ResourceNotFoundException',
      message: `The snapshot '${elsewhere}' does not exist in ${region}.`,
    });
    await assert.rejects(own.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [elsewhere] })), {
      message: `The snapshot '${elsewhere}' does not exist in ${region}.`,
    });

    await start(own.ebs, { Encrypted: true, KmsKeyArn: key(region) });
    await assert.rejects(start(own.ebs, { Encrypted: true, KmsKeyArn: key(other) }), {
      name: 'ValidationException',
      message: `The KMS key '${key(other)}' is not in ${region}.`,
    });
    const encrypted = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, encrypted: true });
    assert.match(emulator.snapshot(encrypted)!.kmsKeyArn!, new RegExp(`^arn:aws:kms:${region}:`));
  }
});
