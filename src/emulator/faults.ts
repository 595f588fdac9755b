/**
 * Faults by rule. A rule says which calls it is about and what happens to them; every rule that matches a call is
 * applied, in the order of the list. Rules are plain JSON.
 */

import { createHash } from 'node:crypto';

/** A reply with an error, in the shape of the protocol (JSON for EBS, XML for EC2). */
export interface ErrorFault {
  type: 'error';
  status: number;
  code: string;
  reason?: string;
  message?: string;
  /** Carry the operation out first; not carried out unless given. */
  executed?: boolean;
}

/** The connection ends. */
export interface DropFault {
  type: 'drop';
  /** `headers` (default): before any byte of the reply. `body`: in the middle of it. */
  at?: 'headers' | 'body';
  /** With `body`: after so many bytes; half of it unless given. */
  bytes?: number;
  /** With `headers`: carry the operation out first (a lost reply); not carried out unless given. */
  executed?: boolean;
  /** Reset the connection (RST) instead of closing it. */
  reset?: boolean;
}

/** The reply stops coming. */
export interface StallFault {
  type: 'stall';
  /** `request`: the request's body is never read. `headers` (default): nothing is answered. `body`: in the middle of the body. */
  at?: 'request' | 'headers' | 'body';
  /** With `body`: after so many bytes (0: after the headers); half of it unless given. */
  bytes?: number;
  /** Go on after so long; for ever unless given. */
  ms?: number;
  /** With `headers` and no `ms`: carry the operation out first; not carried out unless given. */
  executed?: boolean;
}

/** Fewer bytes than the headers say. */
export interface ShortBodyFault {
  type: 'short-body';
  /** So many bytes are sent; half of the body unless given. */
  bytes?: number;
  /**
   * `full` (default): Content-Length promises the whole body, and the connection ends early.
   * `short`: Content-Length is what is sent, and only x-amz-Data-Length promises more.
   */
  contentLength?: 'full' | 'short';
}

/** One bit of the body is another. */
export interface FlipBitFault {
  type: 'flip-bit';
  /** 0 unless given. */
  byte?: number;
  /** 0 … 7; 0 unless given. */
  bit?: number;
}

/** A header says something else: `null` leaves it out. */
export interface HeaderFault {
  type: 'checksum' | 'checksum-algorithm' | 'data-length';
  /** Unless given: the checksum of other data, `CRC32`, and the length plus one. */
  value?: string | number | null;
}

/** The body is sent chunked, without Content-Length. */
export interface ChunkedFault {
  type: 'chunked';
}

/** A page of HTML, as load balancers send it. */
export interface HtmlFault {
  type: 'html';
  /** 500 unless given. */
  status?: number;
  executed?: boolean;
}

/** The body comes slowly. */
export interface DripFault {
  type: 'drip';
  bytesPerSecond: number;
}

/** The connection is closed after the reply, which says so. */
export interface CloseFault {
  type: 'close';
  /** Close without saying so in a `Connection: close` header. */
  silent?: boolean;
}

/** One header of so many bytes (65,536 unless given). */
export interface HugeHeaderFault {
  type: 'huge-header';
  bytes?: number;
}

/** So many headers more (10,000 unless given). */
export interface HeaderFloodFault {
  type: 'header-flood';
  count?: number;
}

/** The body is cut in half, so that JSON or XML does not parse, with a Content-Length that fits. */
export interface MalformedFault {
  type: 'malformed-json';
}

/** A listing that no honest service gives. */
export interface ListFault {
  type: 'list';
  /**
   * `outside`: an index one past the volume. `negative`: index -1. `descending`: the page in reverse. `duplicate`: each entry twice.
   * `huge-volume`: VolumeSize of 2^40 GiB. `endless`: an empty page with a NextToken, again and again.
   */
  contents: 'outside' | 'negative' | 'descending' | 'duplicate' | 'huge-volume' | 'endless';
  /** With `endless`: the same token each time, or (default) another. */
  sameToken?: boolean;
}

/** The request waits before it is looked at. */
export interface DelayFault {
  type: 'delay';
  ms: number;
}

export type FaultAction =
  | ErrorFault
  | DropFault
  | StallFault
  | ShortBodyFault
  | FlipBitFault
  | HeaderFault
  | ChunkedFault
  | HtmlFault
  | DripFault
  | CloseFault
  | HugeHeaderFault
  | HeaderFloodFault
  | MalformedFault
  | ListFault
  | DelayFault;

/** Which calls, and what happens to them. All conditions given must hold. */
export interface FaultRule {
  /** `GetSnapshotBlock`, `DescribeSnapshots` …; any unless given. */
  operation?: string;
  snapshotId?: string;
  /** Block index or indexes. */
  block?: number | readonly number[];
  /** Only the n-th matching call, from 1. */
  nth?: number;
  /** Only the first n matching calls. */
  first?: number;
  /** Count `nth` and `first` for each block by itself. */
  perBlock?: boolean;
  /** 0 … 1; decided by `seed`, operation, block and the number of the call, so it does not depend on the order of blocks. */
  probability?: number;
  /** 0 unless given. */
  seed?: number;
  action: FaultAction;
}

/** What a rule sees of a call. */
export interface FaultCall {
  operation: string;
  snapshotId?: string | undefined;
  blockIndex?: number | undefined;
}

export class FaultRules {
  readonly #rules: { rule: FaultRule; blocks: ReadonlySet<number> | undefined; calls: Map<string, number> }[];

  constructor(rules: readonly FaultRule[]) {
    this.#rules = rules.map((rule) => ({
      rule,
      blocks: rule.block === undefined ? undefined : new Set([rule.block].flat() as number[]),
      calls: new Map(),
    }));
  }

  /** The actions for one call, in the order of the rules. Counts the call. */
  match(call: FaultCall): FaultAction[] {
    const actions: FaultAction[] = [];
    for (const { rule, blocks, calls } of this.#rules) {
      if (rule.operation !== undefined && rule.operation !== call.operation) continue;
      if (rule.snapshotId !== undefined && rule.snapshotId !== call.snapshotId) continue;
      if (blocks !== undefined && (call.blockIndex === undefined || !blocks.has(call.blockIndex))) continue;
      const byBlock = rule.perBlock === true || rule.probability !== undefined;
      const key = byBlock ? `${call.operation} ${call.blockIndex}` : '';
      const number = (calls.get(key) ?? 0) + 1;
      const total = byBlock ? (calls.get('') ?? 0) + 1 : number;
      calls.set('', total);
      calls.set(key, number);
      const counted = rule.perBlock === true ? number : total;
      if (rule.nth !== undefined && counted !== rule.nth) continue;
      if (rule.first !== undefined && counted > rule.first) continue;
      if (rule.probability !== undefined && draw(rule.seed ?? 0, key, number) >= rule.probability) continue;
      actions.push(rule.action);
    }
    return actions;
  }
}

/** 0 ≤ number < 1, the same for the same arguments. */
function draw(seed: number, key: string, number: number): number {
  return createHash('sha256').update(`${seed} ${key} ${number}`).digest().readUInt32BE(0) / 2 ** 32;
}
