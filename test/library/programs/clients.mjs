// The caller's clients are used for every request, with their middleware, and stay open
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { EBSClient, ListSnapshotBlocksCommand } from '@aws-sdk/client-ebs';
import { EC2Client } from '@aws-sdk/client-ec2';
import { downloadSnapshot, uploadSnapshot, waitForSnapshot } from 'coldsnap';

const options = {
  endpoint: process.env.ENDPOINT,
  region: 'eu-north-1',
  credentials: { accessKeyId: 'AKIDOWN', secretAccessKey: 'own secret' },
};
const seen = [];
const recorded = (client) => {
  client.middlewareStack.add((next, { commandName }) => (args) => {
    seen.push(commandName.replace(/Command$/, ''));
    return next(args);
  });
  return client;
};
const ebsClient = recorded(new EBSClient(options));
const ec2Client = recorded(new EC2Client(options));

writeFileSync('clients.img', Buffer.alloc(600_000, 'client'));
const { snapshotId } = await uploadSnapshot({ ebsClient, source: 'clients.img' });
await waitForSnapshot({ ec2Client, ebsClient, snapshotId, successesRequired: 1, secondsBetweenAttempts: 0 });
await downloadSnapshot({ ebsClient, snapshotId, target: 'clients-copy.img' });
assert.deepEqual(seen, [
  'StartSnapshot',
  'PutSnapshotBlock',
  'PutSnapshotBlock',
  'CompleteSnapshot',
  'DescribeSnapshots',
  'ListSnapshotBlocks',
  'ListSnapshotBlocks',
  'GetSnapshotBlock',
  'GetSnapshotBlock',
]);

const { Blocks } = await ebsClient.send(new ListSnapshotBlocksCommand({ SnapshotId: snapshotId }));
assert.equal(Blocks.length, 2);
ebsClient.destroy();
ec2Client.destroy();
