/** What bad input gets, from the command line as it is installed. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { ours, type Tool, type Workplace } from '../support/workplace.ts';
import { type Refusal, refuse } from './refusals.ts';

const long = 'x'.repeat(256);
const key = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

const image = (place: Workplace) => writeFileSync(place.path('disk.img'), 'an image');
const file = (name: string, content: string) => (place: Workplace) =>
  writeFileSync(place.path(name), content);
/** An image, and a map of it. */
const mapped = (map: unknown) => (place: Workplace) => {
  writeFileSync(place.path('disk.img'), Buffer.alloc(4096));
  writeFileSync(place.path('map.json'), typeof map === 'string' ? map : JSON.stringify(map));
};

/** Permissions mean nothing to root, unless it gives up that privilege. */
const unprivileged: Tool =
  process.geteuid?.() === 0
    ? { name: 'setpriv', command: ['setpriv', '--inh-caps=-all', '--bounding-set=-all', ...ours.command] }
    : ours;

const commandLine: Refusal[] = [
  {
    title: 'an unknown command',
    words: 'dwonload SNAP x.img',
    exit: 2,
    says: /unknown command 'dwonload'.*download/,
  },
  {
    title: 'an unknown option, with the nearest one',
    words: 'download --forec SNAP x.img',
    exit: 2,
    says: /unknown option '--forec'.*--force/,
  },
  {
    title: 'an option without its value',
    words: 'download SNAP x.img --workers',
    exit: 2,
    says: /--workers <n>' argument missing/,
  },
  {
    title: 'an empty value',
    words: ['download', '--region', '', 'SNAP', 'x.img'],
    exit: 2,
    says: /--region <region>' argument '' is invalid/,
  },
  {
    title: 'workers 0',
    words: 'download --workers 0 SNAP x.img',
    exit: 2,
    says: /--workers <n>' argument '0' is invalid.*1 to 1024/,
  },
  {
    title: 'workers that are no number',
    words: 'download --workers many SNAP x.img',
    exit: 2,
    says: /argument 'many' is invalid/,
  },
  {
    title: 'a rate of 0',
    words: 'download --rate 0 SNAP x.img',
    exit: 2,
    says: /--rate .* argument '0' is invalid/,
  },
  { title: 'too few arguments', words: 'download SNAP', exit: 2, says: /missing required argument 'target'/ },
  { title: 'too many arguments', words: 'download SNAP x.img y.img', exit: 2, says: /too many arguments/ },
  {
    title: 'snapshot and target swapped',
    words: 'download x.img SNAP',
    exit: 2,
    says: /the snapshot comes first/,
    hint: /coldsnap download snap-\S+ x\.img/,
  },
  {
    title: 'options that contradict each other',
    words: 'download --no-checkpoint --keep-checkpoint SNAP x.img',
    exit: 2,
    says: /--no-checkpoint and --keep-checkpoint contradict each other/,
  },
  {
    title: '--quiet with --verbose',
    words: '--quiet --verbose download SNAP x.img',
    exit: 2,
    says: /--quiet and --verbose contradict each other/,
  },
  {
    title: 'an endpoint that is no URL',
    words: '--endpoint localhost:80 download SNAP x.img',
    exit: 2,
    says: /--endpoint <url>' argument 'localhost:80' is invalid/,
  },
];

const service: Refusal[] = [
  {
    title: 'no region',
    words: 'download SNAP x.img',
    exit: 4,
    says: /region/,
    hint: /--region.*AWS_REGION/,
    env: { AWS_REGION: undefined },
  },
  {
    title: 'no credentials',
    words: 'download SNAP x.img',
    exit: 4,
    says: /no usable credentials/,
    env: { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined },
  },
  {
    title: 'a profile that does not exist',
    words: '--profile nobody download SNAP x.img',
    exit: 4,
    says: /no usable credentials.*\(profile "nobody"\)/,
  },
  {
    title: 'wrong credentials',
    words: 'download SNAP x.img',
    exit: 4,
    says: /./,
    env: { AWS_SECRET_ACCESS_KEY: 'wrong' },
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks'],
  },
  {
    title: 'an endpoint where nothing listens',
    words: '--endpoint http://127.0.0.1:1 --retry-for 1s download SNAP x.img',
    exit: 5,
    says: /127\.0\.0\.1:1|ECONNREFUSED|refused/,
  },
  {
    title: 'an endpoint whose name does not exist',
    words: '--endpoint http://ebs.invalid --retry-for 1s download SNAP x.img',
    exit: 5,
    says: /ebs\.invalid/,
  },
  {
    title: 'denied access, with the action to allow',
    words: 'download SNAP x.img',
    exit: 4,
    says: /denied/,
    hint: /ebs:ListSnapshotBlocks/,
    requests: ['ListSnapshotBlocks'],
    emulator: {
      faults: [
        {
          operation: 'ListSnapshotBlocks',
          action: { type: 'error', status: 403, code: 'AccessDeniedException' },
        },
      ],
    },
  },
];

