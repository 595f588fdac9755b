/** Both tools on every command line of coldsnap 0.12: the same requests, output and files, but for what is meant. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { ours, type Tool, Workplace } from '../support/workplace.ts';
import {
  type CommandLine,
  commandLines,
  FAILED,
  type Meant,
  PENDING,
  SNAP,
  titleOf,
  wordsOf,
} from './command-lines.ts';
import { differences } from './differences.ts';
import { digest, type Facts, snapshotsOf, statTarget } from './facts.ts';
import { needsBoth, needsPeer, peer } from './tools.ts';

const BLOCK = 524_288;
const data = randomBytes(4 * BLOCK);
const block = (index: number) => data.subarray(index * BLOCK, (index + 1) * BLOCK);
const zeros = Buffer.alloc(BLOCK);
/** Three blocks and a bit; the second is zeros. */
const image = Buffer.concat([block(0), zeros, block(1), block(2).subarray(0, 1000)]);
const snapshotBlocks = new Map([
  [0, block(3)],
  [1, zeros],
  [1000, block(0)],
  [2047, block(1)],
]);

/** Runs one of the tools in a place of its own, in which everything is as it is in the other's. */
async function perform(t: TestContext, tool: Tool, line: CommandLine) {
  const place = await Workplace.for(t);
  const { emulator } = place;
  await emulator.putSnapshot({ id: SNAP, volumeSizeGiB: 1, blocks: snapshotBlocks });
  await emulator.putSnapshot({ id: PENDING, volumeSizeGiB: 1, blocks: new Map(), status: 'pending' });
  await emulator.putSnapshot({ id: FAILED, volumeSizeGiB: 1, blocks: new Map(), status: 'error' });
  const before = {
    snapshots: new Set(snapshotsOf(place)),
    image: await digest(await emulator.readImage(SNAP)),
  };
  writeFileSync(place.path('disk.img'), image);
  writeFileSync(place.path('old.img'), 'old');
  writeFileSync(place.path('empty.img'), '');
  writeFileSync(place.path('big.img'), block(0));
  truncateSync(place.path('big.img'), 2 ** 30 + 1);
  mkdirSync(place.path('folder'));
  mkdirSync(`${place.home}/.aws`);
  writeFileSync(`${place.home}/.aws/credentials`, place.credentialsFile);
  const outcome = await place.run(tool, ['--endpoint', emulator.url, ...wordsOf(line)], line.env);
  return { facts: await statTarget(place, outcome, before), exit: outcome.exit, stderr: outcome.stderr };
}

function expectedFacts(theirs: Facts, meant: Meant): Record<keyof Facts, unknown> {
  return {
    succeeds: meant.succeeds ?? theirs.succeeds,
    stdout: meant.stdout ?? theirs.stdout,
    requests: merged(theirs.requests, meant.requests),
    files: merged(theirs.files, meant.files),
    started: theirs.started,
  };
}

function merged(theirs: object, meant: object = {}): object {
  const both = Object.entries({ ...theirs, ...meant });
  return Object.fromEntries(both.filter(([, value]) => value !== undefined));
}

describe('with both tools', { concurrency: 3 }, () => {
  for (const line of commandLines) {
    test(titleOf(line), needsBoth, async (t) => {
      const [theirs, own] = await Promise.all([perform(t, peer, line), perform(t, ours, line)]);
      assert.equal(own.exit, line.exit ?? 0, own.stderr);
      if (line.differs === undefined) {
        assert.deepEqual(own.facts, theirs.facts, "this tool's first, then the other's");
        return;
      }
      const why = differences[line.differs.why];
      const { started, ...others } = expectedFacts(theirs.facts, line.differs);
      const { started: ownStarted, ...ownOthers } = own.facts;
      assert.deepEqual(ownOthers, others, why);
      if (line.differs.started === undefined) assert.deepEqual(ownStarted, started, why);
      else assert.equal(ownStarted.length, line.differs.started, why);
      assert.notDeepEqual(own.facts, theirs.facts, `no longer so: ${why}`);
    });
  }
});

test('the table has every option that the help of the other tool knows', needsPeer, async (t) => {
  const place = await Workplace.for(t);
  const tried = (command: string) =>
    new Set(commandLines.map(wordsOf).flatMap((words) => (words.includes(command) ? words : [])));
  for (const command of ['download', 'upload', 'wait']) {
    const { stdout } = await place.run(peer, [command, '--help']);
    const known = stdout.match(/--[a-z][a-z-]+/g) ?? [];
    assert.ok(known.length > 4, stdout);
    assert.deepEqual(
      [...new Set(known)].filter((option) => !tried(command).has(option)),
      [],
      command,
    );
  }
  const { stdout } = await place.run(peer, ['--help']);
  const global = [...new Set(stdout.match(/--[a-z][a-z-]+/g))];
  const words = new Set(commandLines.flatMap(wordsOf));
  // Every command line is run with an endpoint.
  assert.deepEqual(
    global.filter((option) => !words.has(option)),
    ['--endpoint'],
  );
  const commands = [...stdout.split('Commands:')[1]!.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(commands, ['download', 'upload', 'wait']);
});

test(
  'with both tools, uploads are completed with a LINEAR checksum; this one marks them',
  needsBoth,
  async (t) => {
    const seen = [];
    for (const tool of [peer, ours]) {
      const place = await Workplace.for(t);
      writeFileSync(place.path('disk.img'), image);
      const id = await place.succeed(tool, 'upload', 'disk.img');
      const { headers } = place.emulator.requests('CompleteSnapshot')[0]!;
      const method = headers['x-amz-checksum-aggregation-method'];
      seen.push({ tags: place.emulator.snapshot(id)?.tags, method });
    }
    assert.deepEqual(seen, [
      { tags: {}, method: 'LINEAR' },
      { tags: { 'coldsnap:upload': 'true' }, method: 'LINEAR' },
    ]);
  },
);

test('where the other tool gives up waiting after 90 attempts, this one goes on', needsBoth, async (t) => {
  const words = ['wait', '--seconds-between-attempts', '0', PENDING];
  const [theirs, own] = await Promise.all([Workplace.for(t), Workplace.for(t)]);
  for (const { emulator } of [theirs, own]) {
    await emulator.putSnapshot({ id: PENDING, volumeSizeGiB: 1, blocks: new Map(), status: 'pending' });
  }
  const outcome = await theirs.run(peer, ['--endpoint', theirs.emulator.url, ...words]);
  assert.match(outcome.stderr, /within 90 attempts/);
  const child = own.start(ours, ['--endpoint', own.emulator.url, ...words]);
  await own.emulator.waitForRequest(({ operation }) => operation === 'DescribeSnapshots', 100);
  child.kill();
  const [exit] = await once(child, 'close');
  assert.equal(exit, 143);
});
