import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeWorld, withoutHooks } from './support.ts';

describe('command lines are parsed into library options', () => {
  const downloads: [string, object][] = [
    // The flags of coldsnap 0.12.
    ['download snap-1 disk.img', {}],
    ['download --force snap-1 disk.img', { force: true }],
    ['download --no-progress snap-1 disk.img', {}],
    ['download --checkpoint snap-1 disk.img', { checkpoint: true }],
    ['download --checkpoint --keep-checkpoint snap-1 disk.img', { checkpoint: true, keepCheckpoint: true }],
    ['download --workers 8 snap-1 disk.img', { workers: 8 }],
    ['download snap-1 --workers 8 disk.img', { workers: 8 }],
    ['download snap-1 disk.img --workers 1024', { workers: 1024 }],
    ['download -- snap-1 disk.img', {}],
    ['download --force -- snap-1 disk.img', { force: true }],
    ['--region eu-west-1 download snap-1 disk.img', { region: 'eu-west-1' }],
    ['--endpoint http://localhost:1 download snap-1 disk.img', { endpoint: 'http://localhost:1' }],
    ['--profile p --verbose download snap-1 disk.img', { profile: 'p' }],
    // New flags.
    ['download --workers=8 snap-1 disk.img', { workers: 8 }],
    ['download --workers +8 snap-1 disk.img', { workers: 8 }],
    ['download snap-1 disk.img --region eu-west-1', { region: 'eu-west-1' }],
    ['--region a download --region b snap-1 disk.img', { region: 'b' }],
    ['download --no-checkpoint snap-1 disk.img', { checkpoint: false }],
    ['download --fresh --checkpoint-file /tmp/j snap-1 disk.img', { fresh: true, checkpointFile: '/tmp/j' }],
    [
      'download --ebs-endpoint http://e --ec2-endpoint https://f snap-1 disk.img',
      { ebsEndpoint: 'http://e', ec2Endpoint: 'https://f' },
    ],
    ['download --rate 2.5 snap-1 disk.img', { bytesPerSecond: 2_621_440 }],
    ['download --transport sdk snap-1 disk.img', { transport: 'sdk' }],
    ['download --retry-for 90 snap-1 disk.img', { retryForMs: 90_000 }],
    ['download --retry-for 10m snap-1 disk.img', { retryForMs: 600_000 }],
    ['--retry-for 1.5h download snap-1 disk.img', { retryForMs: 5_400_000 }],
    ['--retry-for 1h30m download snap-1 disk.img', { retryForMs: 5_400_000 }],
    ['download --rate 40 snap-1 disk.img', { bytesPerSecond: 40 * 2 ** 20 }],
    ['download --rate 40M snap-1 disk.img', { bytesPerSecond: 40 * 2 ** 20 }],
    ['download --rate 40MiB/s snap-1 disk.img', { bytesPerSecond: 40 * 2 ** 20 }],
    ['download --rate 40MB/s snap-1 disk.img', { bytesPerSecond: 40_000_000 }],
    ['download --rate 512k snap-1 disk.img', { bytesPerSecond: 2 ** 19 }],
    ['download --rate 1000B/s snap-1 disk.img', { bytesPerSecond: 1000 }],
    [
      '--connect-timeout 500ms download --read-timeout 2m snap-1 disk.img',
      { deadlines: { connectMs: 500, idleMs: 120_000 } },
    ],
    ['download --verify --sha256 snap-1 disk.img', { verify: true, sha256: true }],
    ['-v download -f snap-1 disk.img', { force: true }],
    ['download -q snap-1 disk.img', {}],
  ];
  for (const [line, expected] of downloads) {
    test(`coldsnap ${line}`, async () => {
      const world = makeWorld();
      assert.equal(await world.run(line), 0, world.stderr.text);
      assert.deepEqual(withoutHooks(world.downloads[0]), {
        snapshotId: 'snap-1',
        target: 'disk.img',
        ...expected,
      });
      assert.ok(world.downloads[0]?.signal instanceof AbortSignal);
    });
  }

  const uploads: [string, object][] = [
    ['upload disk.img', {}],
    ['upload --sha256 disk.img', { sha256: true }],
    ['upload --volume-size 8 disk.img', { volumeSizeGiB: 8 }],
    ['upload --volume-size 8G disk.img', { volumeSizeGiB: 8 }],
    ['upload --volume-size 8GiB disk.img', { volumeSizeGiB: 8 }],
    ['upload --volume-size 2048M disk.img', { volumeSizeGiB: 2 }],
    ['upload --volume-size 64T disk.img', { volumeSizeGiB: 65_536 }],
    ['upload --description text disk.img', { description: 'text' }],
    ['upload --tag Key=a,Value=b disk.img', { tags: [{ key: 'a', value: 'b' }] }],
    ['upload --tag Key=a,b,Value=c,d=e disk.img', { tags: [{ key: 'a,b', value: 'c,d=e' }] }],
    ['upload --tag Key=a,Value= disk.img', { tags: [{ key: 'a', value: '' }] }],
    [
      'upload --tag Key=a,Value=b --tag Key=c,Value=d disk.img',
      {
        tags: [
          { key: 'a', value: 'b' },
          { key: 'c', value: 'd' },
        ],
      },
    ],
    ['upload --kms-key-id alias/k disk.img', { kmsKeyId: 'alias/k' }],
    ['upload --parent-snapshot-id snap-0 disk.img', { parentSnapshotId: 'snap-0' }],
    ['upload --no-progress disk.img', {}],
    ['upload --wait disk.img', { wait: {} }],
    ['upload --omit-zero-blocks disk.img', { omitZeroBlocks: true }],
    ['upload --workers 3 --client-shards 4 disk.img', { workers: 3 }],
    ['upload --tag a=b=c disk.img', { tags: [{ key: 'a', value: 'b=c' }] }],
    ['upload --encrypted disk.img', { encrypted: true }],
    ['upload --detect-holes disk.img', { detectHoles: true }],
    ['upload --force disk.img', { force: true }],
    ['upload --source-format raw disk.img', { sourceFormat: 'raw' }],
    ['upload --holes-from-sidecar map.json disk.img', { holesFromSidecar: 'map.json' }],
    ['upload --on-failure delete disk.img', { onFailure: 'delete' }],
    [
      'upload --wait --timeout 30m --max-attempts 9 disk.img',
      { wait: { timeoutMs: 1_800_000, maxAttempts: 9 } },
    ],
    ['upload --fresh --keep-checkpoint disk.img', { fresh: true, keepCheckpoint: true }],
  ];
  for (const [line, expected] of uploads) {
    test(`coldsnap ${line}`, async () => {
      const world = makeWorld();
      assert.equal(await world.run(line), 0, world.stderr.text);
      assert.deepEqual(withoutHooks(world.uploads[0]), { source: 'disk.img', ...expected });
    });
  }

  const waits: [string, object][] = [
    ['wait snap-1', {}],
    ['wait --desired-status error snap-1', { desiredStatus: 'error' }],
    [
      'wait --successes-required 0 --max-attempts 1000 --seconds-between-attempts 0 snap-1',
      { successesRequired: 0, maxAttempts: 1000, secondsBetweenAttempts: 0 },
    ],
    ['wait snap-1 --timeout 90', { timeoutMs: 90_000 }],
    ['--region r wait snap-1', { region: 'r' }],
  ];
  for (const [line, expected] of waits) {
    test(`coldsnap ${line}`, async () => {
      const world = makeWorld();
      assert.equal(await world.run(line), 0, world.stderr.text);
      assert.deepEqual(withoutHooks(world.waits[0]), { snapshotId: 'snap-1', ...expected });
    });
  }

  test('stdin is a source if the volume size is set', async () => {
    const world = makeWorld();
    assert.equal(await world.run('upload --volume-size 8 -'), 0);
    assert.deepEqual(withoutHooks(world.uploads[0]), { source: '-', volumeSizeGiB: 8 });
  });

  test('a value that looks like a global option is a value', async () => {
    const world = makeWorld();
    assert.equal(await world.run(['upload', '--description', '--quiet', 'disk.img']), 0);
    assert.deepEqual(withoutHooks(world.uploads[0]), { source: 'disk.img', description: '--quiet' });
  });

  test('a word after -- is an argument even if it begins with a hyphen', async () => {
    const world = makeWorld();
    assert.equal(await world.run(['download', '--', 'snap-1', '--force']), 0);
    assert.deepEqual(withoutHooks(world.downloads[0]), { snapshotId: 'snap-1', target: '--force' });
  });

  test('--client-shards is accepted with a warning', async () => {
    const world = makeWorld();
    await world.run('upload --client-shards 4 disk.img');
    assert.match(world.stderr.text, /--client-shards has no effect/);
    const other = makeWorld();
    await other.run('upload --json --client-shards 4 disk.img');
    assert.equal(JSON.parse(other.stderr.lines[0]!).code, 'CLIENT_SHARDS');
  });
});

