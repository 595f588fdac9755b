/** A disk that completes no request, not even with an error: a signal still ends the program, and the next run resumes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, randomBlocks, startService } from '../support/service.ts';
import { Command } from './command.ts';

const BLOCK = 4096;

const directory = mkdtempSync(join(tmpdir(), 'coldsnap-frozen-'));
let command: Command;
before(async () => {
  command = await Command.compile(directory);
});
after(() => rmSync(directory, { recursive: true }));

/** A file system that can be frozen. */
async function freezable(scratch: Scratch): Promise<{ point: string; freeze: Action; thaw: Action }> {
  const { device } = await scratch.loop({ bytes: 2 * GIB });
  await run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1', device);
  const point = await scratch.mount(device);
  let frozen = false;
  const thaw = async () => {
    if (!frozen) return;
    frozen = false;
    await run('fsfreeze', '--unfreeze', point);
  };
  const freeze = async () => {
    await run('fsfreeze', '--freeze', point);
    frozen = true;
  };
  // A frozen file system cannot be unmounted.
  scratch.onEnd(thaw);
  return { point, freeze, thaw };
}
type Action = () => Promise<void>;

/** The kernel's state letters of a process's threads, the main thread first. */
function threadStates(pid: number): string[] {
  const tasks = readdirSync(`/proc/${pid}/task`).sort((a, b) => Number(a) - Number(b));
  return tasks.map(
    (task) => /\) (\w)/.exec(readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1'))?.[1] ?? '',
  );
}

/** Resolves when a thread has been in state D in 50 consecutive samples: brief waits for the disk are normal. */
async function waitUntilStuck(pid: number): Promise<void> {
  // The kernel sends no event for this.
  for (let times = 0; times < 50; times++) {
    await wait(10);
    if (!threadStates(pid).includes('D')) times = 0;
  }
}

async function scene(t: TestContext) {
  const { emulator } = await startService(t, { blockSize: BLOCK });
  const indexes = Array.from({ length: 16 }, (_, at) => at);
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const scratch = await Scratch.for(t);
  const disk = await freezable(scratch);
  return { emulator, blocks, snapshotId, scratch, disk };
}

describe('when the disk hangs', { concurrency: 2, ...needsLoop }, () => {
  for (const kind of ['file', 'device'] as const) {
    test(`SIGINT ends a download to a ${kind}, and the next run completes it`, async (t) => {
      const { emulator, blocks, snapshotId, scratch, disk } = await scene(t);
      const image = join(disk.point, 'disk.img');
      const target =
        kind === 'file' ? image : (await scratch.loop({ bytes: GIB, directory: disk.point })).device;
      // The first half of the blocks is written; the disk is frozen before the second half arrives.
      const later = [...blocks.keys()].filter((block) => block >= 8);
      const throttled = { type: 'error', status: 400, code: 'ThrottlingException' } as const;
      emulator.setFaults(later.map((block) => ({ operation: 'GetSnapshotBlock', block, action: throttled })));
      const line = ['download', snapshotId, target];
      const running = command.start(emulator.url, line, { checkpointMs: 3_600_000 });
      const ended = running.ended();
      const last = emulator.waitForRequest(
        ({ operation, blockIndex }) => operation === 'GetSnapshotBlock' && blockIndex === 15,
      );
      const early = ended.then(({ stderr }) => assert.fail(`it ended early: ${stderr}`));
      await Promise.race([last, early]);
      await disk.freeze();
      emulator.setFaults([]);
      const pid = running.process.pid as number;
      await Promise.race([waitUntilStuck(pid), early]);
      assert.notEqual(threadStates(pid)[0], 'D', 'the main thread must not wait for the disk');

      running.process.kill('SIGINT');
      await Promise.race([running.waitForStderr('did not stop within 5 s of SIGINT'), early]);
      await disk.thaw();
      const { end, stderr } = await ended;
      assert.equal(end, 'SIGINT', stderr);

      const again = await command.run(emulator.url, line);
      assert.equal(again.end, 0, again.stderr);
      assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
    });
  }
});
