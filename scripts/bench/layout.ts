/** The shape of a bench snapshot; what is in its blocks follows from its ID (see contents.h). */

export const BLOCK_SIZE = 524_288;
export const BLOCKS_PER_GIB = 2048;
/** The contents that every upload is expected to have. */
export const SOURCE_SNAPSHOT = snapshotId(1);

export interface Layout {
  volumeGib: number;
  /** Blocks from the start of the volume that can be listed; the rest is not. */
  blocks: number;
  /** Every which of those is listed. */
  every: number;
  /** How many of the listed are all zeros, percent. */
  zerosPercent: number;
}

/** A full snapshot of `gib` GiB (a fraction is allowed), unless `change` says otherwise. */
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

/** As the C++ programs take it. */
export function layoutArguments(layout: Layout): string[] {
  return [
    ...['--volume-gib', String(layout.volumeGib), '--blocks', String(layout.blocks)],
    ...['--every', String(layout.every), '--zeros-percent', String(layout.zerosPercent)],
  ];
}
