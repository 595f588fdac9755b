/** deploy/ssm-restore.yaml: its parameters, and its script run as the SSM Agent runs it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB } from '../support/service.ts';
import { type Environment, type Outcome, Workplace } from '../support/workplace.ts';
import { ssmDocument } from './documents.ts';
import { injections } from './injections.ts';
import { agentEnvironment, checkParameters, script } from './ssm.ts';

const good = { SnapshotId: 'snap-0123456789abcdef0', Device: '/dev/nvme1n1', Force: 'no' };
const accepted: Readonly<Record<string, readonly string[]>> = {
  SnapshotId: ['snap-01234567', good.SnapshotId],
  Device: [
    '/dev/sdf',
    '/dev/nvme1n1p2',
    '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0',
  ],
  Force: ['yes', 'no'],
};

/** Runs the step's script as it is, with these values of parameters and no other check of them. */
function runStep(place: Workplace, values: Record<string, string>, env: Environment = {}): Promise<Outcome> {
  const { AWS_SSM_REGION_NAME, ...parameters } = agentEnvironment(values);
  return place.run({ name: 'agent', command: ['sh', '-c', script] }, [], {
    AWS_ENDPOINT_URL: place.emulator.url,
    AWS_REGION: undefined,
    AWS_SSM_REGION_NAME,
    ...parameters,
    ...env,
  });
}

test('the document is a Command document of schema 2.2 with one step for Linux', () => {
  assert.equal(ssmDocument.schemaVersion, '2.2');
  assert.equal(ssmDocument.mainSteps.length, 1);
  const [step] = ssmDocument.mainSteps;
  assert.equal(step!.action, 'aws:runShellScript');
  assert.deepEqual(step!.precondition, { StringEquals: ['platformType', 'Linux'] });
  assert.equal(step!.inputs.timeoutSeconds, '172800');
});

test('no parameter becomes text of the script', () => {
  assert.doesNotMatch(script, /\{\{/);
  for (const [name, parameter] of Object.entries(ssmDocument.parameters)) {
    assert.equal(parameter.interpolationType, 'ENV_VAR', name);
    assert.match(script, new RegExp(`\\bSSM_${name}\\b`));
  }
});

for (const [name, parameter] of Object.entries(ssmDocument.parameters)) {
  describe(`the parameter ${name}`, () => {
    test('has a pattern for the whole value', () => {
      assert.equal(parameter.type, 'String');
      assert.match(parameter.allowedPattern, /^\^.*\$$/);
    });

    for (const value of accepted[name]!) {
      test(`takes ${value}`, () => {
        assert.equal(checkParameters(ssmDocument, { ...good, [name]: value })[name], value);
      });
    }

    test('refuses every injection, alone and beside what is right', () => {
      const [right] = accepted[name]!;
      for (const attempt of injections) {
        for (const value of [attempt, `${right}${attempt}`, `${attempt}${right}`]) {
          assert.throws(
            () => checkParameters(ssmDocument, { ...good, [name]: value }),
            /InvalidParameters/,
            value,
          );
        }
      }
    });
  });
}

test('only Force may be omitted', () => {
  assert.deepEqual(checkParameters(ssmDocument, { SnapshotId: good.SnapshotId, Device: good.Device }), good);
  assert.throws(() => checkParameters(ssmDocument, { Device: good.Device }), /SnapshotId/);
  assert.throws(() => checkParameters(ssmDocument, { SnapshotId: good.SnapshotId }), /Device/);
});

describe('the script', needsBuild, () => {
  test('refuses every injection by itself, without a request', async (t) => {
    const place = await Workplace.for(t);
    for (const name of Object.keys(ssmDocument.parameters)) {
      for (const attempt of injections) {
        const value = `${accepted[name]![0]}${attempt}`;
        const { exit, stderr } = await runStep(place, { ...good, [name]: value });
        assert.equal(exit, 2, `${name}=${JSON.stringify(value)}: ${stderr}`);
        assert.match(stderr, new RegExp(`^coldsnap restore: ${name} `));
      }
    }
    assert.deepEqual(readdirSync(place.directory), []);
    assert.equal(place.emulator.log.length, 0);
  });

  for (const device of [
    '/dev/../etc/passwd',
    '/dev/./sda',
    '/dev//sda',
    '/dev/',
    '/dev',
    '/etc/passwd',
    'sda',
    '-',
  ]) {
    test(`refuses ${device} as a device, as the pattern does`, async (t) => {
      const place = await Workplace.for(t);
      assert.throws(() => checkParameters(ssmDocument, { ...good, Device: device }), /InvalidParameters/);
      assert.equal((await runStep(place, { ...good, Device: device })).exit, 2);
    });
  }

  test('under an agent that passes no variables it says which agent it needs', async (t) => {
    const { exit, stderr } = await runStep(await Workplace.for(t), {});
    assert.equal(exit, 2);
    assert.match(stderr, /update it to 3\.3\.2746\.0 or later/);
  });

  test('restores a snapshot onto a blank device, and onto a used one only by force', needsLoop, async (t) => {
    const place = await Workplace.for(t);
    const { device, backing } = await (await Scratch.for(t)).loop({ bytes: GIB });
    const blocks = new Map([0, 7, 2047].map((index) => [index, randomBytes(524_288)]));
    const SnapshotId = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const values = (given: Record<string, string>) =>
      checkParameters(ssmDocument, { SnapshotId, Device: device, ...given });
    const state = { STATE_DIRECTORY: place.path('state') };

    const restored = await runStep(place, values({}), state);
    assert.equal(restored.exit, 0, restored.stderr);
    assert.equal(await firstWrongBlock(backing, blocks, GIB), undefined);

    const refused = await runStep(place, values({}), state);
    assert.equal(refused.exit, 3, refused.stderr);
    assert.match(refused.stderr, /not blank/);

    const forced = await runStep(place, values({ Force: 'yes' }), state);
    assert.equal(forced.exit, 0, forced.stderr);
    assert.equal(await firstWrongBlock(backing, blocks, GIB), undefined);
  });

  test('ends with the exit code of coldsnap', needsLoop, async (t) => {
    const place = await Workplace.for(t);
    const { device } = await (await Scratch.for(t)).loop({ bytes: GIB });
    const SnapshotId = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
    const denied = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
    place.emulator.setFaults([{ operation: 'ListSnapshotBlocks', action: denied }]);
    const { exit, stderr } = await runStep(place, { SnapshotId, Device: device, Force: 'no' });
    assert.equal(exit, 4, stderr);
  });
});
