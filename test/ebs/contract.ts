/** The stacks of decorators that every contract test runs over, and an emulator to run them against. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import type { BlockReference, EbsDirectApi } from '../../src/ebs/api.ts';
import { checkDeadlines, clientConfig, type Deadlines } from '../../src/ebs/connect.ts';
import { FastBlockApi } from '../../src/ebs/fast/fast-api.ts';
import { type RetryNotice, RetryPolicy } from '../../src/ebs/retry.ts';
import { withRetries } from '../../src/ebs/retrying-api.ts';
import { SdkEbsApi } from '../../src/ebs/sdk-api.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';

export interface Stack {
  readonly name: string;
  readonly fast: boolean;
  readonly retries: boolean;
}

export const stacks: readonly Stack[] = [
  { name: 'SDK', fast: false, retries: false },
  { name: 'SDK with retries', fast: false, retries: true },
  { name: 'fast', fast: true, retries: false },
  { name: 'fast with retries', fast: true, retries: true },
];

export const REGION = 'us-east-1';
export const ACCESS_KEY = 'AKIDEXAMPLE';
export const SECRET = 'a secret that the emulator knows';
/** Small blocks make the tests faster. */
export const BLOCK = 16_384;

export interface ConnectOptions {
  emulator?: EmulatorOptions;
  deadlines?: Partial<Deadlines>;
  /** Default: the emulator's. */
  endpoint?: string;
  credentials?: EBSClient['config']['credentials'];
}

export interface Connected {
  readonly api: EbsDirectApi;
  readonly client: EBSClient;
  readonly emulator: Emulator;
  /** The retries so far. Always empty for stacks without retries. */
  readonly retried: RetryNotice[];
}

/** Starts an emulator that verifies signatures and connects a stack to it, until the test ends. */
export async function connect(
  t: TestContext,
  stack: Stack,
  options: ConnectOptions = {},
): Promise<Connected> {
  const emulator = await startEmulator({
    blockSize: BLOCK,
    region: REGION,
    credentials: { [ACCESS_KEY]: { secretAccessKey: SECRET } },
    ...options.emulator,
  });
  t.after(() => emulator.close());
  const deadlines = checkDeadlines(options.deadlines);
  const config = await clientConfig({ region: REGION }, options.endpoint ?? emulator.url, 8, deadlines);
  const client = new EBSClient({
    ...config,
    credentials: options.credentials ?? { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
  });
  const retried: RetryNotice[] = [];
  let api: EbsDirectApi = new SdkEbsApi(client);
  if (stack.fast) api = new FastBlockApi(api, client, { connections: 4, deadlines });
  if (stack.retries) api = withRetries(api, quickPolicy(client, retried));
  t.after(() => api.close());
  return { api, client, emulator, retried };
}

/** A policy whose pauses only advance its own clock. Gives up after a minute of it. */
function quickPolicy(client: EBSClient, retried: RetryNotice[]): RetryPolicy {
  let clock = 0;
  return new RetryPolicy({
    retryForMs: 60_000,
    random: () => 1,
    now: () => clock,
    sleep: async (ms) => {
      clock += ms;
    },
    onRetry: (notice) => retried.push(notice),
    refreshCredentials: async () => {
      await client.config.credentials({ forceRefresh: true });
    },
  });
}

export function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

/** A snapshot with one block of random data, and the request that fetches it. */
export async function withBlock({ api, emulator }: Connected) {
  const data = randomBytes(BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 5: data } });
  const { blocks } = await api.listSnapshotBlocks({ snapshotId });
  const block = { snapshotId, ...(blocks[0] as BlockReference) };
  emulator.clearLog();
  return { data, block, buffer: Buffer.alloc(BLOCK) };
}

/** A pending snapshot, and the request that puts a block into it. */
export async function withPending({ api, emulator }: Connected) {
  const { snapshotId } = await api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'a token' });
  const data = randomBytes(BLOCK);
  emulator.clearLog();
  return { snapshotId, block: { snapshotId, blockIndex: 7, data, digest: sha256(data) } };
}

/** Fetches the block and compares it byte by byte. */
export async function getsBlock(
  { api }: Connected,
  { block, data, buffer }: Awaited<ReturnType<typeof withBlock>>,
): Promise<void> {
  buffer.fill(0);
  const received = await api.getSnapshotBlock(block, buffer);
  assert.equal(received.dataLength, data.length);
  assert.deepEqual(Buffer.from(received.digest), sha256(data));
  assert.ok(buffer.equals(data));
}

/** One block as the emulator stored it. */
export async function storedBlock(emulator: Emulator, snapshotId: string, index: number): Promise<Buffer> {
  const { open } = await import('node:fs/promises');
  const image = await open(await emulator.readImage(snapshotId));
  try {
    const { buffer } = await image.read(Buffer.alloc(BLOCK), 0, BLOCK, index * BLOCK);
    return buffer;
  } finally {
    await image.close();
  }
}
