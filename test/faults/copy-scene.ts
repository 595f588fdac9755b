/** Copies for the matrix of faults: of a snapshot, or of what has changed since another. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { type CopyOptions, copySnapshot, listPendingSnapshots } from '../../src/index.ts';
import { listedBlocks } from '../support/listed.ts';
import { assertCopy, startRegions } from '../support/regions.ts';
import { GIB, randomBlocks } from '../support/service.ts';

const sourceOperations = /^(List|Get)/;

/** The message of a failure names the side. */
export function namesSide(operation: string, message: string): boolean {
  const side = sourceOperations.test(operation) ? 'source region us-east-1' : 'destination region eu-west-1';
  return message.startsWith(`in the ${side}: `);
}

/** @returns the emulator that has the operation, and what runs the copy and asserts its result */
export async function copyScene(
  t: TestContext,
  operation: string,
  incremental: boolean,
  blockSize: number,
  options: (retryForMs?: number) => Omit<CopyOptions, 'snapshotId'>,
): Promise<{ emulator: Emulator; run: (retryForMs?: number) => Promise<void> }> {
  const regions = await startRegions(t, { blockSize, pageSize: 4 });
  const { source, destination, service } = regions;
  const baseBlocks = randomBlocks([0, 1, 2, 5, 100, GIB / blockSize - 1], [3], blockSize);
  const base = await source.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const changes = randomBlocks([1, 2, 50, 51, 52], [], blockSize);
  const next = await source.putSnapshot({ volumeSizeGiB: 1, blocks: changes, parent: base, gone: [100] });
  const parent = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const blocks = incremental
    ? new Map([...baseBlocks, ...changes, [100, Buffer.alloc(blockSize)]])
    : baseBlocks;
  const what = incremental
    ? { snapshotId: next, since: base, parentSnapshotId: parent }
    : { snapshotId: base };
  const run = async (retryForMs?: number) => {
    const { snapshotId } = await copySnapshot({ ...options(retryForMs), ...service, ...what });
    const listed = await listedBlocks(destination, snapshotId);
    await assertCopy(regions, snapshotId, { blocks, blockSize }, listed);
    const at = { endpoint: destination.url, region: destination.region };
    assert.deepEqual(await listPendingSnapshots(at), [], 'no pending snapshot remains');
  };
  return { emulator: sourceOperations.test(operation) ? source : destination, run };
}
