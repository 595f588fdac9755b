/**
 * Every operation with every fault, twice and for ever: the transfer heals and the bytes are right, or it fails with the
 * exit code of what went wrong, within bounds, and the next run heals. COLDSNAP_LONG tries each over both transports,
 * where the suite alternates.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import { listChangedBlocks } from '../../src/ebs/list/block-list.ts';
import { Service } from '../../src/ebs/service.ts';
import type { Emulator, FaultAction, FaultRule } from '../../src/emulator/index.ts';
import {
  deletePendingSnapshots,
  downloadSnapshot,
  listPendingSnapshots,
  uploadSnapshot,
  waitForSnapshot,
} from '../../src/index.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { type Fault, faults } from './faults.ts';

const BLOCK = 4096;
/** A run without success for so long gives up; the last request may last as long as its deadline. */
const RETRY_FOR_MS = 300;
/** For what heals: throttles may slow it to less than a request a second. */
const HEALS_WITHIN_MS = 15_000;
const BOUND_MS = 30_000;
const long = process.env.COLDSNAP_LONG !== undefined;

type Outcome = 'heals' | 1 | 4 | 5 | 6;
/** What comes of a fault that happens twice, and of one that stays. */
type Expected = readonly [twice: Outcome, always: Outcome];

const harmless: Expected = ['heals', 'heals'];
const passing: Expected = ['heals', 5];
const wrongData: Expected = ['heals', 6];
const final = (exitCode: Outcome): Expected => [exitCode, exitCode];

/** What most operations make of it. */
const usual: Record<Fault, Expected> = {
  'is HTTP 500': passing,
  'is HTTP 500 though it was done': passing,
  'is HTTP 503': passing,
  "is a throttle of the snapshot's": passing,
  "is a throttle of the account's": passing,
  "is EC2's throttle": passing,
  // Once is a reason to fetch new ones; they are no better then.
  'says that the credentials expired': final(4),
  'denies access': final(4),
  'says that there is no such snapshot': final(1),
  'wants another block token': final(5),
  'wants another page token': final(5),
  'is a validation error': final(1),
  'is a conflict': final(1),
  'names a quota': final(1),
  'says that the block is being written': passing,
  'does not come': passing,
  'does not come though it was done': passing,
  'is a reset': passing,
  'breaks off in its body': passing,
  'breaks off in its body with a reset': passing,
  'stalls before the request is read': passing,
  stalls: passing,
  'stalls though it was done': passing,
  'stalls in its body': passing,
  'stalls after its head': passing,
  'is shorter than Content-Length says': passing,
  'is shorter than only x-amz-Data-Length says': passing,
  'has a flipped bit': passing,
  'has the checksum of other data': harmless,
  'has no checksum': harmless,
  'is checked by CRC32': harmless,
  'says that it is longer than a block': harmless,
  'says that it has no byte': harmless,
  'says that it has fewer bytes than none': harmless,
  'says that it has 10^20 bytes': harmless,
  'does not say how long it is': harmless,
  'is chunked': harmless,
  'is a page of HTML with status 500': passing,
  'is a page of HTML with status 200': passing,
  'is a page of HTML with status 302': passing,
  'is a page of HTML with status 404': final(4),
  drips: harmless,
  'closes the connection': harmless,
  'closes the connection without a word': harmless,
  'has a header of 64 KiB': passing,
  'has 10,000 headers': passing,
  'is half of its text': passing,
  'lists a block outside the volume': harmless,
  'lists block -1': harmless,
  'lists blocks in reverse': harmless,
  'lists blocks twice': harmless,
  'speaks of a volume of 2^40 GiB': harmless,
  'is an empty page and promises more': harmless,
  'is an empty page with the token of the last': harmless,
  'is late': harmless,
};

const lists: Partial<Record<Fault, Expected>> = {
  'lists a block outside the volume': final(1),
  'lists block -1': final(1),
  'lists blocks in reverse': final(1),
  'lists blocks twice': final(1),
  'speaks of a volume of 2^40 GiB': final(1),
  'is an empty page and promises more': ['heals', 1],
  'is an empty page with the token of the last': final(1),
};

/** Where an operation differs. */
const operations: Record<string, Partial<Record<Fault, Expected>>> = {
  ListSnapshotBlocks: lists,
  ListChangedBlocks: lists,
  GetSnapshotBlock: {
    // The token of a new listing is refused as well.
    'wants another block token': final(1),
    'is shorter than only x-amz-Data-Length says': wrongData,
    'has a flipped bit': wrongData,
    'has the checksum of other data': wrongData,
    'has no checksum': wrongData,
    'is checked by CRC32': wrongData,
    'says that it is longer than a block': wrongData,
    'says that it has no byte': wrongData,
    'says that it has fewer bytes than none': wrongData,
    'says that it has 10^20 bytes': wrongData,
    'does not say how long it is': wrongData,
    'is a page of HTML with status 200': wrongData,
    'is half of its text': wrongData,
  },
  StartSnapshot: {},
  PutSnapshotBlock: {
    // The snapshot is new, and the service may not know it everywhere.
    'says that there is no such snapshot': ['heals', 1],
    'is shorter than only x-amz-Data-Length says': harmless,
    'has a flipped bit': harmless,
    'is half of its text': harmless,
    'has the checksum of other data': wrongData,
  },
  CompleteSnapshot: {
    // A reply that came says enough by its status: what is asked for a second time is there already.
    'is shorter than only x-amz-Data-Length says': harmless,
    'has a flipped bit': harmless,
    'is half of its text': harmless,
  },
  DescribeSnapshots: {
    // EC2 is eventually consistent: it is asked for until the time is up.
    'says that there is no such snapshot': ['heals', 5],
    'wants another block token': final(1),
    'wants another page token': final(1),
    'says that the block is being written': final(1),
  },
  DeleteSnapshot: {
    // Somebody else has deleted it, then.
    'says that there is no such snapshot': harmless,
    // The first reply is passed over, and the second is an error that cannot be read.
    'is shorter than only x-amz-Data-Length says': final(1),
    'has a flipped bit': final(1),
    'is half of its text': final(1),
    'wants another block token': final(1),
    'wants another page token': final(1),
    'says that the block is being written': final(1),
  },
};

