/** Two emulators as two regions, for copies from one to the other. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import type { CopyDestination } from '../../src/index.ts';
import { firstWrongBlock, GIB } from './service.ts';

export const SOURCE_REGION = 'us-east-1';
export const DESTINATION_REGION = 'eu-west-1';

export interface Regions {
  readonly source: Emulator;
  readonly destination: Emulator;
  /** The options that connect a copy to both. */
  readonly service: { readonly endpoint: string; readonly region: string; readonly to: CopyDestination };
  close(): Promise<void>;
}

/** Starts both; each accepts only requests that are signed for its region. */
export async function openRegions(options: EmulatorOptions = {}, to: EmulatorOptions = {}): Promise<Regions> {
  const source = await startEmulator({ region: SOURCE_REGION, ...options });
  const { blockSize } = options;
  const both = blockSize === undefined ? {} : { blockSize };
  const destination = await startEmulator({ region: DESTINATION_REGION, ...both, ...to });
  return {
    source,
    destination,
    service: {
      endpoint: source.url,
      region: SOURCE_REGION,
      to: { endpoint: destination.url, region: DESTINATION_REGION },
    },
    close: async () => {
      await source.close();
      await destination.close();
    },
  };
}

/** The same, closed after the test. */
export async function startRegions(
  t: TestContext,
  options: EmulatorOptions = {},
  to: EmulatorOptions = {},
): Promise<Regions> {
  const regions = await openRegions(options, to);
  t.after(() => regions.close());
  return regions;
}

export interface Expected {
  /** All blocks that the copy lists. */
  readonly blocks: ReadonlyMap<number, Buffer>;
  readonly volumeSize?: number;
  readonly blockSize: number;
}

/** Asserts that a copy is completed, lists exactly these blocks, and holds exactly these bytes. */
export async function assertCopy(
  { destination }: Pick<Regions, 'destination'>,
  snapshotId: string,
  { blocks, volumeSize = GIB, blockSize }: Expected,
  listed: readonly number[],
): Promise<void> {
  assert.equal(destination.snapshot(snapshotId)?.status, 'completed');
  const ascending = (indexes: Iterable<number>) => [...indexes].sort((a, b) => a - b);
  assert.deepEqual(listed, ascending(blocks.keys()), 'the lists of blocks differ');
  const image = await destination.readImage(snapshotId);
  assert.equal(await firstWrongBlock(image, blocks, volumeSize, blockSize), undefined);
}
