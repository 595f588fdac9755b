/**
 * Every operation with every fault, twice and permanently: the transfer recovers and the bytes are right, or it fails with
 * the exit code of the cause and the next run succeeds. `npm run test:matrix` runs each with every transfer that uses the
 * operation and over both transports; the suite alternates between them.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import { listChangedBlocks } from '../../src/ebs/list/block-list.ts';
import { Service } from '../../src/ebs/service.ts';
import type { Emulator, FaultAction, FaultRule } from '../../src/emulator/index.ts';
import {
  type DownloadOptions,
  deletePendingSnapshots,
  downloadSnapshot,
  downloadToTargets,
  listPendingSnapshots,
  type UploadOptions,
  uploadSnapshot,
  type VerifyOptions,
  verifySnapshot,
  waitForSnapshot,
} from '../../src/index.ts';
import '../support/in-memory.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { copyScene, namesSide } from './copy-scene.ts';
import { type Fault, faults } from './faults.ts';
import { type Expected, expectedOutcomes, facts, type Outcome, operations } from './outcomes.ts';

const BLOCK = 4096;
/** For runs that must give up: the outcome is the same however many attempts fit in. */
const RETRY_FOR_MS = 300;
/** For runs that must not give up, on a machine of any speed. */
const PATIENT_MS = 600_000;
/** Without a byte for this long a stalled request fails; on a busy machine others must not. */
const STALL_MS = 2_000;
const long = process.env.COLDSNAP_LONG !== undefined;

// The journals of copies; each has emulators of its own.
process.env.STATE_DIRECTORY = mkdtempSync(join(tmpdir(), 'coldsnap-matrix-'));
after(() => rmSync(process.env.STATE_DIRECTORY!, { recursive: true, force: true }));

/** Where another transfer differs: its first requests need only the head of a list, so that a bad next page is not used. */
const incrementalDiffers: Partial<Record<Fault, Expected>> = {
  'is an empty page with the previous page token': ['recovers', 1],
};

/** Other transfers that use an operation, beside the download, upload or call that {@link scene} gives it. */
const others: Record<string, readonly Transfer[]> = {
  ListSnapshotBlocks: [
    'a comparison',
    'an incremental download',
    'a download to two targets',
    'a copy',
    'an incremental upload',
  ],
  ListChangedBlocks: ['an incremental download', 'an incremental copy'],
  GetSnapshotBlock: [
    'a comparison',
    'an incremental download',
    'a download to two targets',
    'a copy',
    'an incremental upload',
  ],
  StartSnapshot: ['a copy', 'an incremental upload'],
  PutSnapshotBlock: ['a copy', 'an incremental upload'],
  CompleteSnapshot: ['a copy', 'an incremental upload'],
};

type Transfer =
  | 'a comparison'
  | 'an incremental download'
  | 'an incremental upload'
  | 'a download to two targets'
  | 'a copy'
  | 'an incremental copy'
  | undefined;

interface Scene {
  readonly emulator: Emulator;
  /** Runs the transfer, then asserts its result. Without `retryForMs` the product's defaults apply. */
  run(retryForMs?: number): Promise<void>;
}

type Transport = 'fast' | 'sdk';