interface Scene {
  readonly emulator: Emulator;
  /** Runs the transfer to its end, then asserts that everything is right. Without a time it is patient. */
  run(retryForMs?: number): Promise<void>;
}

type Transport = 'fast' | 'sdk';

async function scene(t: TestContext, operation: string, transport: Transport): Promise<Scene> {
  const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: 4 });
  const deadlines = { connectMs: 5_000, idleMs: 500 };
  // A second run has no faults to wait for, and may meet a busy machine.
  const options = (retryForMs?: number) => ({
    ...service,
    transport,
    workers: 4,
    ...(retryForMs === undefined ? {} : { retryForMs, deadlines }),
  });
  if (operation === 'DescribeSnapshots') {
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
    const run = async (retryForMs?: number) => {
      const conditions = { secondsBetweenAttempts: 0.02, timeoutMs: 2_000 };
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
      // It is taken at its word when it says that there is nothing to delete.
      const { fault } = emulator.requests('DeleteSnapshot').at(-1) ?? {};
      if (fault === undefined) assert.deepEqual(await listPendingSnapshots({ ...service }), []);
    };
    return { emulator, run };
  }
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
    assert.deepEqual(await listPendingSnapshots({ ...service }), [], 'no snapshot is left behind');
  };
  return { emulator, run };
}

/** Blocks are faulty one at a time, lists and the other operations as they come. */
function rule(operation: string, fault: Fault, times: 'twice' | 'always', transport: Transport): FaultRule {
  const action: FaultAction = faults[fault];
  const block = /^(Get|Put)/.test(operation) ? { block: 1 } : {};
  // A page that is no error the fast transport has the SDK ask for again, at once: one attempt is two requests.
  const page = action.type === 'html' && (action.status ?? 500) < 400;
  const first = transport === 'fast' && page ? 4 : 2;
  return { operation, ...block, ...(times === 'twice' ? { first } : {}), action };
}

async function check(
  t: TestContext,
  operation: string,
  transport: Transport,
  faulty: FaultRule,
  expected: Outcome,
) {
  const { emulator, run } = await scene(t, operation, transport);
  emulator.setFaults([faulty]);
  const started = performance.now();
  if (expected === 'heals') {
    await run(HEALS_WITHIN_MS);
  } else {
    const error = await run(RETRY_FOR_MS).then(
      () => assert.fail('it succeeded'),
      (failure: unknown) => failure,
    );
    if (error instanceof assert.AssertionError) throw error;
    assert.equal(exitCodeOf(error), expected, String(error));
    assert.match(String(error), new RegExp(`${operation}|block 1 of snap-|^ColdsnapError: snap-`));
  }
  assert.ok(performance.now() - started < BOUND_MS, `it took ${performance.now() - started} ms`);
  assert.ok(emulator.requests(operation).some((request) => request.fault !== undefined));
  if (expected === 'heals') return;
  emulator.setFaults([]);
  await run();
}

/** What the suite tries; COLDSNAP_LONG tries all. */
function isWorthwhile(operation: string, fault: Fault, times: 'twice' | 'always', [twice, always]: Expected) {
  if (long) return true;
  const { type } = faults[fault];
  if (type === 'list' && !operation.startsWith('List')) return false;
  // A thousand pages take three seconds.
  if (fault === 'is an empty page and promises more' && times === 'always') return false;
  // What does no harm for ever does none twice, and what twice is too much for ever is.
  return times === (always === 'heals' ? 'always' : 'twice') || (twice === 'heals' && always !== 'heals');
}

describe('when the reply', { concurrency: 12 }, () => {
  let odd = false;
  for (const [operation, differing] of Object.entries(operations)) {
    const blocks = /^(Get|Put)/.test(operation);
    for (const fault of Object.keys(faults) as Fault[]) {
      const expected = differing[fault] ?? usual[fault];
      for (const [at, times] of (['twice', 'always'] as const).entries()) {
        if (!isWorthwhile(operation, fault, times, expected)) continue;
        odd = !odd;
        const all: Transport[] = blocks ? ['fast', 'sdk'] : ['sdk'];
        for (const transport of long || !blocks ? all : all.slice(Number(odd), Number(odd) + 1)) {
          const outcome = expected[at] as Outcome;
          const what =
            outcome === 'heals' ? 'all comes right' : `the exit code is ${outcome}, and the next run heals`;
          const how = blocks ? ` over ${transport}` : '';
          test(`to ${operation}${how} ${fault}, ${times}, ${what}`, (t) =>
            check(t, operation, transport, rule(operation, fault, times, transport), outcome));
        }
      }
    }
  }
});