const downloads: Refusal[] = [
  {
    title: 'a malformed snapshot ID',
    words: 'download vol-0123 x.img',
    exit: 2,
    says: /"vol-0123" is not a snapshot ID/,
    hint: /snap-0123456789abcdef0/,
  },
  {
    title: 'an unknown snapshot',
    words: 'download snap-0ff x.img',
    exit: 1,
    says: /snap-0ff/,
    requests: ['ListSnapshotBlocks'],
  },
  {
    title: 'a snapshot that is not completed',
    words: 'download snap-0a x.img',
    exit: 1,
    says: /snap-0a/,
    requests: ['ListSnapshotBlocks'],
    given: async ({ emulator }) => {
      await emulator.putSnapshot({ id: 'snap-0a', volumeSizeGiB: 1, blocks: new Map(), status: 'pending' });
    },
  },
  {
    title: 'a target that exists',
    words: 'download SNAP old.img',
    exit: 3,
    says: /old\.img already exists/,
    hint: /--force/,
    given: file('old.img', 'old'),
  },
  {
    title: 'a link to a target that exists',
    words: 'download SNAP link.img',
    exit: 3,
    says: /link\.img already exists/,
    given: (place) => {
      file('old.img', 'old')(place);
      symlinkSync('old.img', place.path('link.img'));
    },
  },
  {
    title: 'a link to nothing',
    words: 'download SNAP link.img',
    exit: 3,
    says: /link\.img is a symbolic link to nowhere\.img, which does not exist/,
    given: (place) => symlinkSync('nowhere.img', place.path('link.img')),
  },
  {
    title: 'a directory as target',
    words: 'download --force SNAP folder',
    exit: 2,
    says: /folder is a directory/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'a target in a missing directory',
    words: 'download SNAP missing/x.img',
    exit: 2,
    says: /the directory missing does not exist/,
  },
  {
    title: 'a target under a file',
    words: 'download SNAP old.img/x.img',
    exit: 2,
    says: /old\.img is not a directory/,
    given: file('old.img', 'old'),
  },
  {
    title: 'a target in a directory that may not be written to',
    words: 'download SNAP folder/x.img',
    exit: 1,
    says: /cannot create files in folder: .*permi/i,
    through: unprivileged,
    given: (place) => {
      mkdirSync(place.path('folder'));
      chmodSync(place.path('folder'), 0o555);
    },
  },
  {
    title: 'a character device as target',
    words: 'download --force SNAP /dev/urandom',
    exit: 2,
    says: /\/dev\/urandom is a character device/,
  },
  { title: 'an empty target', words: ['download', 'SNAP', ''], exit: 2, says: /the target has no name/ },
  {
    title: "somebody's link in place of the partial file",
    words: 'download SNAP x.img',
    exit: 3,
    says: /x\.img\.partial is a symbolic link/,
    given: (place) => {
      file('old.img', 'old')(place);
      symlinkSync('old.img', place.path('x.img.partial'));
    },
  },
];

