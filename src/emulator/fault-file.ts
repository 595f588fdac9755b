/** Parses and validates fault rules. */

import { ColdsnapError } from '../errors.ts';
import type { FaultAction, FaultRule } from './faults.ts';

/** Returns why a value is invalid, or undefined. */
type Check = (value: unknown) => string | undefined;

const string: Check = (value) => (typeof value === 'string' && value !== '' ? undefined : 'must be a string');
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
const share: Check = (value) =>
  typeof value === 'number' && value >= 0 && value <= 1 ? undefined : 'must be a number from 0 to 1';
const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER): Check =>
  (value) => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)
      return undefined;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
    return `must be a whole number ${range}`;
  };
const oneOf =
  (...values: string[]): Check =>
  (value) =>
    values.includes(value as string) ? undefined : `must be one of ${values.join(', ')}`;
const headerValue: Check = (value) =>
  value === null || typeof value === 'string' || typeof value === 'number'
    ? undefined
    : 'must be a string, a number or null';
const blocks: Check = (value) => {
  const list = Array.isArray(value) ? value : [value];
  return list.length > 0 && list.every((block) => whole(0)(block) === undefined)
    ? undefined
    : 'must be a block index or an array of them';
};

/** The members of each type of action; a name ending in `!` is required. */
const actions: Record<FaultAction['type'], Record<string, Check>> = {
  error: { 'status!': whole(100, 599), 'code!': string, reason: string, message: string, executed: flag },
  drop: { at: oneOf('headers', 'body'), bytes: whole(0), executed: flag, reset: flag },
  stall: { at: oneOf('request', 'headers', 'body'), bytes: whole(0), ms: whole(0), executed: flag },
  'short-body': { bytes: whole(0), contentLength: oneOf('full', 'short') },
  'flip-bit': { byte: whole(0), bit: whole(0, 7) },
  checksum: { value: headerValue },
  'checksum-algorithm': { value: headerValue },
  'data-length': { value: headerValue },
  chunked: {},
  html: { status: whole(200, 599), executed: flag },
  drip: { 'bytesPerSecond!': whole(1) },
  close: { silent: flag },
  'huge-header': { bytes: whole(1) },
  'header-flood': { count: whole(1) },
  'malformed-json': {},
  list: {
    'contents!': oneOf(
      'outside',
      'negative',
      'descending',
      'duplicate',
      'huge-volume',
      'other-volume',
      'other-blocks',
      'endless',
    ),
    sameToken: flag,
  },
  delay: { 'ms!': whole(0) },
};

/** The operations that rules can name. */
const operations = [
  'StartSnapshot',
  'PutSnapshotBlock',
  'CompleteSnapshot',
  'ListSnapshotBlocks',
  'ListChangedBlocks',
  'GetSnapshotBlock',
  'DescribeSnapshots',
  'DeleteSnapshot',
  'CreateTags',
];

const conditions: Record<string, Check> = {
  operation: oneOf(...operations),
  snapshotId: string,
  block: blocks,
  nth: whole(1),
  first: whole(1),
  perBlock: flag,
  probability: share,
  seed: whole(0),
};

/**
 * Validates fault rules, given as an array or as JSON text.
 *
 * @throws ColdsnapError (`usage`, `BAD_FAULTS`) naming the first invalid rule and member
 */
export function parseFaults(json: unknown): FaultRule[] {
  let value = json;
  if (typeof value === 'string') {
    try {
      value = JSON.parse(value);
    } catch (error) {
      throw refusal(`the faults are not JSON: ${(error as Error).message}`);
    }
  }
  if (!Array.isArray(value)) throw refusal('the faults must be an array of rules');
  value.forEach((rule: unknown, index) => {
    checkRule(rule, `rule ${index + 1}`);
  });
  return value as FaultRule[];
}

function checkRule(rule: unknown, where: string): void {
  const { action, ...rest } = membersOf(rule, where);
  checkMembers(rest, conditions, where);
  if (action === undefined) throw refusal(`${where}: 'action' is missing`);
  const { type, ...members } = membersOf(action, `${where}, action`);
  if (typeof type !== 'string' || !Object.hasOwn(actions, type)) {
    throw refusal(`${where}, action: 'type' must be one of ${Object.keys(actions).join(', ')}`);
  }
  checkMembers(members, actions[type as FaultAction['type']], `${where}, action '${type}'`);
}

function membersOf(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw refusal(`${where}: must be an object`);
}

function checkMembers(members: Record<string, unknown>, checks: Record<string, Check>, where: string): void {
  const byName = new Map(Object.entries(checks).map(([name, check]) => [name.replace('!', ''), check]));
  const names = [...byName.keys()];
  for (const [name, value] of Object.entries(members)) {
    if (value === undefined) continue;
    const check = byName.get(name);
    if (check === undefined) {
      const known = names.length === 0 ? 'no members are allowed' : `allowed: ${names.join(', ')}`;
      throw refusal(`${where}: '${name}' is unknown; ${known}`);
    }
    const fault = check(value);
    if (fault !== undefined) throw refusal(`${where}: '${name}' ${fault}`);
  }
  for (const name of Object.keys(checks)) {
    const required = name.endsWith('!') ? name.slice(0, -1) : undefined;
    if (required !== undefined && members[required] === undefined)
      throw refusal(`${where}: '${required}' is missing`);
  }
}

function refusal(message: string): ColdsnapError {
  return new ColdsnapError('usage', 'BAD_FAULTS', message, {
    hint: 'A rule looks like {"operation": "GetSnapshotBlock", "nth": 3, "action": {"type": "drop"}}.',
  });
}
