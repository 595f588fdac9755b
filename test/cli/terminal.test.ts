/** The display in pseudo-terminals: nothing of it wraps, and the cursor is back whenever the program stops. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import stringWidth from 'string-width';
import { shellQuote } from '../../src/cli/command-line.ts';
import { needsBuild } from '../support/built.ts';
import { until } from '../support/until.ts';
import { type Environment, ours, type Tool, Workplace } from '../support/workplace.ts';
import { Screen } from './screen.ts';

const noScript =
  spawnSync('script', ['--version']).status === 0 ? {} : { skip: 'script (util-linux) is not installed' };
const options = { ...needsBuild, ...noScript, concurrency: 3 };

const small = 3 * 524_288;

/** A pseudo-terminal in which `command` runs; its input is what is typed. */
class Terminal {
  readonly screen: Screen;
  output = '';
  readonly ended: Promise<unknown>;
  readonly type: (keys: string) => void;
  readonly #stdout: Readable;

  constructor(t: TestContext, place: Workplace, columns: number, command: string, env: Environment = {}) {
    const script = `stty rows 24 cols ${columns}; ${command}`;
    const tool: Tool = {
      name: 'script',
      command: ['script', '--quiet', '--return', '--command', script, '/dev/null'],
    };
    this.screen = new Screen(columns, stringWidth);
    const child = place.start(tool, [], {
      TERM: 'xterm',
      SHELL: '/bin/bash',
      LANG: 'C.UTF-8',
      AWS_ENDPOINT_URL: place.emulator.url,
      ...env,
    });
    t.after(() => child.kill());
    this.ended = once(child, 'close');
    this.type = (keys) => child.stdin.write(keys);
    this.#stdout = child.stdout.setEncoding('utf8');
    this.#stdout.on('data', (text: string) => {
      this.output += text;
      this.screen.write(text);
    });
  }

  /** Resolves when what was written since `from` matches, without control sequences. */
  async shows(pattern: RegExp, from = 0): Promise<number> {
    const text = () => stripVTControlCharacters(this.output.slice(from));
    const ended = this.ended.then(() => false);
    while (!pattern.test(text())) {
      if (!(await Promise.race([once(this.#stdout, 'data').then(() => true), ended]))) break;
    }
    assert.match(text(), pattern);
    return this.output.length;
  }
}

const coldsnap = ours.command.map(shellQuote).join(' ');

async function prepare(t: TestContext, name = 'source.img') {
  const place = await Workplace.for(t);
  writeFileSync(place.path(name), randomBytes(small));
  const snapshotId = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: place.path(name) });
  return { place, snapshotId };
}

/** The n-th request for a block and all later ones hang. */
function stallFrom({ emulator }: Workplace, nth: number): void {
  const rules = Array.from({ length: 64 }, (_, at) => nth + at);
  emulator.setFaults(
    rules.map((at) => ({
      operation: 'PutSnapshotBlock' as const,
      nth: at,
      action: { type: 'stall' as const },
    })),
  );
}

function assertTidy({ screen }: Terminal): void {
  assert.deepEqual(screen.wrapped, []);
  assert.ok(screen.cursorWasHidden, 'it was drawn');
  assert.ok(screen.cursorShown, 'the cursor is shown');
}

describe('the display', options, () => {
  for (const columns of [40, 80, 200]) {
    const names = ['disk.img', `${'a-long-name-'.repeat(15)}.img`, `${'磁盘映像'.repeat(12)}.img`];
    for (const [at, name] of names.entries()) {
      test(`of ${['a short', 'a long', 'a wide'][at]} name fits in ${columns} columns`, async (t) => {
        const { place } = await prepare(t, name);
        stallFrom(place, 2);
        const line = `${coldsnap} upload ${shellQuote(name)} --workers 1; echo code $?`;
        const terminal = new Terminal(t, place, columns, line);
        // Each has a row of its own.
        const rows =
          /(?:^|\n)\S .+\n {2}\[=+ +\] 33 %\n {2}512\.0 KiB of 1\.5 MiB.*\n {2}waiting for block 1.*\n?$/;
        await until(() => terminal.screen.frames.some((frame) => rows.test(frame)), terminal.ended);
        assert.match(terminal.screen.frames.at(-1) ?? '', rows);
        place.emulator.setFaults([]);
        terminal.type('\x03');
        await terminal.shows(/code 130/);
        await terminal.ended;
        assertTidy(terminal);
        // Nothing of it remains.
        assert.doesNotMatch(terminal.screen.text, /\[=+ +\]/);
      });
    }
  }

  test('ends with the cursor shown after success and after a failure', async (t) => {
    const { place, snapshotId } = await prepare(t);
    const download = `${coldsnap} download ${snapshotId} disk.img`;
    const terminal = new Terminal(t, place, 80, `${download}; echo code $?; ${download}; echo code $?`);
    await terminal.shows(/code 0[\s\S]*code 3/);
    await terminal.ended;
    assertTidy(terminal);
    assert.match(terminal.screen.text, /downloaded snap-\w+ to disk\.img/);
  });

  test('shows the cursor while Ctrl-Z has stopped the program, and is drawn again after fg', async (t) => {
    const { place } = await prepare(t);
    stallFrom(place, 2);
    const terminal = new Terminal(t, place, 80, "PS1='> ' bash --norc --noprofile -i");
    await terminal.shows(/> $/);
    let at = terminal.output.length;
    terminal.type(`${coldsnap} upload source.img --workers 1\n`);
    await terminal.shows(/\[=+ +\] 33 %/, at);
    assert.equal(terminal.screen.cursorShown, false);
    at = terminal.output.length;
    terminal.type('\x1a');
    at = await terminal.shows(/Stopped/, at);
    assert.equal(terminal.screen.cursorShown, true);
    terminal.type('fg\n');
    await terminal.shows(/\[=+ +\] 33 %/, at);
    assert.equal(terminal.screen.cursorShown, false);
    // A second time.
    at = terminal.output.length;
    terminal.type('\x1a');
    at = await terminal.shows(/Stopped/, at);
    terminal.type('fg\n');
    at = await terminal.shows(/\[=+ +\] 33 %/, at);
    terminal.type('\x03');
    await terminal.shows(/Run it again/, at);
    terminal.type('echo code $?\nexit\n');
    await terminal.shows(/code 130/, at);
    await terminal.ended;
    assertTidy(terminal);
  });

  test('is ASCII where the locale is not UTF-8', async (t) => {
    const name = `é${'x'.repeat(90)}.img`;
    const { place } = await prepare(t, name);
    stallFrom(place, 2);
    const line = `${coldsnap} upload ${shellQuote(name)} --workers 1`;
    const terminal = new Terminal(t, place, 80, line, { LANG: 'C' });
    await terminal.shows(/\.\.\.\s[\s\S]*\[=+ +\] 33 %/);
    const drawn = [...terminal.screen.frames, terminal.screen.text].join('\n');
    terminal.type('\x03');
    await terminal.ended;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
    assert.match(drawn, /^[\x00-\x7f]+$/);
    assert.match(drawn, /[-\\|/] \?x+\.\.\./);
    assert.match(terminal.output, /Run it again: .*'éx+\.img'/);
  });

  for (const CI of ['true', '1']) {
    test(`is lines in CI (CI=${CI}), also on a terminal`, async (t) => {
      const { place, snapshotId } = await prepare(t);
      const terminal = new Terminal(t, place, 80, `${coldsnap} download ${snapshotId} disk.img`, { CI });
      await terminal.shows(/downloaded/);
      await terminal.ended;
      assert.ok(!terminal.screen.cursorWasHidden);
      assert.equal(stripVTControlCharacters(terminal.output), terminal.output);
      assert.match(terminal.output, /^downloading snap-/);
    });
  }

  test('is animated where CI is off', async (t) => {
    const { place, snapshotId } = await prepare(t);
    const terminal = new Terminal(t, place, 80, `${coldsnap} download ${snapshotId} disk.img`, {
      CI: 'false',
    });
    await terminal.ended;
    assert.ok(terminal.screen.cursorWasHidden);
  });
});
