/** A snapshot's contents as a reader sees them: its own blocks over those of its ancestors. */

import type { Snapshot } from './snapshot.ts';

/** The snapshot and its ancestors, youngest first. */
export function lineage(snapshot: Snapshot): Snapshot[] {
  const layers: Snapshot[] = [];
  for (let layer: Snapshot | undefined = snapshot; layer !== undefined; layer = layer.parent)
    layers.push(layer);
  return layers;
}

/** The layer that provides a block, or undefined if the snapshot does not have it. */
export function providerOf(layers: readonly Snapshot[], block: number): Snapshot | undefined {
  for (const layer of layers) {
    if (layer.written.has(block)) return layer;
    if (layer.gone.has(block)) return undefined;
  }
  return undefined;
}

/** The first block ≥ `from` that the snapshot has, or -1. */
export function nextBlock(layers: readonly Snapshot[], from: number): number {
  for (let at = from; ; at++) {
    at = nextWritten(layers, at);
    if (at === -1 || layers.length === 1 || providerOf(layers, at) !== undefined) return at;
  }
}

function nextWritten(layers: readonly Snapshot[], from: number): number {
  let nearest = -1;
  for (const layer of layers) nearest = nearer(nearest, layer.written.next(from));
  return nearest;
}

function nearer(a: number, b: number): number {
  if (a === -1) return b;
  return b === -1 ? a : Math.min(a, b);
}

/** Whether the two are the same, or one is an ancestor of the other. */
export function related(first: readonly Snapshot[], second: readonly Snapshot[]): boolean {
  return second.includes(first[0] as Snapshot) || first.includes(second[0] as Snapshot);
}

export interface Difference {
  block: number;
  inFirst: boolean;
  inSecond: boolean;
}

/**
 * The first block ≥ `from` that different layers provide to two related snapshots. A block put again with the same
 * contents differs: the service compares writes, not bytes.
 */
export function nextDifference(
  first: readonly Snapshot[],
  second: readonly Snapshot[],
  from: number,
): Difference | undefined {
  const [longer, shorter] = first.length > second.length ? [first, second] : [second, first];
  const between = longer.slice(0, longer.length - shorter.length);
  for (let block = from; ; block++) {
    let nearest = -1;
    for (const layer of between) {
      nearest = nearer(nearest, layer.written.next(block));
      nearest = nearer(nearest, layer.gone.next(block));
    }
    if (nearest === -1) return undefined;
    block = nearest;
    const one = providerOf(first, block);
    const other = providerOf(second, block);
    if (one !== other) return { block, inFirst: one !== undefined, inSecond: other !== undefined };
  }
}
