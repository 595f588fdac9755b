/** Fuzzers: each feeds one parser with damaged input and asserts what must hold of whatever it accepts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EBSClient } from '@aws-sdk/client-ebs';
import { parseReplyHead, UnsupportedReply } from '../../src/ebs/fast/reply-head.ts';
import { listBlocks } from '../../src/ebs/list/block-list.ts';
import { SdkEbsApi } from '../../src/ebs/sdk-api.ts';
import { parseFaults } from '../../src/emulator/fault-file.ts';
import { FaultRules } from '../../src/emulator/faults.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { readQemuMap } from '../../src/image/qemu-map.ts';
import { readJournal } from '../../src/transfer/journal/file.ts';
import { Mutator } from './mutator.ts';
import { type NodeReply, parseWithNode } from './node-parser.ts';

export interface Fuzzer {
  readonly name: string;
  /** Part of all inputs. */
  readonly share: number;
  /** @returns whether the input was accepted */
  readonly check: (mutator: Mutator, directory: string) => Promise<boolean> | boolean;
}

const head = [
  'HTTP/1.1 200 OK',
  'x-amzn-RequestId: 0b5a5a3c-4c9e-4c1e-9a51-000000000000',
  'Content-Type: application/octet-stream',
  'Content-Length: 65536',
  'x-amz-Data-Length: 65536',
  'x-amz-Checksum: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
  'x-amz-Checksum-Algorithm: SHA256',
  'Connection: keep-alive',
].join('\r\n');
const headParts = [
  '\r',
  '\n',
  '\r\n',
  '\r\n ',
  ' ',
  '\t',
  ':',
  ',',
  '\0',
  '\x7f',
  '\xa0',
  '\xff',
  '0',
  '-1',
  '+5',
].concat([
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'HTTP/1.1 200 OK\r\n',
  '__proto__: x\r\n',
]);

function checkHead(mutator: Mutator): boolean {
  const text = mutator.mutate(head, headParts);
  let ours: ReturnType<typeof parseReplyHead>;
  try {
    ours = parseReplyHead(text);
  } catch (error) {
    assert.ok(error instanceof UnsupportedReply);
    return false;
  }
  // An empty line ends the head before it is parsed.
  if (text.includes('\r\n\r\n')) return false;
  const theirs: NodeReply = parseWithNode(`${text}\r\n\r\n`);
  assert.equal(theirs.error, undefined, JSON.stringify(text));
  assert.equal(theirs.status, ours.status);
  assert.equal(Number(theirs.fields.get('content-length')), ours.contentLength);
  assert.equal(theirs.fields.get('x-amz-checksum'), ours.checksum);
  assert.equal(theirs.fields.get('x-amz-checksum-algorithm'), ours.algorithm);
  if (ours.keepAlive) assert.ok(theirs.keepAlive, JSON.stringify(text));
  return true;
}

const blocks = Array.from({ length: 6 }, (_, at) => ({ BlockIndex: at * 300, BlockToken: `AAAB${at}` }));
const list = JSON.stringify({
  Blocks: blocks,
  BlockSize: 524_288,
  ExpiryTime: 1.8e9,
  NextToken: null,
  VolumeSize: 1,
});
const jsonParts = [
  'null',
  'true',
  '1e400',
  '-0',
  '-1',
  '0.5',
  '9007199254740993',
  '""',
  '"7"',
  '[]',
  '{}',
  '[null]',
].concat(['"__proto__":{}', '"toString"', '"BlockIndex":5', ',', ':', '}', ']', '0']);

async function checkList(mutator: Mutator): Promise<boolean> {
  let reply: unknown;
  try {
    reply = JSON.parse(mutator.mutate(list, jsonParts));
  } catch {
    return false;
  }
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) return false;
  // The SDK removes nulls.
  const present = Object.fromEntries(Object.entries(reply).filter(([, value]) => value !== null));
  let pages = 0;
  const send = async () => ({
    $metadata: {},
    ...present,
    ...(pages++ === 0 ? {} : { Blocks: [], NextToken: undefined }),
  });
  const client = {
    send,
    config: { credentials: async () => ({}) },
    destroy: () => {},
  } as unknown as EBSClient;
  let next = 0;
  try {
    for await (const { entries, volumeSize, blockSize } of listBlocks(new SdkEbsApi(client), 'snap-1')) {
      for (const { blockIndex, blockToken } of entries) {
        assert.ok(Number.isInteger(blockIndex) && blockIndex >= next && blockIndex < volumeSize / blockSize);
        assert.ok(typeof blockToken === 'string' && blockToken !== '');
        next = blockIndex + 1;
      }
    }
  } catch (error) {
    assert.ok(error instanceof ColdsnapError && /^BAD_(LIST|REPLY)$/.test(error.code), String(error));
    return false;
  }
  // A page that is not in order is sorted.
  const { Blocks } = present as { Blocks: { BlockIndex: number }[] };
  const end = Math.max(0, ...Blocks.map(({ BlockIndex }) => BlockIndex + 1));
  assert.equal(next, end, 'blocks were dropped');
  return true;
}

