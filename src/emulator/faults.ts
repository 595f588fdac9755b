/**
 * Fault rules. A rule selects calls and names a fault; all rules that match a call are applied, in order. Rules are
 * plain JSON.
 */

import { createHash } from 'node:crypto';

/** An error reply, in the format of the protocol (JSON for EBS, XML for EC2). */
export interface ErrorFault {
  type: 'error';
  status: number;
  code: string;
  reason?: string;
  message?: string;
  /** Execute the operation before replying. Default: false. */
  executed?: boolean;
}

/** The connection is closed. */
export interface DropFault {
  type: 'drop';
  /** `headers` (default): before the reply. `body`: within its body. */
  at?: 'headers' | 'body';
  /** With `body`: close after this many bytes. Default: half of the body. */
  bytes?: number;
  /** With `headers`: execute the operation first (a lost reply). Default: false. */
  executed?: boolean;
  /** Reset the connection (RST) instead of closing it. Default: false. */
  reset?: boolean;
}

/** The reply stalls. */
export interface StallFault {
  type: 'stall';
  /** `request`: the request's body is not read. `headers` (default): no reply is sent. `body`: the body stops. */
  at?: 'request' | 'headers' | 'body';
  /** With `body`: stall after this many bytes (0: after the headers). Default: half of the body. */
  bytes?: number;
  /** Continue after this many milliseconds. Default: never. */
  ms?: number;
  /** With `headers` and no `ms`: execute the operation first. Default: false. */
  executed?: boolean;
}

/** The body is shorter than the headers announce. */
export interface ShortBodyFault {
  type: 'short-body';
  /** Bytes sent. Default: half of the body. */
  bytes?: number;
  /**
   * `full` (default): Content-Length announces the whole body, and the connection closes early.
   * `short`: Content-Length matches the bytes sent; only x-amz-Data-Length announces more.
   */
  contentLength?: 'full' | 'short';
}

/** One bit of the body is flipped. */
export interface FlipBitFault {
  type: 'flip-bit';
  /** Default: 0. */
  byte?: number;
  /** 0 … 7. Default: 0. */
  bit?: number;
}

/** A header has another value; `null` omits it. */
export interface HeaderFault {
  type: 'checksum' | 'checksum-algorithm' | 'data-length';
  /** Default: the checksum of other data, `CRC32`, or the length plus one. */
  value?: string | number | null;
}

/** The body is sent chunked, without Content-Length. */
export interface ChunkedFault {
  type: 'chunked';
}

/** An HTML page, as load balancers send it. */
export interface HtmlFault {
  type: 'html';
  /** Default: 500. */
  status?: number;
  /** Execute the operation before replying. Default: false. */
  executed?: boolean;
}

/** The body is sent slowly. */
export interface DripFault {
  type: 'drip';
  bytesPerSecond: number;
}

/** The connection is closed after the reply, which has a `Connection: close` header. */
export interface CloseFault {
  type: 'close';
  /** Omit the `Connection: close` header. Default: false. */
  silent?: boolean;
}

/** One very long header. */
export interface HugeHeaderFault {
  type: 'huge-header';
  /** Default: 65,536. */
  bytes?: number;
}

/** Many additional headers. */
export interface HeaderFloodFault {
  type: 'header-flood';
  /** Default: 10,000. */
  count?: number;
}

/** The body is cut in half, so that JSON or XML does not parse; Content-Length matches. */
export interface MalformedFault {
  type: 'malformed-json';
}

/** An invalid listing. */
export interface ListFault {
  type: 'list';
  /**
   * `outside`: an index one past the volume. `negative`: index -1. `descending`: the page in reverse order. `duplicate`:
   * each entry twice. `huge-volume`: a VolumeSize of 2^40 GiB. `other-volume`: a VolumeSize one GiB larger.
   * `other-blocks`: twice the BlockSize. `endless`: always an empty page with a NextToken.
   */
  contents:
    | 'outside'
    | 'negative'
    | 'descending'
    | 'duplicate'
    | 'huge-volume'
    | 'other-volume'
    | 'other-blocks'
    | 'endless';
  /** With `endless`: repeat the same token. Default: false, a new one on each page. */
  sameToken?: boolean;
}

/** The request waits before it is processed. */
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

/** Selects calls, by conditions that must all hold, and names a fault. */
export interface FaultRule {
  /** For example `GetSnapshotBlock` or `DescribeSnapshots`. Default: any. */
  operation?: string;
  snapshotId?: string;
  /** One block index or several. */
  block?: number | readonly number[];
  /** Only the n-th matching call, from 1. */
  nth?: number;
  /** Only the first n matching calls. */
  first?: number;
  /** Count `nth` and `first` separately for each block. */
  perBlock?: boolean;
  /** 0 … 1; drawn from `seed`, operation, block and call number, so the result does not depend on the order of blocks. */
  probability?: number;
  /** Default: 0. */
  seed?: number;
  action: FaultAction;
}

/** The properties of a call that rules match. */
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

/** A number ≥ 0 and < 1, the same for the same arguments. */
function draw(seed: number, key: string, number: number): number {
  return createHash('sha256').update(`${seed} ${key} ${number}`).digest().readUInt32BE(0) / 2 ** 32;
}
