/** The layout of a bench snapshot. The contents of its blocks follow from its ID (see contents.h). */

export const BLOCK_SIZE = 524_288;
export const BLOCKS_PER_GIB = 2048;
/** The seed of the contents that every upload must have. */
export const SOURCE_SNAPSHOT = snapshotId(1);

export interface Layout {
  volumeGib: number;
  /** Number of blocks from the start of the volume that can be listed. */
  blocks: number;
  /** Every n-th of those is listed. */
  every: number;
  /** Percentage of listed blocks that are all zeros. */
  zerosPercent: number;
}

/** A full snapshot of `gib` GiB (a fraction is allowed), with `change` applied. */
export function layoutOf(gib: number, change: Partial<Layout> = {}): Layout {
  return {
    volumeGib: Math.ceil(gib),
    blocks: Math.round(gib * BLOCKS_PER_GIB),
    every: 1,
    zerosPercent: 0,
    ...change,
  };
}

export function listedBlocks(layout: Layout): number {
  return Math.ceil(layout.blocks / layout.every);
}

export function snapshotId(number: number): string {
  return `snap-${number.toString(16).padStart(17, '0')}`;
}

/** The layout as arguments of the C++ programs. */
export function layoutArguments(layout: Layout): string[] {
  return [
    ...['--volume-gib', String(layout.volumeGib), '--blocks', String(layout.blocks)],
    ...['--every', String(layout.every), '--zeros-percent', String(layout.zerosPercent)],
  ];
}
