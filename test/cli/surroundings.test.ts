/** The command line in surroundings that are not a login shell: no home, nothing writable, odd names and signals. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { bin, needsBuild, project } from '../support/built.ts';
import { bytesAt } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type Outcome, ours, type Tool, Workplace } from '../support/workplace.ts';

const setpriv = spawnSync('setpriv', ['--version']).status === 0 && process.getuid?.() === 0;
const needsRoot = { ...needsBuild, ...(setpriv ? {} : { skip: 'root and setpriv (util-linux) are needed' }) };

const small = 3 * 524_288;

/** This program as a user that no passwd entry names. */
const stranger: Tool = {
  name: 'ours, as a user without a name',
  command: ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups', ...ours.command],
};

interface Place {
  readonly place: Workplace;
  readonly snapshotId: string;
  readonly image: Buffer;
}

/** A directory with `source.img`, and a snapshot of it. */
async function prepare(t: TestContext): Promise<Place> {
  const place = await Workplace.for(t);
  const image = randomBytes(small);
  writeFileSync(place.path('source.img'), image);
  const snapshotId = await place.emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: place.path('source.img'),
  });
  return { place, snapshotId, image };
}

const startsWith = (path: string, image: Buffer) => bytesAt(path, 0, small).equals(image);

describe('a user without a passwd entry', needsRoot, () => {
  for (const HOME of [undefined, '']) {
    test(`and ${HOME === '' ? 'an empty' : 'no'} HOME uploads and downloads`, async (t) => {
      const { place, snapshotId, image } = await prepare(t);
      chmodSync(dirname(place.directory), 0o755);
      chmodSync(place.directory, 0o777);
      const service = ['--endpoint', place.emulator.url];
      const download = await place.run(stranger, [...service, 'download', snapshotId, 'disk.img'], { HOME });
      assert.equal(download.exit, 0, download.stderr);
      assert.ok(startsWith(place.path('disk.img'), image));

      chmodSync(place.directory, 0o555);
      const upload = await place.run(stranger, [...service, 'upload', 'source.img'], { HOME });
      assert.equal(upload.exit, 0, upload.stderr);
      assert.deepEqual(warnings(upload), ['could not write the journal']);
      assert.match(upload.stderr, /the upload continues without it/);
      assert.deepEqual(readdirSync(place.directory).sort(), ['disk.img', 'source.img']);
      const pending = await place.run(stranger, [...service, 'pending'], { HOME });
      assert.equal(pending.exit, 0, pending.stderr);
    });
  }
});

/** The first words of each warning. */
function warnings({ stderr }: Outcome): string[] {
  return [...stderr.matchAll(/^warning: (Could not \w+ the journal)/gm)].map(([, text]) =>
    text!.toLowerCase(),
  );
}

test('a read-only state directory costs one warning and the resume', needsRoot, async (t) => {
  const { place } = await prepare(t);
  chmodSync(dirname(place.directory), 0o755);
  const state = place.path('state');
  mkdirSync(state, { mode: 0o555 });
  chmodSync(place.directory, 0o555);
  const upload = await place.run(stranger, ['--endpoint', place.emulator.url, 'upload', 'source.img'], {
    STATE_DIRECTORY: state,
  });
  assert.equal(upload.exit, 0, upload.stderr);
  assert.deepEqual(warnings(upload), ['could not write the journal']);
  assert.match(upload.stderr, /state\/\S+\.coldsnap-upload \(permission denied\)/);
});

/** Starts a download that hangs in its second block. */
async function hangingDownload(t: TestContext, tool: Tool, env: Record<string, string> = {}) {
  const { place, snapshotId } = await prepare(t);
  place.emulator.setFaults(
    Array.from({ length: 64 }, (_, at) => ({
      operation: 'GetSnapshotBlock' as const,
      nth: at + 2,
      action: { type: 'stall' as const },
    })),
  );
  const child = place.start(
    tool,
    ['--endpoint', place.emulator.url, 'download', snapshotId, 'disk.img'],
    env,
  );
  t.after(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    stderr += data;
  });
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  await place.emulator.waitForRequest((request) => request.operation === 'GetSnapshotBlock', 2);
  return { child, ended, output: () => stderr };
}