const uploads: Refusal[] = [
  { title: 'a missing source', words: 'upload missing.img', exit: 2, says: /missing\.img does not exist/ },
  {
    title: 'an empty source',
    words: 'upload empty.img',
    exit: 2,
    says: /empty\.img is empty/,
    given: file('empty.img', ''),
  },
  {
    title: 'a directory as source',
    words: 'upload folder',
    exit: 2,
    says: /folder is a directory/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'a character device as source',
    words: 'upload /dev/zero',
    exit: 2,
    says: /\/dev\/zero is a character device/,
  },
  {
    title: 'a source that may not be read',
    words: 'upload disk.img',
    exit: 1,
    says: /could not open disk\.img: .*permi/i,
    through: unprivileged,
    given: (place) => {
      image(place);
      chmodSync(place.path('disk.img'), 0);
    },
  },
  { title: 'an empty name of a source', words: ['upload', ''], exit: 2, says: /the source has no name/ },
  {
    title: 'stdin without a size',
    words: 'upload -',
    exit: 2,
    says: /the size of stdin is not known in advance/,
    hint: /--volume-size/,
  },
  {
    title: '/dev/stdin without a size',
    words: 'upload /dev/stdin',
    exit: 2,
    says: /the size of stdin is not known in advance/,
    hint: /--volume-size/,
  },
  {
    title: 'a FIFO without a size',
    words: 'upload pipe',
    exit: 2,
    says: /size of pipe is not known in advance/,
    given: (place) => {
      execFileSync('mkfifo', [place.path('pipe')]);
    },
  },
  { title: 'an empty stdin', words: 'upload --volume-size 1 -', exit: 2, says: /stdin is empty/ },
  {
    title: 'holes of stdin',
    words: 'upload --volume-size 1 --detect-holes -',
    exit: 2,
    says: /holes cannot be detected in a stream \(stdin\)/,
  },

  {
    title: 'a volume of 0 GiB',
    words: 'upload --volume-size 0 disk.img',
    exit: 2,
    says: /--volume-size <gib>' argument '0' is invalid.*1 to 65536/,
    given: image,
  },
  {
    title: 'a volume of more than 64 TiB',
    words: 'upload --volume-size 65537 disk.img',
    exit: 2,
    says: /1 to 65536/,
    given: image,
  },
  {
    title: 'a volume of 1.5 GiB',
    words: 'upload --volume-size 1.5 disk.img',
    exit: 2,
    says: /argument '1\.5' is invalid/,
    given: image,
  },
  {
    title: 'a volume smaller than the source',
    words: 'upload --volume-size 1 disk.img',
    exit: 2,
    says: /1073741825 bytes.*1073741824/,
    hint: /--volume-size 2/,
    given: (place) => {
      image(place);
      truncateSync(place.path('disk.img'), 2 ** 30 + 1);
    },
  },

  {
    title: 'a tag without a key',
    words: 'upload --tag Key=,Value=v disk.img',
    exit: 2,
    says: /A tag needs a key/,
    given: image,
  },
  {
    title: 'a tag without a value',
    words: 'upload --tag Key=k disk.img',
    exit: 2,
    says: /Key=name,Value=text/,
    given: image,
  },
  {
    title: 'a tag that is no tag',
    words: 'upload --tag web disk.img',
    exit: 2,
    says: /Key=name,Value=text/,
    given: image,
  },
  {
    title: 'a tag that is given twice',
    words: 'upload --tag k=1 --tag k=2 disk.img',
    exit: 2,
    says: /'k' is given twice/,
    given: image,
  },
  {
    title: 'a tag with a long key',
    words: `upload --tag ${long}=v disk.img`,
    exit: 2,
    says: /key has 1 to 127 characters/,
    given: image,
  },
  {
    title: 'a tag with a long value',
    words: `upload --tag k=${long} disk.img`,
    exit: 2,
    says: /value of tag "k" is longer than 255/,
    given: image,
  },
  {
    title: 'a tag that belongs to AWS',
    words: 'upload --tag aws:k=v disk.img',
    exit: 2,
    says: /belong to AWS/,
    given: image,
  },
  {
    title: '51 tags',
    words: ['upload', ...Array.from({ length: 51 }, (_, at) => `--tag=k${at}=v`), 'disk.img'],
    exit: 2,
    says: /at most 50 tags/,
    given: image,
  },
  {
    title: 'a long description',
    words: `upload --description ${long} disk.img`,
    exit: 2,
    says: /description is longer than 255/,
    given: image,
  },

  {
    title: 'a map that is missing',
    words: 'upload --holes-from-sidecar none.json disk.img',
    exit: 2,
    says: /none\.json is not a usable map of the image: it does not exist/,
    given: image,
  },
  {
    title: 'a map that is no JSON',
    words: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    says: /map\.json is not a usable map/,
    given: mapped('start: 0'),
  },
  {
    title: 'a map that is no list',
    words: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    says: /map\.json is not a usable map/,
    given: mapped({}),
  },
  {
    title: 'a map with a gap',
    words: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    says: /map\.json is not a usable map/,
    hint: /qemu-img map --output=json/,
    given: mapped([
      { start: 0, length: 512, data: true, zero: false },
      { start: 1024, length: 3072, data: true, zero: false },
    ]),
  },
  {
    title: 'a map of a shorter image',
    words: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    says: /map\.json is not a usable map/,
    given: mapped([{ start: 0, length: 2048, data: true, zero: false }]),
  },
  {
    title: 'two ways to know holes',
    words: 'upload --detect-holes --holes-from-sidecar map.json disk.img',
    exit: 2,
    says: /--detect-holes.*--holes-from-sidecar/,
    given: mapped([]),
  },

  {
    title: 'a key and a parent',
    words: `upload --kms-key-id ${key} --parent-snapshot-id SNAP disk.img`,
    exit: 2,
    says: /--kms-key-id.*--parent-snapshot-id/,
    given: image,
  },
  {
    title: 'encryption and a parent',
    words: 'upload --encrypted --parent-snapshot-id SNAP disk.img',
    exit: 2,
    says: /--encrypted.*--parent-snapshot-id/,
    given: image,
  },
  {
    title: 'a key that is refused',
    words: `upload --kms-key-id ${key} disk.img`,
    exit: 1,
    says: /KMS key/,
    hint: /symmetric/,
    requests: ['StartSnapshot'],
    emulator: { knownKmsKeys: [] },
    given: image,
  },
  {
    title: 'an unknown parent',
    words: 'upload --parent-snapshot-id snap-0ff disk.img',
    exit: 1,
    says: /snap-0ff/,
    requests: ['StartSnapshot'],
    given: image,
  },
  {
    title: 'a malformed parent',
    words: 'upload --parent-snapshot-id vol-1 disk.img',
    exit: 2,
    says: /"vol-1" is not a snapshot ID/,
    given: image,
  },
  {
    title: 'a parent that is larger',
    words: 'upload --parent-snapshot-id snap-0b disk.img',
    exit: 1,
    says: /2 GiB/,
    requests: ['StartSnapshot'],
    given: async (place) => {
      image(place);
      await place.emulator.putSnapshot({ id: 'snap-0b', volumeSizeGiB: 2, blocks: new Map() });
    },
  },
  {
    title: 'zeros omitted with encryption',
    words: 'upload --omit-zero-blocks --encrypted disk.img',
    exit: 3,
    says: /reads as noise/,
    given: image,
  },
  {
    title: 'zeros omitted with a parent',
    words: 'upload --omit-zero-blocks --parent-snapshot-id SNAP disk.img',
    exit: 3,
    says: /keeps the parent's content/,
    given: image,
  },
  {
    title: 'a way to wait without --wait',
    words: 'upload --max-attempts 3 disk.img',
    exit: 2,
    says: /not --wait/,
    given: image,
  },
  {
    title: 'another word than keep or delete',
    words: 'upload --on-failure panic disk.img',
    exit: 2,
    says: /keep, delete/,
    given: image,
  },
];

