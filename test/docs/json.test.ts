/** docs/json.md describes each line that `--json` prints: real commands are run, and what they print is compared with it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import '../support/in-memory.ts';
import { ours } from '../support/workplace.ts';
import { Commands, check, faultsOf, page, small } from './json-page.ts';
import { read } from './markdown.ts';

test('each example in docs/json.md is as its section says', () => {
  for (const [heading, { schema, examples }] of page) {
    assert.ok(schema.size > 0, heading);
    if (!/^[SP]\w* ?\w*napshot$|verify$/.test(heading)) assert.ok(examples.length > 0, heading);
    for (const example of examples) {
      assert.deepEqual(faultsOf(example, schema), [], heading);
      if (example.type !== undefined && heading !== 'Device') check(JSON.stringify(example));
    }
  }
});

test('docs/json.md has each event of the library', () => {
  const events = read('src/transfer/events.ts').matchAll(/type: '(\w+)'/g);
  // The command line describes it as the activity of a progress.
  const types = [...events].map(([, type]) => type!).filter((type) => type !== 'waiting');
  assert.ok(types.length >= 7);
  assert.deepEqual(
    types.filter((type) => !page.has(type)),
    [],
  );
});

describe('what --json --verbose prints is as docs/json.md says', needsBuild, () => {
  test('of transfers, interrupted and resumed', async (t) => {
    const commands = await Commands.for(t);
    const { emulator } = commands.place;

    const interrupted = await commands.interrupt('PutSnapshotBlock', 'upload', 'source.img');
    assert.equal(interrupted.exit, 143);
    assert.match(String(interrupted.events.at(-1)?.runAgain), /^coldsnap upload/);
    emulator.setFaults([
      {
        operation: 'PutSnapshotBlock',
        nth: 1,
        action: { type: 'error', status: 500, code: 'InternalServerException' },
      },
    ]);
    const upload = await commands.run('upload', '--wait', 'source.img', '--workers', '1');
    assert.equal(upload.exit, 0);
    const snapshot = upload.events.find(({ type }) => type === 'snapshot');
    assert.equal(snapshot?.resumed, true);
    const { type: _, ...document } = upload.events.at(-1)!;
    assert.deepEqual(upload.result, document);
    assert.equal(document.bytesResumed, 524_288);
    assert.equal(document.retries, 1);
    // All bytes are moved before the phase that moves none.
    const completing = upload.events.findIndex(({ phase }) => phase === 'completing');
    assert.equal(upload.events[completing - 1]?.bytesDone, document.bytesTotal);

    const id = String(document.snapshotId);
    const child = await commands.run('upload', '--incremental', '--parent-snapshot-id', id, 'source.img');
    assert.deepEqual([child.result?.blocksTransferred, child.result?.blocksSkipped], [0, 2_048]);
    assert.ok(Number(child.result?.dollarsSaved) > 0);
    assert.equal((await commands.interrupt('GetSnapshotBlock', 'download', id, 'disk.img')).exit, 143);
    const download = await commands.run('download', id, 'disk.img');
    assert.equal(download.exit, 0);
    assert.ok(download.events.some(({ phase }) => phase === 'verifying'));
    const verify = await commands.run('verify', id, 'disk.img');
    assert.deepEqual([verify.exit, verify.result?.equal], [0, true]);
    const omitting = await commands.run('upload', '--omit-zero-blocks', 'source.img');
    assert.ok(omitting.events.some(({ code }) => code === 'ZEROS_OMITTED'));
    const waited = await commands.run('wait', id);
    assert.equal(waited.result?.elapsedMs, waited.events.at(-1)?.elapsedMs);

    const shown = [
      'error',
      'message',
      'phase',
      'progress',
      'retry',
      'snapshot',
      'start',
      'status',
      'warning',
    ];
    assert.deepEqual([...commands.seen].sort(), ['done', 'done of verify', 'done of wait', ...shown].sort());
  });

  test('of copies, interrupted and resumed', async (t) => {
    const commands = await Commands.for(t);
    const { emulator } = commands.place;
    const source = await commands.run('upload', 'source.img');
    const id = String(source.result?.snapshotId);
    const words = ['copy', '--description', 'a copy', id, '--workers', '1'];
    const interrupted = await commands.interrupt('PutSnapshotBlock', ...words);
    assert.equal(interrupted.exit, 143);
    emulator.clearLog();
    const copy = await commands.run(...words);
    assert.equal(copy.exit, 0);
    const { type: _, ...document } = copy.events.at(-1)!;
    assert.deepEqual(copy.result, document);
    assert.equal(document.operation, 'copy');
    assert.deepEqual(document.source, { snapshotId: id, region: 'us-east-1' });
    assert.deepEqual([document.bytesResumed, document.blocksTransferred], [small / 6, 5]);
    assert.equal(document.blocksSkipped, 2048 - 6);
    assert.ok(copy.events.some(({ type, source: from }) => type === 'start' && from !== undefined));
  });

  test('of a download to several targets', async (t) => {
    const commands = await Commands.for(t);
    const upload = await commands.run('upload', 'source.img');
    const id = String(upload.result?.snapshotId);
    const { exit, events, result } = await commands.run('download', id, 'a.img', 'b.img');
    assert.equal(exit, 0);
    const { type, ...document } = events.at(-1)!;
    assert.deepEqual([type, result], ['done', document]);
    assert.deepEqual(events.find((event) => event.type === 'start')?.targets, ['a.img', 'b.img']);
    assert.ok(commands.seen.has('done of several targets'));

    // A file that another program makes fails one commit.
    const { place } = commands;
    place.emulator.clearLog();
    void place.emulator
      .waitForRequest(({ operation }) => operation === 'GetSnapshotBlock')
      .then(() => writeFileSync(place.path('d.img'), 'of another program'));
    const partial = await commands.run('download', id, 'c.img', 'd.img');
    assert.equal(partial.exit, 3);
    assert.deepEqual(
      faultsOf(partial.result!, new Map([...page.get('done of several targets')!.schema].slice(1))),
      [],
    );
    const last = partial.events.at(-1)!;
    assert.deepEqual([last.type, last.exitCode], ['error', 3]);
    assert.match(String(last.runAgain), / d\.img$/);
    assert.doesNotMatch(String(last.runAgain), /c\.img/);
  });

  test('of lists', async (t) => {
    const commands = await Commands.for(t);
    await commands.interrupt('PutSnapshotBlock', 'upload', 'source.img');
    for (const words of [
      ['list'],
      ['pending'],
      ['pending', '--delete', '--force', '--dry-run'],
      ['pending', '--delete'],
      ['pending', '--delete', '--force'],
    ]) {
      const { exit, events, result } = await commands.run(...words);
      assert.equal(exit, 0);
      assert.deepEqual(faultsOf(result!, page.get(`Result of ${words[0]}`)!.schema), []);
      assert.equal(events.at(-1)?.operation, words[0]);
      // A program that reads the events alone must not believe in a deletion.
      assert.deepEqual(
        [events.at(-1)?.dryRun, result!.dryRun],
        words.includes('--dry-run') ? [true, true] : [undefined, undefined],
      );
      const listed = Object.values(result!).find(Array.isArray) as unknown[];
      assert.equal(listed.length, words[1] === '--delete' && words[2] === undefined ? 0 : 1, words.join(' '));
    }
    const { result } = await commands.run('version');
    assert.deepEqual(faultsOf(result!, page.get('Result of version')!.schema), []);
  });

  test('of failures', async (t) => {
    const commands = await Commands.for(t);
    for (const [exit, ...words] of [
      [2],
      [2, 'frobnicate'],
      [2, 'upload', '--frobnicate', 'source.img'],
      [2, 'upload', 'missing.img'],
      [1, 'download', 'snap-0123456789abcdef0', 'disk.img'],
      [3, 'download', 'snap-0123456789abcdef0', 'source.img'],
      [5, 'wait', '--max-attempts', '1', 'snap-0123456789abcdef0'],
      [1, 'pending', 'snap-0123456789abcdef0'],
    ] as const) {
      const failed = await commands.run(...words);
      const last = failed.events.at(-1);
      assert.deepEqual([failed.exit, last?.type, last?.exitCode], [exit, 'error', exit], words.join(' '));
    }
  });

  for (const [option, types] of [
    ['--quiet', []],
    ['--no-progress', ['done', 'phase', 'snapshot', 'start', 'warning']],
  ] as const) {
    test(`with ${option}`, async (t) => {
      const commands = await Commands.for(t);
      const { emulator } = commands.place;
      const line = [
        '--endpoint',
        emulator.url,
        '--json',
        option,
        'upload',
        '--omit-zero-blocks',
        'source.img',
      ];
      commands.compare(await commands.place.run(ours, line));
      assert.deepEqual([...commands.seen].sort(), types);
    });
  }
});
