import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
import { downloadResult, makeWorld, type World } from './support.ts';

const notBlank = () =>
  new ColdsnapError('refused', 'TARGET_NOT_BLANK', '/dev/sdb is not blank: it holds ext4 "root"', {
    path: '/dev/sdb',
  });

/** A disk that is not blank, and a user who gives this answer; without one, there is no terminal. */
function diskWithData(answer: string | undefined, error: () => ColdsnapError = notBlank) {
  const questions: string[] = [];
  const world: World = makeWorld({
    async downloadSnapshot(options) {
      if (options.force !== true) throw error();
      return downloadResult;
    },
  });
  const ask = async (question: string) => {
    questions.push(question);
    return answer ?? '';
  };
  Object.assign(world.io, { ask: answer === undefined ? undefined : ask });
  return { world, questions };
}

describe('a disk that is not blank', () => {
  for (const answer of ['y', 'Yes', ' y ']) {
    test(`is overwritten on a terminal after the answer '${answer}'`, async () => {
      const { world, questions } = diskWithData(answer);
      assert.equal(await world.run('download snap-1 /dev/sdb'), 0, world.stderr.text);
      assert.deepEqual(questions, [
        '/dev/sdb is not blank: it holds ext4 "root".\nOverwrite it? Everything on it will be lost. [y/N] ',
      ]);
      assert.deepEqual(
        world.downloads.map(({ force }) => force),
        [undefined, undefined, true],
      );
    });
  }

  test('is asked about again if it holds other data after the answer', async () => {
    const holds = ['ext4 "root"', 'xfs "data"', 'xfs "data"'];
    const other = () =>
      new ColdsnapError('refused', 'TARGET_NOT_BLANK', `/dev/sdb is not blank: it holds ${holds.shift()}`);
    const { world, questions } = diskWithData('y', other);
    assert.equal(await world.run('download snap-1 /dev/sdb'), 0, world.stderr.text);
    assert.deepEqual(
      questions.map((question) => /ext4|xfs/.exec(question)?.[0]),
      ['ext4', 'xfs'],
    );
    assert.deepEqual(
      world.downloads.map(({ force }) => force),
      [undefined, undefined, undefined, true],
    );
  });

  for (const answer of ['', 'n', 'no', 'yellow', 'j']) {
    test(`is refused on a terminal after the answer '${answer}'`, async () => {
      const { world, questions } = diskWithData(answer);
      assert.equal(await world.run('download snap-1 /dev/sdb'), 3);
      assert.equal(questions.length, 1);
      assert.equal(world.downloads.length, 1);
    });
  }

  test('is refused without a question where there is no terminal, and with --json', async () => {
    const { world } = diskWithData(undefined);
    assert.equal(await world.run('download snap-1 /dev/sdb'), 3);
    const json = diskWithData('y');
    assert.equal(await json.world.run('download --json snap-1 /dev/sdb'), 3);
    assert.deepEqual([world.downloads.length, json.world.downloads.length, json.questions.length], [1, 1, 0]);
  });

  test('is overwritten with --force without a question', async () => {
    const { world, questions } = diskWithData('n');
    assert.equal(await world.run('download --force snap-1 /dev/sdb'), 0);
    assert.deepEqual(questions, []);
  });

  test('the question does not carry control characters of the disk to the terminal', async () => {
    const evil = () => new ColdsnapError('refused', 'TARGET_NOT_BLANK', 'it holds ext4 "a\u001b[2J"');
    const { world, questions } = diskWithData('n', evil);
    await world.run('download snap-1 /dev/sdb');
    assert.match(questions[0]!, /a\?\[2J/);
  });
});

test('no other refusal is asked about', async () => {
  for (const code of ['DEVICE_IN_USE', 'TARGET_EXISTS', 'TARGET_TOO_SMALL'] as const) {
    const { world, questions } = diskWithData('y', () => new ColdsnapError('refused', code, 'no'));
    assert.equal(await world.run('download snap-1 /dev/sdb'), 3);
    assert.deepEqual(questions, []);
  }
});