async function scene(
  t: TestContext,
  operation: string,
  transfer: Transfer,
  transport: Transport,
  fault: Fault,
): Promise<Scene> {
  const isCopy = transfer === 'a copy' || transfer === 'an incremental copy';
  // Only a stall needs a short deadline; on a busy machine it would end other requests too.
  const deadlines = { connectMs: PATIENT_MS, idleMs: faults[fault].type === 'stall' ? STALL_MS : PATIENT_MS };
  // The run after the faults are removed needs no short deadlines.
  const common = (retryForMs?: number) => ({
    transport,
    workers: 4,
    ...(retryForMs === undefined ? {} : { retryForMs, deadlines }),
  });
  if (isCopy) return copyScene(t, operation, transfer === 'an incremental copy', BLOCK, common);
  const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: 4 });
  const options = (retryForMs?: number) => ({ ...service, ...common(retryForMs) });
  if (operation === 'DescribeSnapshots') {
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
    const run = async (retryForMs?: number) => {
      const timeoutMs = retryForMs === RETRY_FOR_MS ? 2_000 : PATIENT_MS;
      const conditions = { secondsBetweenAttempts: 0.02, timeoutMs };
      await waitForSnapshot({ snapshotId, ...conditions, ...options(retryForMs) });
    };
    return { emulator, run };
  }
  if (operation === 'DeleteSnapshot') {
    const tags = { 'coldsnap:upload': 'true' };
    await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map(), status: 'pending', tags });
    const run = async (retryForMs?: number) => {
      const { kept } = await deletePendingSnapshots({ force: true, ...options(retryForMs) });
      assert.deepEqual(kept, []);
      // A faulty reply may claim that there is nothing to delete.
      const { fault } = emulator.requests('DeleteSnapshot').at(-1) ?? {};
      if (fault === undefined) assert.deepEqual(await listPendingSnapshots({ ...service }), []);
    };
    return { emulator, run };
  }
  if (transfer === 'an incremental download') {
    // The comparison with the base makes many short lists, which the deadline of a stall would end on a busy machine.
    const trustBase = operation !== 'ListSnapshotBlocks' || faults[fault].type === 'stall';
    return incremental(emulator, join(scratch(t), 'disk.img'), trustBase, options);
  }
  if (transfer === 'an incremental upload')
    return incrementalUpload(emulator, join(scratch(t), 'disk.img'), options);
  if (operation === 'ListChangedBlocks') {
    const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1], [], BLOCK) });
    const blocks = randomBlocks([1, 2, 5, 7, 100, GIB / BLOCK - 1], [], BLOCK);
    const second = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks, parent: first });
    const run = async (retryForMs?: number) => {
      const service = new Service(options(retryForMs), 64, () => {});
      const changed: number[] = [];
      try {
        for await (const { entries } of listChangedBlocks((await service.ebs()).api, first, second)) {
          changed.push(...entries.map(({ blockIndex }) => blockIndex));
        }
      } finally {
        service.close();
      }
      assert.deepEqual(changed, [...blocks.keys()]);
    };
    return { emulator, run };
  }
  const path = join(scratch(t), 'disk.img');
  if (operation === 'ListSnapshotBlocks' || operation === 'GetSnapshotBlock') {
    const blocks = randomBlocks([0, 1, 2, 5, 100, GIB / BLOCK - 1], [3], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    if (transfer === 'a comparison') return comparison(emulator, snapshotId, path, blocks, options);
    if (transfer === 'a download to two targets') {
      const targets = [path, join(scratch(t), 'other.img')];
      const run = async (retryForMs?: number) => {
        await downloadToTargets({ snapshotId, targets, ...options(retryForMs) });
        for (const target of targets)
          assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
      };
      return { emulator, run };
    }
    const run = async (retryForMs?: number) => {
      await downloadSnapshot({ snapshotId, target: path, ...options(retryForMs) });
      assert.equal(await firstWrongBlock(path, blocks, GIB, BLOCK), undefined);
    };
    return { emulator, run };
  }
  const image = randomBytes(6 * BLOCK);
  writeFileSync(path, image);
  const run = async (retryForMs?: number) => {
    const { snapshotId } = await uploadSnapshot({ source: path, ...options(retryForMs) });
    assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
    assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
    assert.deepEqual(await listPendingSnapshots({ ...service }), [], 'no pending snapshot remains');
  };
  return { emulator, run };
}

/** Makes an image of a base into that of its child. The target is found as it was, or between two states, or whole. */
async function incremental(
  emulator: Emulator,
  target: string,
  trustBase: boolean,
  options: (retryForMs?: number) => Omit<DownloadOptions, 'snapshotId' | 'target'>,
): Promise<Scene> {
  const baseBlocks = randomBlocks([0, 1, 2, 5, 100, GIB / BLOCK - 1], [3], BLOCK);
  const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const changed = randomBlocks([1, 2, 50], [], BLOCK);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: changed,
    parent: since,
    gone: [100],
  });
  const blocks = new Map([...baseBlocks, ...changed]);
  blocks.delete(100);
  const image = openSync(target, 'w');
  ftruncateSync(image, GIB);
  for (const [block, data] of baseBlocks) writeSync(image, data, 0, BLOCK, block * BLOCK);
  closeSync(image);
  const run = async (retryForMs?: number) => {
    await downloadSnapshot({ since, snapshotId, target, trustBase, ...options(retryForMs) });
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  };
  return { emulator, run };
}

/** Uploads what differs from a parent, which is read at the service. */
async function incrementalUpload(
  emulator: Emulator,
  source: string,
  options: (retryForMs?: number) => Omit<UploadOptions, 'source'>,
): Promise<Scene> {
  const parentBlocks = randomBlocks([0, 1, 2, 5, 100, GIB / BLOCK - 1], [3], BLOCK);
  const parentSnapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: parentBlocks });
  const blocks = new Map([...parentBlocks, ...randomBlocks([1, 2, 50], [100], BLOCK)]);
  const image = openSync(source, 'w');
  ftruncateSync(image, GIB);
  for (const [block, data] of blocks)
    if (block !== 3 && block !== 100) writeSync(image, data, 0, BLOCK, block * BLOCK);
  closeSync(image);
  const run = async (retryForMs?: number) => {
    const parent = { parentSnapshotId, incremental: true, detectHoles: true };
    const { snapshotId } = await uploadSnapshot({ source, ...parent, ...options(retryForMs) });
    await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
    const { status, writtenBlocks } = emulator.snapshot(snapshotId)!;
    assert.deepEqual([status, writtenBlocks], ['completed', [1, 2, 50, 100]]);
    assert.equal(await firstWrongBlock(await emulator.readImage(snapshotId), blocks, GIB, BLOCK), undefined);
    assert.deepEqual(await listPendingSnapshots(options()), [], 'no pending snapshot remains');
  };
  return { emulator, run };
}

