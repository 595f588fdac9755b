/** Every failure has its class, over every stack; stacks with retries survive the transient ones. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Deadlines } from '../../src/ebs/connect.ts';
import type { FaultAction, FaultRule } from '../../src/emulator/index.ts';
import { ColdsnapError, type ErrorClass } from '../../src/errors.ts';
import { type Connected, connect, type Stack, stacks, withBlock, withPending } from './contract.ts';

interface Row {
  readonly says: string;
  readonly action: FaultAction;
  /** A second fault of the same reply. */
  readonly and?: FaultAction;
  readonly class: ErrorClass;
  readonly code: string;
  readonly deadlines?: Partial<Deadlines>;
  readonly only?: 'get' | 'put';
}

const serviceError = (status: number, code: string, reason?: string, message?: string): FaultAction => ({
  type: 'error',
  status,
  code,
  ...(reason === undefined ? {} : { reason }),
  ...(message === undefined ? {} : { message }),
});
/** Long enough for replies on a loaded machine, short enough for a test. */
const soon = { idleMs: 1_000 };

const rows: readonly Row[] = [
  {
    says: 'an internal failure of the service is transient',
    action: serviceError(500, 'InternalServerException'),
    class: 'transient',
    code: 'SERVICE_ERROR',
  },
  {
    says: "a load balancer's HTML page is transient",
    action: { type: 'html', status: 503 },
    class: 'transient',
    code: 'SERVICE_ERROR',
  },
  {
    says: 'a throttled snapshot is a throttle',
    action: serviceError(400, 'RequestThrottledException', 'RESOURCE_LEVEL_THROTTLE'),
    class: 'throttle',
    code: 'THROTTLED',
  },
  {
    says: 'a throttle with half a body is recognized by its head',
    action: serviceError(400, 'RequestThrottledException'),
    and: { type: 'malformed-json' },
    class: 'throttle',
    code: 'THROTTLED',
  },
  {
    says: 'an error reply that breaks off is transient',
    action: serviceError(400, 'RequestThrottledException'),
    and: { type: 'drop', at: 'body', reset: true },
    class: 'transient',
    code: 'CONNECTION_LOST',
  },
  {
    says: 'an HTML page with status 400 is permanent',
    action: { type: 'html', status: 400 },
    class: 'permanent',
    code: 'SERVICE_REJECTED',
  },
  {
    says: 'a throttled account is a throttle',
    action: serviceError(400, 'ThrottlingException'),
    class: 'throttle',
    code: 'THROTTLED',
  },
  {
    says: 'an expired block token has its own class',
    action: serviceError(400, 'ValidationException', 'INVALID_BLOCK_TOKEN'),
    class: 'expired-block-token',
    code: 'BLOCK_TOKEN_EXPIRED',
    only: 'get',
  },
  {
    says: 'an invalid request is permanent',
    action: serviceError(400, 'ValidationException', 'INVALID_SNAPSHOT_ID'),
    class: 'permanent',
    code: 'INVALID_SNAPSHOT_ID',
  },
  {
    says: 'an absent snapshot is permanent',
    action: serviceError(404, 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND'),
    class: 'permanent',
    code: 'SNAPSHOT_NOT_FOUND',
    only: 'get',
  },
  {
    says: 'a denied permission is a configuration error',
    action: serviceError(403, 'AccessDeniedException', 'UNAUTHORIZED_ACCOUNT'),
    class: 'config',
    code: 'ACCESS_DENIED',
  },
  {
    says: 'a denied key is a configuration error',
    action: serviceError(403, 'AccessDeniedException', 'DEPENDENCY_ACCESS_DENIED'),
    class: 'config',
    code: 'ACCESS_DENIED',
  },
  {
    says: 'unknown credentials are a configuration error',
    action: serviceError(403, 'UnrecognizedClientException'),
    class: 'config',
    code: 'NO_CREDENTIALS',
  },
  {
    says: 'an exceeded quota is permanent',
    action: serviceError(402, 'ServiceQuotaExceededException'),
    class: 'permanent',
    code: 'QUOTA_EXCEEDED',
  },
  {
    says: 'block data that the service failed to read is transient',
    action: serviceError(400, 'ValidationException', 'INVALID_PARAMETER_VALUE', 'Failed to read block data'),
    class: 'transient',
    code: 'BLOCK_DATA_NOT_READ',
    only: 'put',
  },
  {
    says: 'a write that timed out in the service is transient',
    action: serviceError(400, 'ValidationException', 'WRITE_REQUEST_TIMEOUT'),
    class: 'transient',
    code: 'WRITE_REQUEST_TIMEOUT',
    only: 'put',
  },
  {
    says: 'concurrent writes of one block are transient',
    action: serviceError(400, 'ValidationException', 'CONFLICTING_BLOCK_UPDATE'),
    class: 'transient',
    code: 'CONFLICTING_BLOCK_UPDATE',
    only: 'put',
  },
  {
    says: 'a connection closed before the reply is lost',
    action: { type: 'drop' },
    class: 'transient',
    code: 'CONNECTION_LOST',
  },
  {
    says: 'a connection reset before the reply is lost',
    action: { type: 'drop', reset: true },
    class: 'transient',
    code: 'CONNECTION_LOST',
  },
  {
    says: 'a connection closed in the middle of a block is lost',
    action: { type: 'drop', at: 'body' },
    class: 'transient',
    code: 'CONNECTION_LOST',
    only: 'get',
  },
  {
    says: 'a connection reset in the middle of a block is lost',
    action: { type: 'drop', at: 'body', reset: true },
    class: 'transient',
    code: 'CONNECTION_LOST',
    only: 'get',
  },
  {
    says: 'a head of 64 KiB loses the connection',
    action: { type: 'huge-header' },
    class: 'transient',
    code: 'CONNECTION_LOST',
  },
  {
    says: 'a head of ten thousand lines loses the connection',
    action: { type: 'header-flood' },
    class: 'transient',
    code: 'CONNECTION_LOST',
  },
  {
    says: 'a reply that does not arrive in time has stalled',
    action: { type: 'stall' },
    class: 'transient',
    code: 'STALLED',
    deadlines: soon,
  },
  {
    says: 'a block that stops arriving has stalled',
    action: { type: 'stall', at: 'body' },
    class: 'transient',
    code: 'STALLED',
    deadlines: soon,
    only: 'get',
  },
  {
    says: 'a block without a first byte has stalled',
    action: { type: 'stall', at: 'body', bytes: 0 },
    class: 'transient',
    code: 'STALLED',
    deadlines: soon,
    only: 'get',
  },
  {
    says: 'a payload that the service does not read has stalled',
    action: { type: 'stall', at: 'request' },
    class: 'transient',
    code: 'STALLED',
    deadlines: soon,
    only: 'put',
  },
];

const passing: readonly ErrorClass[] = ['transient', 'throttle'];

/** Prepares the request that the fault applies to. */
async function request(connected: Connected, operation: 'get' | 'put'): Promise<() => Promise<unknown>> {
  const { api } = connected;
  if (operation === 'put') {
    const { block } = await withPending(connected);
    return () => api.putSnapshotBlock(block);
  }
  const { block, buffer, data } = await withBlock(connected);
  return async () => {
    await api.getSnapshotBlock(block, buffer);
    assert.ok(buffer.equals(data));
  };
}

async function check(t: TestContext, stack: Stack, row: Row, operation: 'get' | 'put'): Promise<void> {
  const connected = await connect(t, stack, row.deadlines === undefined ? {} : { deadlines: row.deadlines });
  const { emulator, retried } = connected;
  const send = await request(connected, operation);
  const name = operation === 'get' ? 'GetSnapshotBlock' : 'PutSnapshotBlock';
  const heals = stack.retries && passing.includes(row.class);
  const rule: FaultRule = { operation: name, action: row.action, ...(heals ? { first: 2 } : {}) };
  emulator.setFaults(row.and === undefined ? [rule] : [rule, { ...rule, action: row.and }]);
  if (heals) {
    await send();
    assert.ok(retried.length >= 1);
    assert.deepEqual([retried[0]?.error.class, retried[0]?.error.code], [row.class, row.code]);
    return;
  }
  const failure = await send().then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof ColdsnapError, String(failure));
  assert.deepEqual(
    [failure.class, failure.code, failure.operation],
    [row.class, row.code, name],
    failure.message,
  );
  assert.equal(failure.block, operation === 'get' ? 5 : 7);
  assert.equal(retried.length, 0);
  // The fast path repeats a request through the SDK when the reply is neither success nor error.
  const isError = row.action.type === 'error' || row.action.type === 'html';
  assert.ok(emulator.requests(name).length <= (stack.fast && !isError ? 2 : 1));
  // A reply that breaks off may lack them.
  if (row.action.type === 'error' && row.and === undefined) {
    assert.equal(failure.httpStatus, row.action.status);
    assert.ok(failure.requestId);
  }
}

// Concurrent, because stalls take a second each.
describe('failures of block requests', { concurrency: 8 }, () => {
  for (const stack of stacks) {
    for (const row of rows) {
      for (const operation of ['get', 'put'] as const) {
        if (row.only !== undefined && row.only !== operation) continue;
        test(`${stack.name}: ${operation}: ${row.says}`, (t) => check(t, stack, row, operation));
      }
    }
  }
});
