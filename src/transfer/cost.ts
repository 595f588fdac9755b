/** Prices and quotas of the service, and the cost of transfers. */

/** Requests and dollars of a transfer, and its shortest time. */
export interface TransferCost {
  /** Requests to the EBS direct APIs. A list counts as pages of 10,000 blocks. */
  readonly requests: number;
  /** US dollars, at the prices of us-east-1. */
  readonly dollars: number;
  /** Seconds at 1,000 blocks per second, which the service allows for one snapshot. */
  readonly seconds: number;
}

export const noCost: TransferCost = { requests: 0, dollars: 0, seconds: 0 };

/**
 * Prices of us-east-1 per request, in units of 10^-7 dollars, so that sums are exact: $0.0006, $0.003 and $0.006 per 1,000
 * (https://aws.amazon.com/ebs/pricing/, November 2026).
 */
const UNITS_PER_DOLLAR = 1e7;
const LIST = 6;
const GET = 30;
const PUT = 60;

/** Quota of GetSnapshotBlock and PutSnapshotBlock, which cannot be raised. */
const BLOCKS_PER_SECOND = 1_000;

const BLOCKS_PER_PAGE = 10_000;

/**
 * @param blocks blocks to get
 * @param listed blocks in the list, which has at least one page
 */
export function costOfReading(blocks: number, listed = blocks): TransferCost {
  const pages = Math.max(1, Math.ceil(listed / BLOCKS_PER_PAGE));
  return {
    requests: pages + blocks,
    dollars: (pages * LIST + blocks * GET) / UNITS_PER_DOLLAR,
    seconds: blocks / BLOCKS_PER_SECOND,
  };
}

/**
 * @param gets blocks to get
 * @param puts blocks to put: those, and zeros. Gets and puts run at the same time
 */
export function costOfCopying(gets: number, puts: number): TransferCost {
  const reading = costOfReading(gets);
  const writing = costOfWriting(puts);
  const units = Math.round((reading.dollars + writing.dollars) * UNITS_PER_DOLLAR);
  return {
    requests: reading.requests + writing.requests,
    dollars: units / UNITS_PER_DOLLAR,
    seconds: Math.max(reading.seconds, writing.seconds),
  };
}

/**
 * The dollars that an upload of what differs saves against one that puts all blocks.
 * @param skipped blocks that were not put
 * @param fetched blocks of the parent that were read to compare them
 */
export function dollarsSaved(skipped: number, fetched: number): number {
  return Math.max(0, skipped * PUT - fetched * GET) / UNITS_PER_DOLLAR;
}

/** @param blocks blocks to put; starting and completing the snapshot cost nothing */
export function costOfWriting(blocks: number): TransferCost {
  return {
    requests: blocks + 2,
    dollars: (blocks * PUT) / UNITS_PER_DOLLAR,
    seconds: blocks / BLOCKS_PER_SECOND,
  };
}