/** Compares an image that differs in one listed block and in one that is not listed. */
async function comparison(
  emulator: Emulator,
  snapshotId: string,
  target: string,
  blocks: ReadonlyMap<number, Buffer>,
  options: (retryForMs?: number) => Omit<VerifyOptions, 'snapshotId' | 'target'>,
): Promise<Scene> {
  const image = openSync(target, 'w');
  ftruncateSync(image, GIB);
  for (const [block, data] of [...blocks, [5, randomBytes(BLOCK)], [50, randomBytes(BLOCK)]] as const)
    writeSync(image, data, 0, BLOCK, block * BLOCK);
  closeSync(image);
  const run = async (retryForMs?: number) => {
    const { differences } = await verifySnapshot({ snapshotId, target, ...options(retryForMs) });
    assert.deepEqual(
      differences.map(({ start, end }) => [start / BLOCK, end / BLOCK]),
      [
        [5, 6],
        [50, 51],
      ],
    );
  };
  return { emulator, run };
}

/** Block operations fail for block 1 only, other operations for every call. */
function rule(operation: string, fault: Fault, times: 'twice' | 'always', transport: Transport): FaultRule {
  const action: FaultAction = faults[fault];
  const block = /^(Get|Put)/.test(operation) ? { block: 1 } : {};
  // The fast transport passes an unexpected page to the SDK, which repeats the request: one attempt is two requests.
  const page = action.type === 'html' && (action.status ?? 500) < 400;
  const first = transport === 'fast' && page ? 4 : 2;
  return { operation, ...block, ...(times === 'twice' ? { first } : {}), action };
}

async function check(
  t: TestContext,
  operation: string,
  transfer: Transfer,
  transport: Transport,
  fault: Fault,
  times: 'twice' | 'always',
  outcomes: Expected,
) {
  const { emulator, run } = await scene(t, operation, transfer, transport, fault);
  emulator.setFaults([rule(operation, fault, times, transport)]);
  const expected = outcomes[times === 'twice' ? 0 : 1];
  if (expected === 'recovers') {
    await run(PATIENT_MS);
  } else {
    // A permanent failure must not come from the time limit.
    const permanent = (expected === 1 || expected === 4) && outcomes[0] === outcomes[1];
    const error = await run(permanent ? PATIENT_MS : RETRY_FOR_MS).then(
      () => assert.fail('it succeeded'),
      (failure: unknown) => failure,
    );
    if (error instanceof assert.AssertionError) throw error;
    assert.equal(exitCodeOf(error), expected, String(error));
    assert.match(
      String(error),
      new RegExp(`${operation}|block 1 of snap-|^ColdsnapError: (?:in the \\w+ region \\S+: )?(?:${facts})`),
    );
    if (transfer?.endsWith('copy')) assert.ok(namesSide(operation, (error as Error).message), String(error));
  }
  assert.ok(emulator.requests(operation).some((request) => request.fault !== undefined));
  if (expected === 'recovers') return;
  emulator.setFaults([]);
  await run();
}

/** Selects what the suite runs; COLDSNAP_LONG runs all. */
function isSelected(operation: string, fault: Fault, times: 'twice' | 'always', [twice, always]: Expected) {
  if (long) return true;
  const { type } = faults[fault];
  if (type === 'list' && !operation.startsWith('List')) return false;
  // A thousand pages take three seconds.
  if (fault === 'is an empty page with a new page token' && times === 'always') return false;
  // A harmless permanent fault is harmless twice; one that is fatal twice is fatal when permanent.
  return (
    times === (always === 'recovers' ? 'always' : 'twice') || (twice === 'recovers' && always !== 'recovers')
  );
}

describe('when the reply', { concurrency: 12 }, () => {
  let odd = false;
  let turn = 0;
  for (const operation of operations) {
    const blocks = /^(Get|Put)/.test(operation);
    for (const fault of Object.keys(faults) as Fault[]) {
      const expected = expectedOutcomes(operation, fault);
      for (const [at, times] of (['twice', 'always'] as const).entries()) {
        if (!isSelected(operation, fault, times, expected)) continue;
        odd = !odd;
        const all: Transport[] = blocks ? ['fast', 'sdk'] : ['sdk'];
        for (const transport of long || !blocks ? all : all.slice(Number(odd), Number(odd) + 1)) {
          const outcome = expected[at] as Outcome;
          const what =
            outcome === 'recovers'
              ? 'the transfer recovers'
              : `the exit code is ${outcome}, and the next run succeeds`;
          const how = blocks ? ` over ${transport}` : '';
          const transfers = [undefined, ...(others[operation] ?? [])];
          for (const transfer of long ? transfers : [transfers[turn++ % transfers.length]]) {
            const of = transfer === undefined ? '' : ` of ${transfer}`;
            const incremental = operation.startsWith('List') && transfer?.startsWith('an incremental');
            const differs = incremental ? incrementalDiffers[fault] : undefined;
            if (differs !== undefined && times === 'twice') continue;
            test(`to ${operation}${of}${how} ${fault}, ${times}, ${what}`, (t) =>
              check(t, operation, transfer, transport, fault, times, differs ?? expected));
          }
        }
      }
    }
  }
});
