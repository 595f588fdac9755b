/** SDK clients and blocks for the emulator's tests. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import {
  CompleteSnapshotCommand,
  EBSClient,
  GetSnapshotBlockCommand,
  ListSnapshotBlocksCommand,
  PutSnapshotBlockCommand,
  StartSnapshotCommand,
  type StartSnapshotCommandInput,
} from '@aws-sdk/client-ebs';
import { EC2Client } from '@aws-sdk/client-ec2';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';

export const BLOCK = 524_288;
export const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a secret' };

/** The block size of most tests: small, so that they are fast. */
export const SMALL = 4096;

/** An emulator with clients, closed when the test ends. Blocks are small unless the options say otherwise. */
export async function run(
  t: TestContext,
  options: EmulatorOptions = {},
): Promise<{ emulator: Emulator; ebs: EBSClient; ec2: EC2Client }> {
  const emulator = await startEmulator({ blockSize: SMALL, ...options });
  const ebs = ebsClient(emulator.url);
  const ec2 = ec2Client(emulator.url);
  t.after(async () => {
    ebs.destroy();
    ec2.destroy();
    await emulator.close();
  });
  return { emulator, ebs, ec2 };
}

/** Matches an error of the service, for `assert.rejects`. */
export function refusal(name: string, reason?: string, status?: number): (error: unknown) => boolean {
  return (error) => {
    const { Reason, $metadata } = error as { Reason?: string; $metadata?: { httpStatusCode?: number } };
    const seen = { name: (error as Error).name, reason: Reason, status: $metadata?.httpStatusCode };
    const wanted = { name, reason: reason ?? Reason, status: status ?? $metadata?.httpStatusCode };
    assert.deepEqual(seen, wanted);
    return true;
  };
}

/** A clock that is moved by the test only. */
export function testClock(start = Date.UTC(2026, 0, 1)): { now: () => number; move: (ms: number) => void } {
  let time = start;
  return {
    now: () => time,
    move: (ms) => {
      time += ms;
    },
  };
}

export function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

/** A block of random data. */
export function randomBlock(size = SMALL): Buffer {
  return randomBytes(size);
}

/** An SDK client for EBS that does not retry. */
export function ebsClient(
  url: string,
  keys: typeof credentials & { sessionToken?: string } = credentials,
): EBSClient {
  return new EBSClient({ endpoint: url, region: 'us-east-1', credentials: keys, maxAttempts: 1 });
}

/** An SDK client for EC2 that does not retry. */
export function ec2Client(
  url: string,
  keys: typeof credentials & { sessionToken?: string } = credentials,
): EC2Client {
  return new EC2Client({ endpoint: url, region: 'us-east-1', credentials: keys, maxAttempts: 1 });
}

export async function start(
  client: EBSClient,
  input: Partial<StartSnapshotCommandInput> = {},
): Promise<string> {
  const started = await client.send(new StartSnapshotCommand({ VolumeSize: 1, ...input }));
  return started.SnapshotId!;
}

export async function put(
  client: EBSClient,
  snapshotId: string,
  block: number,
  data: Uint8Array,
): Promise<void> {
  await client.send(
    new PutSnapshotBlockCommand({
      SnapshotId: snapshotId,
      BlockIndex: block,
      BlockData: data,
      DataLength: data.length,
      Checksum: sha256(data).toString('base64'),
      ChecksumAlgorithm: 'SHA256',
    }),
  );
}

/** SHA-256 over the raw digests in ascending order of index, in base64. */
export function linearChecksum(blocks: ReadonlyMap<number, Uint8Array>): string {
  const hash = createHash('sha256');
  for (const [, data] of [...blocks].sort(([a], [b]) => a - b)) hash.update(sha256(data));
  return hash.digest('base64');
}

export async function complete(
  client: EBSClient,
  snapshotId: string,
  count: number,
  checksum?: string,
): Promise<void> {
  await client.send(
    new CompleteSnapshotCommand({
      SnapshotId: snapshotId,
      ChangedBlocksCount: count,
      ...(checksum === undefined
        ? {}
        : { Checksum: checksum, ChecksumAlgorithm: 'SHA256', ChecksumAggregationMethod: 'LINEAR' }),
    }),
  );
}

/** Waits until the snapshot is no longer pending. */
export async function settled(emulator: Emulator, snapshotId: string): Promise<string> {
  for (;;) {
    const status = emulator.snapshot(snapshotId)!.status;
    if (status !== 'pending') return status;
    await new Promise(setImmediate);
  }
}

/** Uploads blocks as one snapshot and completes it. */
export async function upload(
  emulator: Emulator,
  client: EBSClient,
  blocks: ReadonlyMap<number, Uint8Array>,
  input: Partial<StartSnapshotCommandInput> = {},
): Promise<string> {
  const id = await start(client, input);
  for (const [block, data] of blocks) await put(client, id, block, data);
  await complete(client, id, blocks.size, linearChecksum(blocks));
  await settled(emulator, id);
  return id;
}

/** All blocks of a snapshot with their tokens. */
export async function list(client: EBSClient, snapshotId: string): Promise<Map<number, string>> {
  const tokens = new Map<number, string>();
  let NextToken: string | undefined;
  do {
    const page = await client.send(
      new ListSnapshotBlocksCommand({
        SnapshotId: snapshotId,
        ...(NextToken === undefined ? {} : { NextToken }),
      }),
    );
    for (const block of page.Blocks ?? []) tokens.set(block.BlockIndex!, block.BlockToken!);
    NextToken = page.NextToken;
  } while (NextToken !== undefined);
  return tokens;
}

export async function get(
  client: EBSClient,
  snapshotId: string,
  block: number,
  token: string,
): Promise<Buffer> {
  const reply = await client.send(
    new GetSnapshotBlockCommand({ SnapshotId: snapshotId, BlockIndex: block, BlockToken: token }),
  );
  return Buffer.from(await reply.BlockData!.transformToByteArray());
}

/** All blocks of a snapshot with their data. */
export async function download(client: EBSClient, snapshotId: string): Promise<Map<number, Buffer>> {
  const blocks = new Map<number, Buffer>();
  for (const [block, token] of await list(client, snapshotId)) {
    blocks.set(block, await get(client, snapshotId, block, token));
  }
  return blocks;
}