describe('an invalid command line exits with 2 without calling the library', () => {
  const wrong: [string | string[], RegExp][] = [
    ['downlod snap-1 disk.img', /^coldsnap: unknown command 'downlod' \(Did you mean download\?\)\n/],
    [
      'download --forc snap-1 disk.img',
      /unknown option '--forc' \(Did you mean --force\?\)\n.*coldsnap download --help/,
    ],
    ['download --regin x snap-1 disk.img', /unknown option '--regin' \(Did you mean --region\?\)/],
    ['--nope download snap-1 disk.img', /unknown option '--nope'/],
    ['download snap-1', /missing required argument 'target'/],
    ['download', /missing required argument 'snapshot'/],
    ['verify snap-1 a b', /too many arguments/],
    [
      'download --workers 0 snap-1 disk.img',
      /^coldsnap: --workers: 0 is not a whole number from 1 to 1024\n/,
    ],
    ['download --workers 1025 snap-1 disk.img', /from 1 to 1024/],
    ['download --rate 0 snap-1 disk.img', /--rate: 0 is not a rate above 0/],
    ['download --rate fast snap-1 disk.img', /--rate: fast is not a rate above 0, such as/],
    ['download --transport pigeon snap-1 disk.img', /--transport: pigeon is not one of fast, sdk\n/],
    ['download --workers x snap-1 disk.img', /--workers: x is not a whole/],
    ['download --workers 1.5 snap-1 disk.img', /--workers: 1\.5 is not a whole/],
    ['download --workers -1 snap-1 disk.img', /--workers: -1 is not a whole/],
    ['download --workers 1e3 snap-1 disk.img', /--workers: 1e3 is not a whole/],
    ['download snap-1 disk.img --workers', /'--workers <n>' argument missing/],
    [['download', '--workers', '', 'snap-1', 'disk.img'], /--workers: '' is not a whole/],
    [
      'download --no-checkpoint --keep-checkpoint snap-1 disk.img',
      /--no-checkpoint and --keep-checkpoint cannot be used together/,
    ],
    [
      'download --no-checkpoint --checkpoint-file f snap-1 disk.img',
      /--no-checkpoint and --checkpoint-file cannot be used together/,
    ],
    ['--quiet download --verbose snap-1 disk.img', /--quiet and --verbose cannot be used together/],
    [
      '--progress loud download snap-1 disk.img',
      /--progress: loud is not one of auto, tty, plain, json, none/,
    ],
    ['--endpoint localhost:80 download snap-1 disk.img', /--endpoint: localhost:80 is not a URL such as/],
    [
      '--endpoint user:secret@h:80 download snap-1 disk.img',
      /--endpoint: '?\[redacted\]@h:80'? is not a URL such as/,
    ],
    ['--endpoint http://user:secret@h download snap-1 disk.img', /no user name, query or fragment/],
    ['--endpoint http://h?a=b download snap-1 disk.img', /no user name, query or fragment/],
    [['--region', '', 'download', 'snap-1', 'disk.img'], /--region: the value is empty/],
    ['upload --checkpoint-file - disk.img', /--checkpoint-file: it cannot be stdout/],
    [
      'download --save-digests - snap-1 disk.img',
      /--save-digests: it cannot be stdout \(a file of the name - is \.\/-\)/,
    ],
    [
      '--retry-for soon download snap-1 disk.img',
      /--retry-for: soon is not a time such as 30s, 10m or 1h30m/,
    ],
    ['--retry-for 0 download snap-1 disk.img', /--retry-for: 0 is not a time/],
    ['--retry-for 25d download snap-1 disk.img', /at most 24 days/],
    [
      'download disk.img snap-1',
      /the snapshot ID must come before the target\n.*coldsnap download snap-1 disk\.img/,
    ],
    [
      ['download', 'my disk.img', 'snap-1', "it's.img"],
      /Did you mean: coldsnap download snap-1 'my disk\.img' 'it'"'"'s\.img'\n/,
    ],
    [
      '--region eu-west-1 download --force disk.img --fresh --rate 3M snap-1 -q',
      /Did you mean: coldsnap --region eu-west-1 download --force snap-1 --fresh --rate 3M disk\.img -q\n/,
    ],
    [
      'verify --sample 1 -- disk.img snap-1',
      /Did you mean: coldsnap verify --sample 1 -- snap-1 disk\.img\n/,
    ],
    ['upload --volume-size 0 disk.img', /from 1 to 65536/],
    ['upload --volume-size 65537 disk.img', /from 1 to 65536/],
    [
      'upload --volume-size 1500M disk.img',
      /--volume-size: 1500M is not a whole number of GiB from 1 to 65536/,
    ],
    ['upload --volume-size 8GB disk.img', /--volume-size: 8GB is not a whole number of GiB/],
    ['upload --volume-size 65T disk.img', /from 1 to 65536/],
    ['upload --volume-size 8X disk.img', /--volume-size: 8X is not/],
    ['upload --volume-size 8.0 disk.img', /--volume-size: 8\.0 is not/],
    ['download --rate 10x5m snap-1 disk.img', /--rate: 10x5m is not a rate/],
    ['download --rate 5m/h snap-1 disk.img', /--rate: 5m\/h is not a rate/],
    ['--retry-for 30m1h download snap-1 disk.img', /--retry-for: 30m1h is not a time/],
    ['--retry-for h download snap-1 disk.img', /--retry-for: h is not a time/],
    ['--read-timeout 0 download snap-1 disk.img', /--read-timeout: 0 is not a time/],
    [
      '--region download',
      /the command is missing: --region took 'download' as its value\n.*Give --region a value/,
    ],
    [
      '--region download snap-1 disk.img',
      /unknown command 'snap-1'\n {2}--region took 'download' as its value; give it one before the command/,
    ],
    [
      'upload --tag nonsense disk.img',
      /--tag: nonsense is not a tag of the form Key=name,Value=text or name=text/,
    ],
    ['upload --tag Key=a disk.img', /is not a tag of the form Key=name,Value=text/],
    ['upload --tag Value=b,Key=a disk.img', /is not a tag of the form Key=name,Value=text/],
    ['upload --tag key=a,value=b disk.img', /is not a tag of the form Key=name,Value=text/],
    ['upload --tag =b disk.img', /--tag: a tag needs a key/],
    ['upload --tag a=1 --tag Key=a,Value=2 disk.img', /--tag: the tag 'a' is given twice/],
    [
      'upload --kms-key-id k --parent-snapshot-id snap-0 disk.img',
      /cannot be used with option '--parent-snapshot-id/,
    ],
    [
      'upload --encrypted --parent-snapshot-id snap-0 disk.img',
      /cannot be used with option '--parent-snapshot-id/,
    ],
    [
      'upload --detect-holes --holes-from-sidecar m disk.img',
      /cannot be used with option '--holes-from-sidecar/,
    ],
    ['upload --on-failure panic disk.img', /--on-failure: panic is not one of keep, delete/],
    ['upload --client-shards 0 disk.img', /--client-shards: 0 is not a whole number of at least 1/],
    ['upload --max-attempts 3 disk.img', /an option of waiting cannot be used without --wait/],
    [
      '--rate 5 download snap-1 disk.img',
      /unknown option '--rate'\n {2}Write --rate after the command; it is an option of download, upload, copy and verify\./,
    ],
    ['--rate=5 upload disk.img', /Write --rate after the command/],
    ['-f download snap-1 disk.img', /Write -f after the command; it is an option of download/],
    ['--since snap-1 download snap-2 disk.img', /it is an option of download and copy\./],
    [
      '--json=1 list',
      /unknown option '--json=1' \(Did you mean --json\?\)\n {2}Run 'coldsnap list --help' for usage/,
    ],
    ['list -- --json', /^coldsnap: too many arguments for 'list'/],
    ['list --rate 5', /unknown option '--rate'\n {2}Run 'coldsnap list --help' for usage/],
    ['wait', /missing required argument 'snapshot'/],
    ['wait --max-attempts 0 snap-1', /--max-attempts: 0 is not a whole number of at least 1/],
    ['wait --seconds-between-attempts 1.5 snap-1', /--seconds-between-attempts: 1\.5 is not/],
    ['emulator --port 65536', /from 0 to 65535/],
    ['completion tcsh', /shell: tcsh is not one of bash, zsh, fish/],
    ['help nope', /topic: nope is not one of download/],
  ];
  for (const [line, message] of wrong) {
    test(`coldsnap ${typeof line === 'string' ? line : JSON.stringify(line)}`, async () => {
      const world = makeWorld();
      assert.equal(await world.run(line), 2);
      assert.match(world.stderr.text, message);
      assert.match(world.stderr.text, /^coldsnap: /);
      assert.equal(world.stdout.text, '');
      assert.deepEqual([world.downloads, world.uploads, world.waits, world.emulators], [[], [], [], []]);
    });
  }

  test('with --json the error is a JSON object', async () => {
    const world = makeWorld();
    assert.equal(await world.run('download --json --nope'), 2);
    const error = JSON.parse(world.stderr.text);
    assert.deepEqual([error.type, error.code, error.exitCode], ['error', 'UNKNOWN_OPTION', 2]);
  });
});