const rules = JSON.stringify([
  {
    operation: 'GetSnapshotBlock',
    block: [1, 2],
    nth: 3,
    perBlock: true,
    action: { type: 'drop', at: 'body' },
  },
  { probability: 0.5, seed: 7, action: { type: 'error', status: 503, code: 'ServiceUnavailable' } },
  {
    operation: 'ListSnapshotBlocks',
    first: 2,
    action: { type: 'list', contents: 'endless', sameToken: true },
  },
]);

function checkFaults(mutator: Mutator): boolean {
  let parsed: ReturnType<typeof parseFaults>;
  try {
    parsed = parseFaults(mutator.mutate(rules, [...jsonParts, '"constructor"', '"type":"stall"']));
  } catch (error) {
    assert.ok(error instanceof ColdsnapError && error.code === 'BAD_FAULTS', String(error));
    return false;
  }
  const matching = new FaultRules(parsed);
  for (const blockIndex of [1, 2, 3]) {
    for (const action of matching.match({ operation: 'GetSnapshotBlock', snapshotId: 'snap-1', blockIndex }))
      assert.equal(typeof action.type, 'string');
  }
  return true;
}

const journalBody = JSON.stringify({
  version: 1,
  kind: 'download',
  snapshotId: 'snap-1',
  done: [
    [0, 5],
    [9, 12],
  ],
});
const digest = createHash('sha256').update(journalBody).digest('hex');
const journal = `${journalBody.slice(0, -1)},"digest":"${digest}"}`;

async function checkJournal(mutator: Mutator, directory: string): Promise<boolean> {
  const path = join(directory, 'journal');
  const text = mutator.mutate(journal, [...jsonParts, '"digest":']);
  writeFileSync(path, text, 'latin1');
  const reading = await readJournal(path);
  if (reading.kind !== 'present' || !reading.sealed) return false;
  assert.deepEqual(reading.content, JSON.parse(journalBody), 'a damaged journal is believed');
  return true;
}

const SIZE = 2 ** 20;
const map = JSON.stringify([
  { start: 0, length: 65_536, depth: 0, zero: false, data: true, offset: 0 },
  { start: 65_536, length: 458_752, depth: 0, zero: true, data: false },
  { start: 524_288, length: 524_288, depth: 0, zero: false, data: true },
]);

async function checkMap(mutator: Mutator, directory: string): Promise<boolean> {
  const path = join(directory, 'map');
  writeFileSync(path, mutator.mutate(map, [...jsonParts, 'false', '65536']), 'latin1');
  try {
    let end = 0;
    const { ranges } = await readQemuMap(path, SIZE);
    for (const range of ranges) {
      assert.ok(range.start >= end && range.end > range.start && range.end <= SIZE, JSON.stringify(range));
      end = range.end;
    }
    return true;
  } catch (error) {
    assert.ok(error instanceof ColdsnapError && error.code === 'BAD_HOLE_MAP', String(error));
    return false;
  }
}

export const fuzzers: readonly Fuzzer[] = [
  { name: 'the head of a reply', share: 0.5, check: checkHead },
  { name: 'a list', share: 0.25, check: checkList },
  { name: 'a fault file', share: 0.15, check: checkFaults },
  { name: 'a journal', share: 0.05, check: checkJournal },
  { name: 'a qemu map', share: 0.05, check: checkMap },
];

/** Runs one fuzzer over its share of `count` inputs. @returns how many inputs there were, and how many were accepted */
export async function fuzz(
  fuzzer: Fuzzer,
  count: number,
  seed: number,
  directory: string,
): Promise<{ inputs: number; accepted: number }> {
  const inputs = Math.ceil(count * fuzzer.share);
  let accepted = 0;
  for (let input = 0; input < inputs; input++) {
    // Each input has its own seed, so that one is repeated without those before it.
    try {
      if (await fuzzer.check(new Mutator(seed + input), directory)) accepted++;
    } catch (error) {
      throw new Error(`${fuzzer.name}, seed ${seed + input}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { inputs, accepted };
}
