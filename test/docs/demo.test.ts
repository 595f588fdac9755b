/** The demo works and removes everything that it created. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { noLoopDevices } from '../support/loop.ts';
import { project } from './markdown.ts';

/** Why the demo cannot run, or undefined. It would rebuild outdated products, which must not happen while other tests use them. */
function skipReason(): string | undefined {
  if (spawnSync('mkfs.ext4', ['-V']).error !== undefined) return 'mkfs.ext4 (e2fsprogs) is missing';
  const { bavail, bsize } = statfsSync(tmpdir());
  if (bavail * bsize < 3 * 2 ** 30) return `${tmpdir()} has less than 3 GiB free`;
  const built = [
    ['src', '.ts', 'dist/cli/main.js'],
    ['native', '', 'build/Release/coldsnap.node'],
  ] as const;
  for (const [directory, suffix, product] of built) {
    if (!existsSync(join(project, product))) return `${product} is not built`;
    const { mtimeMs } = statSync(join(project, product));
    const newer = readdirSync(join(project, directory), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(suffix))
      .some((name) => statSync(join(project, directory, name)).mtimeMs > mtimeMs);
    if (newer) return `${product} is older than ${directory}/`;
  }
  return undefined;
}

const reason = skipReason();
const skip = reason === undefined ? {} : { skip: reason };

/** Runs the demo with an empty temporary directory and interrupts it at a matching line. */
async function demo(
  interruptAt?: RegExp,
): Promise<{ exit: number | null; text: string; leftover: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'coldsnap-test-demo-'));
  try {
    const child = spawn(join(project, 'scripts/demo'), {
      cwd: '/',
      env: { PATH: process.env.PATH, HOME: directory, TMPDIR: directory, HTTP_PROXY: 'http://127.0.0.1:1' },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    let text = '';
    for await (const line of createInterface({ input: child.stdout })) {
      text += `${line}\n`;
      // To the whole process group, as a terminal does.
      if (interruptAt?.test(line)) process.kill(-child.pid!, 'SIGINT');
    }
    if (child.exitCode === null) await once(child, 'exit');
    const leftover = readdirSync(directory);
    if (noLoopDevices === undefined) {
      leftover.push(
        ...execFileSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' })
          .split('\n')
          .filter((file) => file.startsWith(directory)),
      );
    }
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
    if (
      url !== undefined &&
      (await fetch(url).then(
        () => true,
        () => false,
      ))
    )
      leftover.push(url);
    return { exit: child.exitCode, text, leftover };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('the demo restores what it uploaded and cleans up', skip, async () => {
  const { exit, text, leftover } = await demo();
  assert.equal(exit, 0, text);
  assert.match(text, /^Done\. Everything restored is identical/m);
  if (noLoopDevices === undefined) assert.match(text, /^ {2}\d{2,} files are unchanged$/m);
  else assert.match(text, /^ {2}skipped: /m);
  assert.deepEqual(leftover, []);
});

test('the demo cleans up when it is interrupted', skip, async () => {
  const { exit, text, leftover } = await demo(/^created snapshot snap-\w+$/);
  assert.equal(exit, 130, text);
  assert.deepEqual(leftover, []);
});