describe('signals', needsBuild, () => {
  const shell = (script: string): Tool => ({
    name: script,
    command: ['bash', '-c', script, 'bash', ...ours.command],
  });

  for (const [name, tool] of [
    ['nohup', shell('nohup "$@" & child=$!; trap "kill -KILL $child" EXIT; echo $child; wait $child')],
    ['a shell that ignores it', shell(`trap '' HUP; "$@" & echo $!; wait`)],
  ] as const) {
    test(`SIGHUP is ignored under ${name}`, async (t) => {
      const running = await hangingDownload(t, tool);
      const [line] = await Promise.race([once(running.child.stdout, 'data'), running.ended.then(() => [''])]);
      const pid = Number(String(line).trim());
      process.kill(pid, 'SIGHUP');
      process.kill(pid, 'SIGUSR2');
      // It still answers.
      await until(() => / of 1\.5 MiB/.test(running.output()), running.ended);
      assert.match(running.output(), / of 1\.5 MiB/);
      assert.doesNotMatch(running.output(), /stopping/);
      process.kill(pid, 'SIGTERM');
      await running.ended;
      assert.match(running.output(), /stopping \(SIGTERM\)/);
    });
  }

  for (const [ignored, expected] of [
    ["trap '' HUP; ", '1'],
    ['', '0'],
  ] as const) {
    test(`the launcher of the packages passes on that SIGHUP is ${ignored === '' ? 'not ' : ''}ignored`, async (t) => {
      const place = await Workplace.for(t);
      const launcher = readFileSync(join(project, 'packaging/coldsnap.sh'), 'utf8');
      const program = 'exec /usr/lib/coldsnap/node /usr/lib/coldsnap/bin/coldsnap.js';
      assert.ok(launcher.includes(program));
      writeFileSync(place.path('coldsnap'), launcher.replace(program, 'exec printenv COLDSNAP_NOHUP'));
      // The launcher overrides the variable.
      const { stdout, stderr } = await place.shell(`${ignored}COLDSNAP_NOHUP=2 sh coldsnap`);
      assert.equal(stdout, `${expected}\n`, stderr);
    });
  }

  test('SIGHUP that is not ignored ends the command in order', async (t) => {
    const running = await hangingDownload(t, ours);
    running.child.kill('SIGHUP');
    assert.equal(await running.ended, 129);
    assert.match(running.output(), /Run it again: coldsnap/);
  });

  test('SIGUSR1 opens no debugger, through which other users could run code', async (t) => {
    const running = await hangingDownload(t, ours);
    running.child.kill('SIGUSR1');
    await delay(200);
    running.child.kill('SIGUSR2');
    // It still answers.
    await until(() => / of 1\.5 MiB/.test(running.output()), running.ended);
    running.child.kill('SIGTERM');
    assert.equal(await running.ended, 143);
    assert.doesNotMatch(running.output(), /debugger/i);
  });

  test('a signal that timeout sends twice ends the command in order', async (t) => {
    // It passes on a signal to the command and to its group, which the command is in.
    const running = await hangingDownload(t, { ...ours, command: ['timeout', '1h', ...ours.command] });
    running.child.kill('SIGTERM');
    assert.equal(await running.ended, 143);
    assert.match(running.output(), /stopped by SIGTERM\n {2}Run it again: coldsnap/);
    assert.doesNotMatch(running.output(), /second signal/);
  });

  test('SIGUSR2 before the command is loaded does not end the process', async (t) => {
    // A module that is loaded after the first lines of bin/coldsnap.js and before everything else.
    const place = await Workplace.for(t);
    const hook = place.path('hook.cjs');
    writeFileSync(
      hook,
      `const os = require('node:os');
       const cores = os.availableParallelism;
       os.availableParallelism = () => { process.kill(process.pid, 'SIGUSR2'); return cores(); };`,
    );
    const early: Tool = { name: 'early', command: [process.execPath, '--require', hook, bin] };
    const { exit, stdout } = await place.run(early, ['--version']);
    assert.equal(exit, 0);
    assert.match(stdout, /^\d+\.\d+/);
  });
});

describe('a name that is not UTF-8', needsBuild, () => {
  /** Runs a shell script with `$bad`, a name with the byte 0xff, and with `$id`. */
  const withBadName = ({ place, snapshotId }: Place, script: string) =>
    place.shell(`bad=$(printf 'a\\377b'); id=${snapshotId}; ${script}`);

  for (const [what, script] of [
    ['a target', 'coldsnap download $id "$bad.img"'],
    ['a source', 'cp source.img "$bad.img"; coldsnap upload "$bad.img"'],
    ['the directory of a target', 'mkdir "$bad"; coldsnap download $id "$bad/disk.img"'],
    ['the working directory', 'mkdir "$bad"; cd "$bad"; coldsnap download $id disk.img'],
    ['where a link leads', 'mkdir "$bad"; ln -s "$bad" link; coldsnap download $id link/disk.img'],
    [
      'the file that a link is for',
      'cp source.img "$bad"; ln -s "$bad" link; coldsnap download --force $id link',
    ],
    ['a journal', 'coldsnap download --checkpoint-file "$bad" $id disk.img'],
    ['a variable for the state', 'STATE_DIRECTORY="$PWD/$bad" coldsnap download $id disk.img'],
    ['a variable of AWS', 'AWS_CONFIG_FILE="$PWD/$bad" coldsnap download $id disk.img'],
  ] as const) {
    test(`is refused as ${what}`, async (t) => {
      const prepared = await prepare(t);
      const { exit, stderr } = await withBadName(prepared, script);
      assert.equal(exit, 2, stderr);
      assert.match(stderr, /not UTF-8 and cannot be passed on exactly\n {2}\w+/);
      const names = readdirSync(prepared.place.directory, { recursive: true, encoding: 'utf8' });
      assert.ok(!names.some((name) => /disk\.img|\.partial|coldsnap/.test(name)), names.join());
      assert.deepEqual(
        names.filter((name) => existsSync(prepared.place.path(name)) && name.includes('\ufffd')),
        [],
      );
    });
  }

  test('does not matter for a source in the working directory, whose journal is in the state directory', async (t) => {
    const prepared = await prepare(t);
    const script =
      'mkdir "$bad"; cd "$bad"; cp ../source.img .; STATE_DIRECTORY="$HOME/state" coldsnap upload --keep-checkpoint source.img';
    const { exit, stderr } = await withBadName(prepared, script);
    assert.equal(exit, 0, stderr);
    assert.equal(readdirSync(`${prepared.place.home}/state`).length, 1);
  });

  test('is one of the names with U+FFFD that are accepted', async (t) => {
    const { place, snapshotId, image } = await prepare(t);
    await place.succeed(ours, 'download', snapshotId, 'a\ufffdb.img');
    assert.ok(startsWith(place.path('a\ufffdb.img'), image));
  });
});