const others: Refusal[] = [
  {
    title: 'waiting for what is no snapshot',
    words: 'wait vol-1',
    exit: 2,
    says: /"vol-1" is not a snapshot ID/,
  },
  {
    title: 'waiting for a status that does not exist',
    words: 'wait --desired-status ready SNAP',
    exit: 2,
    says: /pending, completed, error/,
  },
  { title: 'a time that is none', words: 'wait --timeout soon SNAP', exit: 2, says: /30s, 10m or 2h/ },
  { title: 'a missing fault file', words: 'emulator --faults none.json', exit: 2, says: /none\.json/ },
  {
    title: 'a fault file that is none',
    words: 'emulator --faults rules.json',
    exit: 2,
    says: /rules\.json/,
    given: file('rules.json', '[{"operation": "Nothing"}]'),
  },
  { title: 'a port that is none', words: 'emulator --port 70000', exit: 2, says: /0 to 65535/ },
  { title: 'an unknown shell', words: 'completion tcsh', exit: 2, says: /tcsh.*bash, zsh, fish/ },
];

for (const [subject, refusals] of Object.entries({ commandLine, service, downloads, uploads, others })) {
  describe(`refused: ${subject}`, { ...needsBuild, concurrency: 3 }, () => {
    for (const refusal of refusals) test(refusal.title, (t) => refuse(t, refusal));
  });
}

test('refused: a device without a medium', {
  skip: needsBuild.skip ?? needsLoop.skip ?? false,
}, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 ** 20 });
  truncateSync(backing, 0);
  await run('losetup', '--set-capacity', device);
  const hint = /Insert or attach one/;
  await refuse(t, {
    title: '',
    words: `upload ${device}`,
    exit: 3,
    says: /\/dev\/loop\d+ has no medium/,
    hint,
  });
});

test('refused: an endpoint that is another service', needsBuild, async (t) => {
  const server = createServer((_, response) =>
    response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not Found</h1>'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await refuse(t, {
    title: '',
    words: `--endpoint ${url} --retry-for 1s download SNAP x.img`,
    exit: 4,
    says: /not the service's \(HTTP 404\)/,
    hint: /EBS direct APIs/,
  });
});
