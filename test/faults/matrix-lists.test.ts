/**
 * Every operation that `info` and `diff` use with every fault, twice and permanently: the output is right to the byte, or
 * there is none and the exit code is that of the cause. EC2 only adds to the output. No request is repeated without need.
 */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { diffSnapshots, type InfoResult, snapshotInfo } from '../../src/index.ts';
import { makeWorld } from '../cli/support.ts';
import '../support/in-memory.ts';
import { GIB, randomBlocks, startService } from '../support/service.ts';
import { type Fault, faults } from './faults.ts';
import { type Expected, expectedOutcomes, facts } from './outcomes.ts';

const BLOCK = 4096;
/** For runs that must give up, and for those that must not on a machine of any speed. */
const RETRY_FOR_MS = 300;
const PATIENT_MS = 600_000;
/** Without a byte for this long a stalled request fails; on a busy machine others must not. */
const STALL_MS = 2_000;
const last = GIB / BLOCK - 1;

interface Row {
  readonly operation: string;
  readonly command: string;
  /** The command line; `FIRST` and `SECOND` are snapshots. */
  readonly line: string;
}

const rows: readonly Row[] = [
  { operation: 'ListSnapshotBlocks', command: 'info', line: 'info --ranges SECOND' },
  { operation: 'DescribeSnapshots', command: 'info', line: 'info --json SECOND' },
  { operation: 'ListChangedBlocks', command: 'diff', line: 'diff --ranges FIRST SECOND' },
  { operation: 'ListSnapshotBlocks', command: 'diff of a snapshot and itself', line: 'diff SECOND SECOND' },
];

type Times = 'twice' | 'always';

/** Runs a command line with the library's real functions, on snapshots whose lists have several pages. */
async function scene(t: TestContext, { operation, line }: Row) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: 4 });
  const first = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: randomBlocks([0, 1, 2, 5, 100, last], [], BLOCK),
  });
  const second = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: randomBlocks([1, 2, 50, 51, 52, 53, last - 1], [], BLOCK),
    parent: first,
    gone: [100],
    description: 'disk.img',
    tags: { Name: 'web' },
  });
  const run = async (retryForMs: number, idleMs = PATIENT_MS) => {
    const limits = { ...service, retryForMs, deadlines: { connectMs: PATIENT_MS, idleMs } };
    const world = makeWorld({
      snapshotInfo: (options) => snapshotInfo({ ...options, ...limits }),
      diffSnapshots: (options) => diffSnapshots({ ...options, ...limits }),
    });
    const before = emulator.requests(operation).length;
    const exitCode = await world.run(line.replaceAll('FIRST', first).replaceAll('SECOND', second));
    const requests = emulator.requests(operation).length - before;
    return { exitCode, stdout: world.stdout.text, stderr: world.stderr.text, requests };
  };
  return { emulator, run };
}

/** What `info --json` prints where EC2 says nothing. */
function withoutEc2(stdout: string): string {
  const { state, encrypted, description, tags, startTime, ...listed } = JSON.parse(stdout) as InfoResult;
  assert.deepEqual([state, encrypted, description, tags], ['completed', false, 'disk.img', { Name: 'web' }]);
  assert.ok(startTime);
  return `${JSON.stringify(listed)}\n`;
}

function expectedOf({ operation, line }: Row, fault: Fault): Expected {
  // The first page has the sizes, and no other is needed.
  if (line === 'diff SECOND SECOND' && /^is an empty page/.test(fault)) return ['recovers', 'recovers'];
  // A wait would ask again, until EC2 lists it.
  if (operation === 'DescribeSnapshots' && fault === 'reports that the snapshot does not exist')
    return [1, 1];
  return expectedOutcomes(operation, fault);
}

/** The requests of the operation that a run with faults needs more than one without; undefined where it varies. */
function extraRequests(fault: Fault, times: Times, [twice, always]: Expected): number | undefined {
  const { type } = faults[fault];
  if (type === 'list' || type === 'stall') return undefined;
  if (twice === 'recovers') return always === 'recovers' ? 0 : times === 'twice' ? 2 : undefined;
  return undefined;
}

async function check(t: TestContext, row: Row, fault: Fault, times: Times) {
  const { operation } = row;
  const { emulator, run } = await scene(t, row);
  const right = await run(PATIENT_MS);
  assert.equal(right.exitCode, 0, right.stderr);
  assert.notEqual(right.stdout, '');

  const expected = expectedOf(row, fault);
  const outcome = expected[times === 'twice' ? 0 : 1];
  // A final failure must not come from the time limit.
  const retryForMs = outcome === 'recovers' || outcome === expected[0] ? PATIENT_MS : RETRY_FOR_MS;
  emulator.setFaults([{ operation, ...(times === 'twice' ? { first: 2 } : {}), action: faults[fault] }]);
  const found = await run(retryForMs, faults[fault].type === 'stall' ? STALL_MS : PATIENT_MS);

  const faulty = emulator.requests(operation).filter((request) => request.fault !== undefined).length;
  assert.ok(faulty > 0);
  if (outcome !== 'recovers' && operation !== 'DescribeSnapshots') {
    assert.equal(found.exitCode, outcome, found.stderr);
    assert.equal(found.stdout, '');
    assert.match(found.stderr, new RegExp(`^coldsnap: (?:${operation}|${facts})`, 'm'));
  } else {
    assert.equal(found.exitCode, 0, found.stderr);
    assert.equal(found.stdout, outcome === 'recovers' ? right.stdout : withoutEc2(right.stdout));
    assert.equal(found.stderr.includes('"code":"NOT_DESCRIBED"'), outcome !== 'recovers', found.stderr);
  }

  const extra = extraRequests(fault, times, expected);
  if (extra !== undefined) assert.equal(found.requests, right.requests + extra);
  if (expected[0] !== 'recovers' && faults[fault].type !== 'list') {
    // Credentials are renewed once, and a list is continued once without the token of its page.
    assert.ok(faulty <= (/expired credentials|page token/.test(fault) ? 2 : 1), `${faulty} requests failed`);
  }
}

/** Selects what the suite runs; COLDSNAP_LONG runs all. */
function isSelected(row: Row, fault: Fault, times: Times): boolean {
  if (process.env.COLDSNAP_LONG !== undefined) return true;
  if (faults[fault].type === 'list' && !row.operation.startsWith('List')) return false;
  // A thousand pages take three seconds.
  if (fault === 'is an empty page with a new page token') return times === 'twice';
  const [twice, always] = expectedOf(row, fault);
  return times === (twice === always ? 'always' : 'twice');
}

describe('when the reply', { concurrency: 12 }, () => {
  for (const row of rows) {
    for (const fault of Object.keys(faults) as Fault[]) {
      for (const times of ['twice', 'always'] as const) {
        if (!isSelected(row, fault, times)) continue;
        const outcome = expectedOf(row, fault)[times === 'twice' ? 0 : 1];
        const only =
          row.operation === 'DescribeSnapshots'
            ? 'only what EC2 knows is missing'
            : `the exit code is ${outcome}`;
        const what = outcome === 'recovers' ? 'the output is right' : only;
        test(`to ${row.operation} of ${row.command} ${fault}, ${times}, ${what}`, (t) =>
          check(t, row, fault, times));
      }
    }
  }
});
