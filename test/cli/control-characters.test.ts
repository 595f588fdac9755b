/** Names may have any character but a slash and NUL. A terminal must not act on them, and JSON gives them back as they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
import { makeWorld, startEvent } from './support.ts';

const name = 'a\u001b[31m\r\nb\u009b2J\u007f.img';
const escaped = 'a\\x1b[31m\\r\\nb\\x9b2J\\x7f.img';

/** Control characters other than the ends of lines. */
const controls = /(?!\n)\p{Cc}/u;

function failing() {
  return makeWorld({
    downloadSnapshot: async ({ onEvent, target }) => {
      onEvent?.({ ...startEvent, path: String(target) } as never);
      onEvent?.({ type: 'warning', code: 'NO_JOURNAL', message: `no journal beside ${target}` } as never);
      throw new ColdsnapError('gave-up', 'STALLED', `no progress for ${target}`, {
        path: String(target),
        hint: `Look at ${target}.`,
      });
    },
  });
}

for (const options of [[], ['--verbose'], ['--quiet'], ['--progress', 'plain']]) {
  test(`control characters of a name are escaped on stderr ${options.join(' ')}`, async () => {
    const world = failing();
    assert.equal(await world.run(['download', ...options, 'snap-1', name]), 5);
    assert.doesNotMatch(world.stderr.text, controls);
    assert.ok(world.stderr.lines.includes(`coldsnap: no progress for ${escaped}`), world.stderr.text);
    assert.ok(world.stderr.lines.includes(`  Look at ${escaped}.`));
    const command = world.stderr.lines.find((line) => line.includes('Run it again'));
    assert.match(command ?? '', / a"\$\(printf '\\033\\133'\)"31m/);
  });
}

test('control characters of a name are escaped in the display of a terminal', async () => {
  const world = failing();
  world.stderr.isTTY = true;
  world.env.CI = '';
  assert.equal(await world.run(['download', 'snap-1', name]), 5);
  assert.ok(world.stderr.text.includes(escaped));
  assert.ok(!world.stderr.text.includes('\u001b[31m'));
  assert.ok(!world.stderr.text.includes('\u009b'));
});

test('control characters of a name are escaped in the result of a comparison', async () => {
  const world = makeWorld();
  assert.equal(await world.run(['verify', 'snap-1', name]), 0);
  assert.ok(world.stdout.text.startsWith(`${escaped} equals snap-1`), world.stdout.text);
});

test('JSON has a name as it is, and no control characters', async () => {
  const world = failing();
  assert.equal(await world.run(['download', '--json', 'snap-1', name]), 5);
  assert.doesNotMatch(world.stderr.text, controls);
  for (const line of world.stderr.lines) JSON.parse(line);
  assert.equal(JSON.parse(world.stderr.lines.at(-1) ?? '').path, name);
});

test('an option or a command with control characters is escaped in the error', async () => {
  for (const argv of [['download', `--${name}`], [name], ['upload', '--volume-size', name, 'a.img']]) {
    const world = makeWorld();
    assert.equal(await world.run(argv), 2);
    assert.doesNotMatch(world.stderr.text, controls);
    assert.ok(world.stderr.text.includes('\\x1b[31m'), world.stderr.text);
  }
});

test('the JSON of a result has a name as it is, and no control characters', async () => {
  const world = makeWorld();
  assert.equal(await world.run(['verify', '--json', 'snap-1', name]), 0);
  assert.doesNotMatch(world.stdout.text, controls);
  assert.equal(JSON.parse(world.stdout.text).path, name);
});