test(
  'one image is uploaded to several regions at the same time, and each is resumed',
  needsBuild,
  async (t) => {
    const east = await Workplace.for(t);
    const west = await Workplace.for(t, { region: 'us-west-2' });
    writeFileSync(east.path('source.img'), randomBytes(small));
    const stalls = [{ operation: 'PutSnapshotBlock' as const, nth: 3, action: { type: 'stall' as const } }];
    const regions = { 'us-east-1': east, 'us-west-2': west };
    const running = Object.entries(regions).map(([region, { emulator }]) => {
      emulator.setFaults(stalls);
      const line = ['--endpoint', emulator.url, '--region', region, 'upload', 'source.img', '--workers', '1'];
      return { line, emulator, child: east.start(ours, line) };
    });
    await Promise.all(
      running.map(({ emulator }) =>
        emulator.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock', 3),
      ),
    );
    const ends = await Promise.all(
      running.map(async ({ child }) => {
        child.kill('SIGTERM');
        return (await once(child, 'close'))[0];
      }),
    );
    assert.deepEqual(ends, [143, 143]);
    const journals = readdirSync(east.directory).filter((name) => name.endsWith('.coldsnap-upload'));
    assert.deepEqual(journals.map((name) => name.replace(/-[0-9a-f]{8}\./, '.')).sort(), [
      'source.img.us-east-1.coldsnap-upload',
      'source.img.us-west-2.coldsnap-upload',
    ]);
    for (const { line, emulator } of running) {
      emulator.setFaults([]);
      const { exit, stderr } = await east.run(ours, line);
      assert.equal(exit, 0, stderr);
      assert.match(stderr, /resuming snapshot snap-/);
    }
    assert.deepEqual(readdirSync(east.directory), ['source.img']);
  },
);

test(
  'a failed download says where it is kept, how to resume it, and how to give the space back',
  needsBuild,
  async (t) => {
    const { place, snapshotId } = await prepare(t);
    place.emulator.setFaults([
      {
        operation: 'GetSnapshotBlock',
        nth: 3,
        action: { type: 'error', status: 403, code: 'AccessDeniedException' },
      },
    ]);
    const line = ['--endpoint', place.emulator.url, 'download', '--workers', '1', snapshotId, 'disk.img'];
    const { exit, stderr } = await place.run(ours, line);
    assert.equal(exit, 4);
    const [, partial, journal] =
      /The incomplete image is kept as (\S+)\. Run the same command again to resume; to give the space back instead, delete that file and (\S+)\.\n/.exec(
        stderr,
      ) ?? [];
    assert.deepEqual(readdirSync(place.directory).sort(), [
      'disk.img.coldsnap-progress',
      'disk.img.partial',
      'source.img',
    ]);
    assert.ok(
      partial?.endsWith('/disk.img.partial') && journal?.endsWith('/disk.img.coldsnap-progress'),
      stderr,
    );
  },
);

test(
  'an error states the fact first, and the operation and the request ID on the next line',
  needsBuild,
  async (t) => {
    const { place } = await prepare(t);
    const line = ['--endpoint', place.emulator.url, 'download', 'snap-0123456789abcdef0', 'disk.img'];
    const { stderr } = await place.run(ours, line);
    assert.match(
      stderr,
      /^coldsnap: snapshot snap-0123456789abcdef0 does not exist in us-east-1\n {2}ListSnapshotBlocks, request ID [\w-]+\n {2}Check the snapshot ID, the region and the account\.\n$/,
    );
  },
);
