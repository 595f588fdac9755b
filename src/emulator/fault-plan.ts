/** Combines the faults of one call: before the operation, in its reply, and while the reply is sent. */

import { createHash } from 'node:crypto';
import type { Delivery } from './deliver.ts';
import { ServiceError } from './errors.ts';
import type { DropFault, FaultAction, ListFault, StallFault } from './faults.ts';
import { alterListing } from './hostile-lists.ts';
import { errorReply, type Protocol, type Reply } from './reply.ts';

/** Replaces the operation's own reply. */
type Replacement =
  | { kind: 'reply'; make: (protocol: Protocol, requestId: string) => Reply; executed: boolean }
  | { kind: 'drop'; fault: DropFault; executed: boolean }
  | { kind: 'stall'; fault: StallFault; executed: boolean };

export interface FaultPlan {
  delayMs: number;
  replacement: Replacement | undefined;
  /** Ignore a listing's page token: an earlier fault may have invented it. */
  ignorePageToken: boolean;
  alter: (reply: Reply) => void;
  delivery: Delivery;
}

/** Combines the actions; of several that replace the reply, the first applies. */
export function planFaults(actions: readonly FaultAction[]): FaultPlan {
  const plan: FaultPlan = {
    delayMs: 0,
    replacement: undefined,
    ignorePageToken: actions.some((action) => action.type === 'list' && action.contents === 'endless'),
    alter: () => {},
    delivery: {},
  };
  const alterations: ((reply: Reply) => void)[] = [];
  for (const action of actions) {
    if (action.type === 'delay') plan.delayMs += action.ms;
    else if (action.type === 'close') plan.delivery.close = action.silent === true ? 'silent' : 'announced';
    else {
      const replacement = replacementFor(action);
      if (replacement !== undefined) plan.replacement ??= replacement;
      else alterations.push((reply) => alterReply(action, reply, plan.delivery));
    }
  }
  plan.alter = (reply) => {
    for (const alteration of alterations) alteration(reply);
  };
  return plan;
}

function replacementFor(action: FaultAction): Replacement | undefined {
  switch (action.type) {
    case 'error': {
      const { status, code, reason } = action;
      const message = action.message ?? 'An injected fault.';
      const make = (protocol: Protocol, requestId: string): Reply =>
        errorReply(protocol, new ServiceError(status, code, message, reason), requestId);
      return { kind: 'reply', make, executed: action.executed === true };
    }
    case 'html':
      return {
        kind: 'reply',
        make: () => htmlReply(action.status ?? 500),
        executed: action.executed === true,
      };
    case 'drop':
      if (action.at === 'body') return undefined;
      return { kind: 'drop', fault: action, executed: action.executed === true };
    case 'stall':
      if (action.at === 'body') return undefined;
      return { kind: 'stall', fault: action, executed: action.executed === true };
    default:
      return undefined;
  }
}

function htmlReply(status: number): Reply {
  const body = `<html><head><title>${status}</title></head><body><h1>${status}</h1>An injected fault.</body></html>`;
  return { status, headers: { 'Content-Type': 'text/html' }, body: Buffer.from(body) };
}

function alterReply(action: FaultAction, reply: Reply, delivery: Delivery): void {
  const half = Math.floor(reply.body.length / 2);
  switch (action.type) {
    case 'drop':
      delivery.cut = { after: action.bytes ?? half, reset: action.reset === true };
      return;
    case 'stall':
      delivery.pause = { after: action.bytes ?? half, ms: action.ms };
      return;
    case 'short-body': {
      const bytes = action.bytes ?? half;
      if (action.contentLength === 'short') reply.body = reply.body.subarray(0, bytes);
      else delivery.cut = { after: bytes, reset: false };
      return;
    }
    case 'flip-bit':
      flipBit(reply, action.byte ?? 0, action.bit ?? 0);
      return;
    case 'checksum':
      setHeader(reply, 'x-amz-Checksum', action.value, wrongChecksum(reply));
      return;
    case 'checksum-algorithm':
      setHeader(reply, 'x-amz-Checksum-Algorithm', action.value, 'CRC32');
      return;
    case 'data-length':
      setHeader(reply, 'x-amz-Data-Length', action.value, reply.body.length + 1);
      return;
    case 'chunked':
      delivery.chunked = true;
      return;
    case 'drip':
      delivery.bytesPerSecond = action.bytesPerSecond;
      return;
    case 'huge-header':
      reply.headers['x-amz-huge'] = 'x'.repeat(action.bytes ?? 65_536);
      return;
    case 'header-flood':
      for (let n = action.count ?? 10_000; n > 0; n--) reply.headers[`x-amz-flood-${n}`] = 'x';
      return;
    case 'malformed-json':
      reply.body = reply.body.subarray(0, half);
      return;
    case 'list':
      alterListing(action satisfies ListFault, reply);
  }
}

function setHeader(
  reply: Reply,
  name: string,
  value: string | number | null | undefined,
  fallback: string | number,
): void {
  if (value === null) delete reply.headers[name];
  else reply.headers[name] = String(value ?? fallback);
}

/** The checksum of other data. */
function wrongChecksum(reply: Reply): string {
  return createHash('sha256').update(reply.body).update('other data').digest('base64');
}

function flipBit(reply: Reply, byte: number, bit: number): void {
  if (byte >= reply.body.length) return;
  const body = Buffer.from(reply.body);
  body[byte] = (body[byte] as number) ^ (1 << bit);
  reply.body = body;
}
