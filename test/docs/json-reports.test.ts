/** docs/json.md describes the documents of commands that only report. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { ours } from '../support/workplace.ts';
import { Commands, faultsOf, page } from './json-page.ts';

describe('what --json prints is as docs/json.md says', needsBuild, () => {
  test('of reports', async (t) => {
    const commands = await Commands.for(t);
    const [first, second] = [
      String((await commands.run('upload', 'source.img')).result?.snapshotId),
      await commands.place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: [] }),
    ];
    const id = await commands.run('upload', '--parent-snapshot-id', first, 'source.img');
    const child = String(id.result?.snapshotId);
    for (const words of [
      ['info', first],
      ['info', '--ranges', first],
      ['info', '--ranges', second],
      ['diff', first, child],
      ['diff', '--ranges', first, child],
      ['devices', '--all'],
    ]) {
      const { exit, events, result } = await commands.run(...words);
      assert.equal(exit, 0);
      assert.deepEqual(faultsOf(result!, page.get(`Result of ${words[0]}`)!.schema), [], words.join(' '));
      if (words[0] !== 'devices') assert.equal(events.at(-1)?.operation, words[0]);
    }
  });

  test('of dry runs', async (t) => {
    const commands = await Commands.for(t);
    const first = String((await commands.run('upload', 'source.img')).result?.snapshotId);
    const second = String(
      (await commands.run('upload', '--parent-snapshot-id', first, 'source.img')).result?.snapshotId,
    );
    assert.equal((await commands.run('download', first, 'base.img')).exit, 0);
    for (const words of [
      ['upload', '--dry-run', 'source.img'],
      ['upload', '--dry-run', '--incremental', '--parent-snapshot-id', first, 'source.img'],
      ['download', '--dry-run', first, 'disk.img'],
      ['download', '--dry-run', '--force', first, 'base.img'],
      ['download', '--dry-run', '--since', first, second, 'base.img'],
      ['download', '--dry-run', '--force', first, 'a.img', 'base.img'],
      ['copy', '--dry-run', '--description', 'a copy', first],
    ]) {
      const { exit, events, result } = await commands.run(...words);
      const { type, ...document } = events.at(-1)!;
      assert.deepEqual([exit, type, result], [0, 'done', document], words.join(' '));
    }
    // stdout may be the disk.
    const piped = await commands.run('download', '--dry-run', first, '-');
    assert.equal(piped.result, undefined);
    assert.deepEqual(piped.events.filter(({ dryRun }) => dryRun === true).length, 1);
    const { place } = commands;
    const line = ['--endpoint', place.emulator.url, '--json', '--quiet', 'download', '--dry-run', first, '-'];
    const quiet = commands.compare(await place.run(ours, line));
    assert.deepEqual([quiet.exit, quiet.events], [0, piped.events.slice(-1)]);
  });
});
