import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type FaultRule, parseFaults, startEmulator } from '../../src/emulator/index.ts';

test('rules are parsed from an array or from JSON text', () => {
  const rules: FaultRule[] = [
    {
      operation: 'GetSnapshotBlock',
      block: [1, 2],
      first: 3,
      action: { type: 'drop', at: 'body', bytes: 10 },
    },
    { probability: 0.5, seed: 7, action: { type: 'error', status: 500, code: 'InternalServerException' } },
    { action: { type: 'checksum', value: null } },
  ];
  assert.deepEqual(parseFaults(rules), rules);
  assert.deepEqual(parseFaults(JSON.stringify(rules)), rules);
  assert.deepEqual(parseFaults('[]'), []);
});

test('an invalid rule is rejected with its number and the invalid member', () => {
  const cases: [unknown, RegExp][] = [
    ['{', /^the faults are not JSON: /],
    [{}, /^the faults must be an array of rules$/],
    [[1], /^rule 1: must be an object$/],
    [[{}], /^rule 1: 'action' is missing$/],
    [
      [{ action: { type: 'chunked' } }, { action: {} }],
      /^rule 2, action: 'type' must be one of error, drop, /,
    ],
    [[{ action: { type: 'toString' } }], /^rule 1, action: 'type' must be one of /],
    [
      [{ action: { type: 'chunked', size: 1 } }],
      /^rule 1, action 'chunked': 'size' is unknown; no members are allowed$/,
    ],
    [[{ action: { type: 'drip' } }], /^rule 1, action 'drip': 'bytesPerSecond' is missing$/],
    [[{ action: { type: 'drip', bytesPerSecond: 0 } }], /'bytesPerSecond' must be a whole number from 1$/],
    [
      [{ action: { type: 'error', status: 99, code: 'x' } }],
      /'status' must be a whole number from 100 to 599$/,
    ],
    [[{ action: { type: 'stall', at: 'end' } }], /'at' must be one of request, headers, body$/],
    [[{ action: { type: 'list', contents: 'odd' } }], /'contents' must be one of outside, /],
    [
      [{ operation: 'GetBlock', action: { type: 'close' } }],
      /^rule 1: 'operation' must be one of StartSnapshot, /,
    ],
    [
      [{ blocks: 1, action: { type: 'close' } }],
      /^rule 1: 'blocks' is unknown; allowed: operation, snapshotId, block, /,
    ],
    [[{ block: [1, -1], action: { type: 'close' } }], /'block' must be a block index or an array of them$/],
    [[{ probability: 2, action: { type: 'close' } }], /'probability' must be a number from 0 to 1$/],
    [[{ nth: 0, action: { type: 'close' } }], /'nth' must be a whole number from 1$/],
  ];
  for (const [json, message] of cases)
    assert.throws(() => parseFaults(json), { class: 'usage', code: 'BAD_FAULTS', message });
});

test('the emulator rejects invalid rules at the start and in setFaults', async () => {
  const faults = [{ action: { type: 'drip' } }] as unknown as FaultRule[];
  await assert.rejects(startEmulator({ faults }), { code: 'BAD_FAULTS' });
  const emulator = await startEmulator();
  assert.throws(() => emulator.setFaults(faults), { code: 'BAD_FAULTS' });
  await emulator.close();
});

test('every example in the documentation is valid, and every type of action has one', async () => {
  const text = await readFile(new URL('../../docs/emulator.md', import.meta.url), 'utf8');
  const examples = [...text.matchAll(/```json\n(.*?)```/gs)].flatMap(([, json]) => parseFaults(json));
  const shown = new Set(examples.map(({ action }) => action.type));
  const message = await Promise.resolve().then(() => {
    try {
      parseFaults([{ action: { type: '?' } }]);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  });
  const kinds = message.replace(/.* one of /, '').split(', ');
  assert.deepEqual(
    kinds.filter((kind) => !shown.has(kind as FaultRule['action']['type'])),
    [],
  );
});
