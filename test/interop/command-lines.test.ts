/** Both tools on every command line of coldsnap 0.12: the same requests, output and files, except intended differences. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { ours, type Tool, Workplace } from '../support/workplace.ts';
import {
  argsOf,
  type CommandLine,
  commandLines,
  FAILED,
  type IntendedDifference,
  PENDING,
  SNAP,
  titleOf,
} from './command-lines.ts';
import { differences } from './differences.ts';
import { digest, type Effects, observe, snapshotsOf } from './effects.ts';
import { needsBoth, needsPeer, peer } from './tools.ts';

const BLOCK = 524_288;
const data = randomBytes(4 * BLOCK);
const block = (index: number) => data.subarray(index * BLOCK, (index + 1) * BLOCK);
const zeros = Buffer.alloc(BLOCK);
/** Three blocks and a part of a fourth; the second is zeros. */
const image = Buffer.concat([block(0), zeros, block(1), block(2).subarray(0, 1000)]);
const snapshotBlocks = new Map([
  [0, block(3)],
  [1, zeros],
  [1000, block(0)],
  [2047, block(1)],
]);

/** Runs one of the tools in its own directory, with the same files and snapshots as the other. */
async function runTool(t: TestContext, tool: Tool, line: CommandLine) {
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
  const outcome = await place.run(tool, ['--endpoint', emulator.url, ...argsOf(line)], line.env);
  return { effects: await observe(place, outcome, before), exit: outcome.exit, stderr: outcome.stderr };
}

function expectedEffects(theirs: Effects, intended: IntendedDifference): Record<keyof Effects, unknown> {
  return {
    succeeds: intended.succeeds ?? theirs.succeeds,
    stdout: intended.stdout ?? theirs.stdout,
    requests: merged(theirs.requests, intended.requests),
    files: merged(theirs.files, intended.files),
    started: theirs.started,
  };
}

function merged(theirs: object, intended: object = {}): object {
  const both = Object.entries({ ...theirs, ...intended });
  return Object.fromEntries(both.filter(([, value]) => value !== undefined));
}

describe('with both tools', { concurrency: 3 }, () => {
  for (const line of commandLines) {
    test(titleOf(line), needsBoth, async (t) => {
      const [theirs, own] = await Promise.all([runTool(t, peer, line), runTool(t, ours, line)]);
      assert.equal(own.exit, line.exit ?? 0, own.stderr);
      if (line.differs === undefined) {
        assert.deepEqual(own.effects, theirs.effects, "this tool's effects, then the other's");
        return;
      }
      const why = differences[line.differs.why];
      const { started, ...others } = expectedEffects(theirs.effects, line.differs);
      const { started: ownStarted, ...ownOthers } = own.effects;
      assert.deepEqual(ownOthers, others, why);
      if (line.differs.started === undefined) assert.deepEqual(ownStarted, started, why);
      else assert.equal(ownStarted.length, line.differs.started, why);
      assert.notDeepEqual(own.effects, theirs.effects, `the tools no longer differ: ${why}`);
    });
  }
});

test("the table covers every option in the other tool's help", needsPeer, async (t) => {
  const place = await Workplace.for(t);
  const covered = (command: string) =>
    new Set(commandLines.map(argsOf).flatMap((args) => (args.includes(command) ? args : [])));
  for (const command of ['download', 'upload', 'wait']) {
    const { stdout } = await place.run(peer, [command, '--help']);
    const known = stdout.match(/--[a-z][a-z-]+/g) ?? [];
    assert.ok(known.length > 4, stdout);
    assert.deepEqual(
      [...new Set(known)].filter((option) => !covered(command).has(option)),
      [],
      command,
    );
  }
  const { stdout } = await place.run(peer, ['--help']);
  const global = [...new Set(stdout.match(/--[a-z][a-z-]+/g))];
  const args = new Set(commandLines.flatMap(argsOf));
  // Every command line is run with an endpoint.
  assert.deepEqual(
    global.filter((option) => !args.has(option)),
    ['--endpoint'],
  );
  const commands = [...stdout.split('Commands:')[1]!.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(commands, ['download', 'upload', 'wait']);
});

test('both tools complete uploads with a LINEAR checksum; this one tags them', needsBoth, async (t) => {
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
});

test('the other tool stops waiting after 90 attempts; this one continues', needsBoth, async (t) => {
  const args = ['wait', '--seconds-between-attempts', '0', PENDING];
  const [theirs, own] = await Promise.all([Workplace.for(t), Workplace.for(t)]);
  for (const { emulator } of [theirs, own]) {
    await emulator.putSnapshot({ id: PENDING, volumeSizeGiB: 1, blocks: new Map(), status: 'pending' });
  }
  const outcome = await theirs.run(peer, ['--endpoint', theirs.emulator.url, ...args]);
  assert.match(outcome.stderr, /within 90 attempts/);
  const child = own.start(ours, ['--endpoint', own.emulator.url, ...args]);
  await own.emulator.waitForRequest(({ operation }) => operation === 'DescribeSnapshots', 100);
  child.kill();
  const [exit] = await once(child, 'close');
  assert.equal(exit, 143);
});
