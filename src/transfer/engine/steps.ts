/** Plans: lists of blocks turned into steps that cover the volume. */
import type { Step } from './block.ts';
import type { BlockSet } from './range-set.ts';

/** Part of a list of blocks. */
export interface ListedPage {
  readonly entries: Iterable<{ readonly blockIndex: number; readonly blockToken: string }>;
}

/**
 * Plans the transfer of listed blocks: what lies between them must read as zeros.
 *
 * @param pages ascending
 * @param end block at which the volume ends; asked for after the last block
 * @param done blocks that are right already
 * @param start block at which the plan begins
 */
export async function* listedBlocks(
  pages: AsyncIterable<ListedPage>,
  end: () => number,
  done: BlockSet,
  start = 0,
): AsyncGenerator<Step, void, undefined> {
  let next = start;
  for await (const { entries } of pages) {
    for (const { blockIndex: index, blockToken: token } of entries) {
      if (index > next) yield* gap(next, index, done);
      if (!done.has(index)) yield { kind: 'block', index, token };
      next = index + 1;
    }
  }
  yield* gap(next, end(), done);
}

function* gap(start: number, end: number, done: BlockSet): Generator<Step, void, undefined> {
  for (const [from, to] of done.missing(start, end)) yield { kind: 'zeros', start: from, end: to };
}

/** Cuts ranges of zeros into steps of at most `most` blocks; for Infinity these are the steps themselves. */
export function cutZeros(
  steps: AsyncGenerator<Step, void, undefined>,
  most: number,
): AsyncGenerator<Step, void, undefined> {
  return most === Number.POSITIVE_INFINITY ? steps : cut(steps, most);
}

async function* cut(steps: AsyncIterable<Step>, most: number): AsyncGenerator<Step, void, undefined> {
  for await (const step of steps) {
    if (step.kind !== 'zeros') {
      yield step;
      continue;
    }
    for (let start = step.start; start < step.end; start += most) {
      yield { kind: 'zeros', start, end: Math.min(start + most, step.end) };
    }
  }
}
