/** Invalid input to the installed command line. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { ours, type Tool, type Workplace } from '../support/workplace.ts';
import { copies } from './copy-refusals.ts';
import { type Refusal, redirected, refuse } from './refusals.ts';

const long = 'x'.repeat(256);
const key = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

const image = (place: Workplace) => writeFileSync(place.path('disk.img'), 'an image');
const file = (name: string, content: string) => (place: Workplace) =>
  writeFileSync(place.path(name), content);
/** Writes an image, and a map of it. */
const mapped = (map: unknown) => (place: Workplace) => {
  writeFileSync(place.path('disk.img'), Buffer.alloc(4096));
  writeFileSync(place.path('map.json'), typeof map === 'string' ? map : JSON.stringify(map));
};

const needsBuildAndRoot = {
  skip: needsBuild.skip ?? (process.geteuid?.() === 0 ? false : 'root is needed'),
};

/** Root ignores permissions unless it drops its capabilities. */
const unprivileged: Tool =
  process.geteuid?.() === 0
    ? { name: 'setpriv', command: ['setpriv', '--inh-caps=-all', '--bounding-set=-all', ...ours.command] }
    : ours;

const commandLine: Refusal[] = [
  {
    title: 'an unknown command',
    args: 'dwonload SNAP x.img',
    exit: 2,
    message: /unknown command 'dwonload'.*download/,
  },
  {
    title: 'an unknown option, with the nearest one',
    args: 'download --forec SNAP x.img',
    exit: 2,
    message: /unknown option '--forec'.*--force/,
  },
  {
    title: 'an option without its value',
    args: 'download SNAP x.img --workers',
    exit: 2,
    message: /--workers <n>' argument missing/,
  },
  {
    title: 'an empty value',
    args: ['download', '--region', '', 'SNAP', 'x.img'],
    exit: 2,
    message: /^--region: the value is empty$/,
  },
  {
    title: 'workers 0',
    args: 'download --workers 0 SNAP x.img',
    exit: 2,
    message: /^--workers: 0 is not a whole number from 1 to 1024$/,
  },
  {
    title: 'workers that are not a number',
    args: 'download --workers many SNAP x.img',
    exit: 2,
    message: /^--workers: many is not a whole number/,
  },
  {
    title: 'a rate of 0',
    args: 'download --rate 0 SNAP x.img',
    exit: 2,
    message: /^--rate: 0 is not a rate above 0/,
  },
  {
    title: 'too few arguments',
    args: 'download SNAP',
    exit: 2,
    message: /missing required argument 'target'/,
  },
  { title: 'too many arguments', args: 'verify SNAP x.img y.img', exit: 2, message: /too many arguments/ },
  {
    title: 'snapshot and target swapped',
    args: 'download x.img SNAP',
    exit: 2,
    message: /the snapshot ID must come before the target/,
    hint: /coldsnap download snap-\S+ x\.img/,
  },
  {
    title: 'options that contradict each other',
    args: 'download --no-checkpoint --keep-checkpoint SNAP x.img',
    exit: 2,
    message: /--no-checkpoint and --keep-checkpoint cannot be used together/,
  },
  {
    title: '--quiet with --verbose',
    args: '--quiet --verbose download SNAP x.img',
    exit: 2,
    message: /--quiet and --verbose cannot be used together/,
  },
  {
    title: 'an endpoint that is not a URL',
    args: '--endpoint localhost:80 download SNAP x.img',
    exit: 2,
    message: /^--endpoint: localhost:80 is not a URL/,
  },
];

const service: Refusal[] = [
  {
    title: 'no region',
    args: 'download SNAP x.img',
    exit: 4,
    message: /region/,
    hint: /--region.*AWS_REGION/,
    env: { AWS_REGION: undefined },
  },
  {
    title: 'no credentials',
    args: 'download SNAP x.img',
    exit: 4,
    message: /found no credentials: no keys in the environment/,
    env: { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined },
  },
  {
    title: 'a profile that does not exist',
    args: '--profile nobody download SNAP x.img',
    exit: 4,
    message: /the profile "nobody" does not exist/,
  },
  {
    title: 'wrong credentials',
    args: 'download SNAP x.img',
    exit: 4,
    message: /./,
    env: { AWS_SECRET_ACCESS_KEY: 'wrong' },
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks'],
  },
  {
    title: 'an endpoint that refuses connections',
    args: '--endpoint http://127.0.0.1:1 --retry-for 1s download SNAP x.img',
    exit: 5,
    message: /127\.0\.0\.1:1|ECONNREFUSED|refused/,
  },
  {
    title: 'an endpoint whose host name does not exist',
    args: '--endpoint http://ebs.invalid --retry-for 1s download SNAP x.img',
    exit: 5,
    message: /ebs\.invalid/,
  },
  {
    title: 'denied access, with the action to allow',
    args: 'download SNAP x.img',
    exit: 4,
    message: /denied/,
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
    title: 'a target that is named twice',
    args: 'download SNAP x.img y.img x.img',
    exit: 2,
    message: /^x\.img is named twice$/,
    hint: /Name each target once/,
  },
  {
    title: 'two spellings of one target',
    args: 'download SNAP x.img ./x.img',
    exit: 2,
    message: /^x\.img and \.\/x\.img are the same file or device, or share storage$/,
  },
  {
    title: 'two hard links of one file, with --force',
    args: 'download --force SNAP disk.img link.img',
    exit: 2,
    message: /disk\.img and link\.img are the same/,
    given: (place) => {
      image(place);
      linkSync(place.path('disk.img'), place.path('link.img'));
    },
  },
  {
    title: 'stdout among several targets',
    args: 'download SNAP x.img -',
    exit: 2,
    message: /stdout is a stream, which cannot be one of several targets/,
    hint: /Name files and block devices/,
  },
  {
    title: 'a character device among several targets',
    args: 'download SNAP /dev/null x.img',
    exit: 2,
    message: /\/dev\/null is a stream/,
  },
  {
    title: 'one journal for several targets',
    args: 'download --checkpoint-file journal SNAP x.img y.img',
    exit: 2,
    message: /one journal cannot belong to several targets/,
    hint: /Drop --checkpoint-file/,
  },
  {
    title: 'an incremental download to several targets',
    args: 'download --since SNAP SNAP disk.img x.img',
    exit: 3,
    message: /an incremental download has one target/,
    hint: /Run it once for each target/,
    given: image,
  },
  {
    title: 'one of several targets that exists',
    args: 'download SNAP x.img disk.img',
    exit: 3,
    message: /disk\.img already exists/,
    given: image,
  },
  {
    title: 'two of several targets, with the exit code of the first in the order given',
    args: 'download SNAP x.img missing/y.img disk.img',
    exit: 2,
    message: /cannot create missing\/y\.img/,
    given: image,
  },
  {
    title: 'two of several targets in the other order',
    args: 'download SNAP x.img disk.img missing/y.img',
    exit: 3,
    message: /disk\.img already exists/,
    given: image,
  },
  {
    title: 'several targets of an unknown snapshot',
    args: 'download snap-0ff x.img y.img',
    exit: 1,
    message: /snap-0ff/,
    requests: ['ListSnapshotBlocks'],
  },
  {
    title: 'snapshot and several targets swapped',
    args: 'download x.img snap-0ff y.img',
    exit: 2,
    message: /the snapshot ID must come before the target/,
    hint: /coldsnap download (--dry-run )?snap-0ff x\.img y\.img/,
  },
  {
    title: 'a malformed snapshot ID',
    args: 'download vol-0123 x.img',
    exit: 2,
    message: /"vol-0123" is not a snapshot ID/,
    hint: /snap-0123456789abcdef0/,
  },
  {
    title: 'an unknown snapshot',
    args: 'download snap-0ff x.img',
    exit: 1,
    message: /snap-0ff/,
    requests: ['ListSnapshotBlocks'],
  },
  {
    title: 'a snapshot that is not completed',
    args: 'download snap-0a x.img',
    exit: 1,
    message: /snap-0a/,
    requests: ['ListSnapshotBlocks'],
    given: async ({ emulator }) => {
      await emulator.putSnapshot({ id: 'snap-0a', volumeSizeGiB: 1, blocks: new Map(), status: 'pending' });
    },
  },
  {
    title: 'a target that exists',
    args: 'download SNAP old.img',
    exit: 3,
    message: /old\.img already exists/,
    hint: /--force/,
    given: file('old.img', 'old'),
  },
  {
    title: 'a link to a target that exists',
    args: 'download SNAP link.img',
    exit: 3,
    message: /link\.img already exists/,
    given: (place) => {
      file('old.img', 'old')(place);
      symlinkSync('old.img', place.path('link.img'));
    },
  },
  {
    title: 'a dangling link',
    args: 'download SNAP link.img',
    exit: 3,
    message: /link\.img is a symbolic link to nowhere\.img, which does not exist/,
    given: (place) => symlinkSync('nowhere.img', place.path('link.img')),
  },
  {
    title: 'a directory as target',
    args: 'download --force SNAP folder',
    exit: 2,
    message: /folder is a directory/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'a target in a missing directory',
    args: 'download SNAP missing/x.img',
    exit: 2,
    message: /the directory missing does not exist/,
  },
  {
    title: 'a target under a file',
    args: 'download SNAP old.img/x.img',
    exit: 2,
    message: /old\.img is not a directory/,
    given: file('old.img', 'old'),
  },
  {
    title: 'a target in a directory without write permission',
    args: 'download SNAP folder/x.img',
    exit: 1,
    message: /cannot create files in folder: .*permi/i,
    through: unprivileged,
    given: (place) => {
      mkdirSync(place.path('folder'));
      chmodSync(place.path('folder'), 0o555);
    },
  },
  {
    title: 'a character device as target',
    args: 'download --force SNAP /dev/urandom',
    exit: 2,
    message: /\/dev\/urandom is a character device/,
  },
  { title: 'an empty target', args: ['download', 'SNAP', ''], exit: 2, message: /the target has no name/ },
  {
    title: 'a link in place of the partial file',
    args: 'download SNAP x.img',
    exit: 3,
    message: /x\.img\.partial is a symbolic link/,
    given: (place) => {
      file('old.img', 'old')(place);
      symlinkSync('old.img', place.path('x.img.partial'));
    },
  },
];

const BASE = 'snap-0b45e';
/** A base with a block at 30, and an image of it. */
const based =
  (name?: string, bytes = 2 ** 30) =>
  async (place: Workplace) => {
    const blocks = new Map([[30, Buffer.alloc(524_288, 'base')]]);
    await place.emulator.putSnapshot({ id: BASE, volumeSizeGiB: 1, blocks });
    const changed = new Map([[31, Buffer.alloc(524_288, 'next')]]);
    await place.emulator.putSnapshot({ id: 'snap-0e47', volumeSizeGiB: 1, blocks: changed, parent: BASE });
    if (name === undefined) return;
    const image = openSync(place.path(name), 'w');
    ftruncateSync(image, bytes);
    writeSync(image, blocks.get(30)!, 0, 524_288, 30 * 524_288);
    closeSync(image);
  };

const incremental: Refusal[] = [
  {
    title: 'an incremental download to a file that does not exist',
    args: `download --since ${BASE} snap-0e47 x.img`,
    exit: 3,
    message: /x\.img does not exist, so it does not hold the base/,
    hint: /drop --since/,
  },
  {
    title: 'an incremental download to stdout',
    args: `download --since ${BASE} snap-0e47 -`,
    exit: 3,
    message: /stdout is a stream/,
  },
  {
    title: 'an incremental download to a directory',
    args: `download --since ${BASE} snap-0e47 folder`,
    exit: 3,
    message: /folder is no file and no block device/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'an incremental download to a file of another size than the base',
    args: `download --since ${BASE} snap-0e47 disk.img`,
    exit: 3,
    message: /disk\.img has 1073741825 bytes and not 1073741824/,
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'ListChangedBlocks'],
    given: based('disk.img', 2 ** 30 + 1),
  },
  {
    title: 'an incremental download beside something else with the name of its partial file',
    args: `download --since ${BASE} snap-0e47 disk.img`,
    exit: 3,
    message: /disk\.img\.partial is in the way/,
    given: async (place) => {
      await based('disk.img')(place);
      file('disk.img.partial', 'mine')(place);
    },
  },
  {
    title: 'an incremental download of an unrelated snapshot, with the reason of the service',
    args: `download --since ${BASE} SNAP disk.img`,
    exit: 1,
    message: /not of the same lineage/,
    hint: /full download or copy, without --since, works/,
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'ListChangedBlocks'],
    given: based('disk.img'),
  },
  {
    title: 'an incremental download without a journal',
    args: `download --since ${BASE} --no-checkpoint snap-0e47 disk.img`,
    exit: 2,
    message: /needs a journal/,
    hint: /--no-checkpoint/,
    given: based('disk.img'),
  },
  {
    title: 'a malformed base',
    args: 'download --since vol-1 SNAP disk.img',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  ...['--trust-base', '--verify-base'].map((flag) => ({
    title: `${flag} without --since`,
    args: `download ${flag} SNAP x.img`,
    exit: 2,
    message: new RegExp(`${flag} cannot be used without --since`),
  })),
  {
    title: 'a base both trusted and compared',
    args: `download --since ${BASE} --trust-base --verify-base SNAP x.img`,
    exit: 2,
    message: /--verify-base.*--trust-base/,
  },
  {
    title: 'an incremental download to an image with a second name',
    args: `download --since ${BASE} snap-0e47 disk.img`,
    exit: 3,
    message: /disk\.img is in use: it has a second name/,
    given: async (place) => {
      await based('disk.img')(place);
      linkSync(place.path('disk.img'), place.path('second.img'));
    },
  },
];

const comparisons: Refusal[] = [
  {
    title: 'reading back what is written to a pipe',
    args: 'download --verify SNAP -',
    exit: 2,
    message: /what is written to stdout cannot be read back/,
    hint: /--verify/,
  },
  {
    title: 'reading back what is written to /dev/null',
    args: 'download --verify SNAP /dev/null',
    exit: 2,
    message: /what is written to \/dev\/null cannot be read back/,
    hint: /--verify/,
  },
  {
    title: 'comparing with a malformed snapshot ID',
    args: 'verify vol-0123 x.img',
    exit: 2,
    message: /"vol-0123" is not a snapshot ID/,
  },
  {
    title: 'comparing with snapshot and target swapped',
    args: 'verify x.img SNAP',
    exit: 2,
    message: /the snapshot ID must come before the target/,
    hint: /coldsnap verify snap-\S+ x\.img/,
  },
  {
    title: 'comparing a missing file',
    args: 'verify SNAP missing.img',
    exit: 2,
    message: /missing\.img does not exist/,
  },
  {
    title: 'comparing a directory',
    args: 'verify SNAP folder',
    exit: 2,
    message: /folder is a directory/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'comparing a file without read permission',
    args: 'verify SNAP disk.img',
    exit: 1,
    message: /could not open disk\.img: .*permi/i,
    through: unprivileged,
    given: (place) => {
      image(place);
      chmodSync(place.path('disk.img'), 0);
    },
  },
  {
    title: 'comparing a file smaller than the volume, before a block is fetched',
    args: 'verify SNAP disk.img',
    exit: 6,
    message: /disk\.img has 8 bytes, the snapshot's volume 1073741824/,
    requests: ['ListSnapshotBlocks'],
    given: image,
  },
  {
    title: 'comparing an unknown snapshot',
    args: 'verify snap-0ff disk.img',
    exit: 1,
    message: /snap-0ff/,
    requests: ['ListSnapshotBlocks'],
    given: image,
  },
  ...['0', '101', '-1', 'all', '1e1'].map((percent) => ({
    title: `a sample of ${percent} percent`,
    args: `verify --sample=${percent} SNAP disk.img`,
    exit: 2,
    message: /^--sample: \S+ is not a number above 0 and at most 100/,
    given: image,
  })),
];

const uploads: Refusal[] = [
  { title: 'a missing source', args: 'upload missing.img', exit: 2, message: /missing\.img does not exist/ },
  {
    title: 'an empty source',
    args: 'upload empty.img',
    exit: 2,
    message: /empty\.img is empty/,
    given: file('empty.img', ''),
  },
  {
    title: 'a directory as source',
    args: 'upload folder',
    exit: 2,
    message: /folder is a directory/,
    given: (place) => mkdirSync(place.path('folder')),
  },
  {
    title: 'a character device as source',
    args: 'upload /dev/zero',
    exit: 2,
    message: /\/dev\/zero is a character device/,
  },
  {
    title: 'a source without read permission',
    args: 'upload disk.img',
    exit: 1,
    message: /could not open disk\.img: .*permi/i,
    through: unprivileged,
    given: (place) => {
      image(place);
      chmodSync(place.path('disk.img'), 0);
    },
  },
  { title: 'an empty source name', args: ['upload', ''], exit: 2, message: /the source has no name/ },
  {
    title: 'stdin without a size',
    args: 'upload -',
    exit: 2,
    message: /the size of stdin is not known in advance/,
    hint: /--volume-size/,
  },
  {
    title: '/dev/stdin without a size',
    args: 'upload /dev/stdin',
    exit: 2,
    message: /the size of stdin is not known in advance/,
    hint: /--volume-size/,
  },
  {
    title: 'a FIFO without a size',
    args: 'upload pipe',
    exit: 2,
    message: /size of pipe is not known in advance/,
    given: (place) => {
      execFileSync('mkfifo', [place.path('pipe')]);
    },
  },
  { title: 'an empty stdin', args: 'upload --volume-size 1 -', exit: 2, message: /stdin is empty/ },
  {
    title: 'a directory as stdin',
    args: 'upload --volume-size 1 -',
    exit: 2,
    message: /stdin is a directory/,
    through: redirected('< .'),
  },
  {
    title: 'hole detection on stdin',
    args: 'upload --volume-size 1 --detect-holes -',
    exit: 2,
    message: /holes cannot be detected in a stream \(stdin\)/,
  },

  {
    title: 'a volume of 0 GiB',
    args: 'upload --volume-size 0 disk.img',
    exit: 2,
    message: /^--volume-size: 0 is not a whole number of GiB from 1 to 65536/,
    given: image,
  },
  {
    title: 'a volume of more than 64 TiB',
    args: 'upload --volume-size 65537 disk.img',
    exit: 2,
    message: /1 to 65536/,
    given: image,
  },
  {
    title: 'a volume of 1.5 GiB',
    args: 'upload --volume-size 1.5 disk.img',
    exit: 2,
    message: /^--volume-size: 1\.5 is not a whole number of GiB/,
    given: image,
  },
  {
    title: 'a volume smaller than the source',
    args: 'upload --volume-size 1 disk.img',
    exit: 2,
    message: /1073741825 bytes.*1073741824/,
    hint: /volume size of 2 GiB/,
    given: (place) => {
      image(place);
      truncateSync(place.path('disk.img'), 2 ** 30 + 1);
    },
  },

  {
    title: 'a tag without a key',
    args: 'upload --tag Key=,Value=v disk.img',
    exit: 2,
    message: /^--tag: a tag needs a key$/,
    given: image,
  },
  {
    title: 'a tag without a value',
    args: 'upload --tag Key=k disk.img',
    exit: 2,
    message: /Key=name,Value=text/,
    given: image,
  },
  {
    title: 'a malformed tag',
    args: 'upload --tag web disk.img',
    exit: 2,
    message: /Key=name,Value=text/,
    given: image,
  },
  {
    title: 'a duplicate tag',
    args: 'upload --tag k=1 --tag k=2 disk.img',
    exit: 2,
    message: /'k' is given twice/,
    given: image,
  },
  {
    title: 'a tag with a long key',
    args: `upload --tag ${long}=v disk.img`,
    exit: 2,
    message: /key has 1 to 127 characters/,
    given: image,
  },
  {
    title: 'a tag with a long value',
    args: `upload --tag k=${long} disk.img`,
    exit: 2,
    message: /value of tag "k" is longer than 255/,
    given: image,
  },
  {
    title: 'a tag with the prefix of AWS',
    args: 'upload --tag aws:k=v disk.img',
    exit: 2,
    message: /belong to AWS/,
    given: image,
  },
  {
    title: '51 tags',
    args: ['upload', ...Array.from({ length: 51 }, (_, at) => `--tag=k${at}=v`), 'disk.img'],
    exit: 2,
    message: /at most 50 tags/,
    given: image,
  },
  {
    title: 'a long description',
    args: `upload --description ${long} disk.img`,
    exit: 2,
    message: /description is longer than 255/,
    given: image,
  },

  {
    title: 'a missing map',
    args: 'upload --holes-from-sidecar none.json disk.img',
    exit: 2,
    message: /none\.json is not a usable map of the image: it does not exist/,
    given: image,
  },
  {
    title: 'a map that is not JSON',
    args: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    message: /map\.json is not a usable map/,
    given: mapped('start: 0'),
  },
  {
    title: 'a map that is not a list',
    args: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    message: /map\.json is not a usable map/,
    given: mapped({}),
  },
  {
    title: 'a map with a gap',
    args: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    message: /map\.json is not a usable map/,
    hint: /qemu-img map --output=json/,
    given: mapped([
      { start: 0, length: 512, data: true, zero: false },
      { start: 1024, length: 3072, data: true, zero: false },
    ]),
  },
  {
    title: 'a map of a shorter image',
    args: 'upload --holes-from-sidecar map.json disk.img',
    exit: 2,
    message: /map\.json is not a usable map/,
    given: mapped([{ start: 0, length: 2048, data: true, zero: false }]),
  },
  {
    title: 'two sources of holes',
    args: 'upload --detect-holes --holes-from-sidecar map.json disk.img',
    exit: 2,
    message: /--detect-holes.*--holes-from-sidecar/,
    given: mapped([]),
  },

  {
    title: 'a key and a parent',
    args: `upload --kms-key-id ${key} --parent-snapshot-id SNAP disk.img`,
    exit: 2,
    message: /--kms-key-id.*--parent-snapshot-id/,
    given: image,
  },
  {
    title: 'encryption and a parent',
    args: 'upload --encrypted --parent-snapshot-id SNAP disk.img',
    exit: 2,
    message: /--encrypted.*--parent-snapshot-id/,
    given: image,
  },
  {
    title: 'a key that is refused',
    args: `upload --kms-key-id ${key} disk.img`,
    exit: 1,
    message: /KMS key/,
    hint: /symmetric/,
    requests: ['StartSnapshot'],
    emulator: { knownKmsKeys: [] },
    given: image,
  },
  {
    title: 'an unknown parent',
    args: 'upload --parent-snapshot-id snap-0ff disk.img',
    exit: 1,
    message: /snap-0ff.* does not exist in us-east-1(, account \d+)?$/,
    requests: ['StartSnapshot'],
    given: image,
  },
  {
    title: 'a malformed parent',
    args: 'upload --parent-snapshot-id vol-1 disk.img',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
    given: image,
  },
  {
    title: 'a parent that is larger',
    args: 'upload --parent-snapshot-id snap-0b disk.img',
    exit: 1,
    message: /at least 2, the size of the parent in GiB/,
    requests: ['StartSnapshot'],
    given: async (place) => {
      image(place);
      await place.emulator.putSnapshot({ id: 'snap-0b', volumeSizeGiB: 2, blocks: new Map() });
    },
  },
  {
    title: 'zeros omitted with encryption',
    args: 'upload --omit-zero-blocks --encrypted disk.img',
    exit: 3,
    message: /read as random data/,
    given: image,
  },
  {
    title: 'zeros omitted with a parent',
    args: 'upload --omit-zero-blocks --parent-snapshot-id SNAP disk.img',
    exit: 3,
    message: /keep the parent's content/,
    given: image,
  },
  {
    title: 'a wait option without --wait',
    args: 'upload --max-attempts 3 disk.img',
    exit: 2,
    message: /an option of waiting cannot be used without --wait/,
    given: image,
  },
  {
    title: 'an --on-failure other than keep or delete',
    args: 'upload --on-failure panic disk.img',
    exit: 2,
    message: /keep, delete/,
    given: image,
  },
];

const others: Refusal[] = [
  {
    title: 'waiting for a malformed snapshot ID',
    args: 'wait vol-1',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  {
    title: 'waiting for a status that does not exist',
    args: 'wait --desired-status ready SNAP',
    exit: 2,
    message: /pending, completed, error/,
  },
  {
    title: 'a malformed timeout',
    args: 'wait --timeout soon SNAP',
    exit: 2,
    message: /^--timeout: soon is not a time such as 30s, 10m or 1h30m/,
  },
  { title: 'a missing fault file', args: 'emulator --faults none.json', exit: 2, message: /none\.json/ },
  {
    title: 'an invalid fault file',
    args: 'emulator --faults rules.json',
    exit: 2,
    message: /rules\.json/,
    given: file('rules.json', '[{"operation": "Nothing"}]'),
  },
  { title: 'an invalid port', args: 'emulator --port 70000', exit: 2, message: /0 to 65535/ },
  { title: 'an unknown shell', args: 'completion tcsh', exit: 2, message: /tcsh.*bash, zsh, fish/ },
];

const reports: Refusal[] = [
  {
    title: 'info of an ID that is not one',
    args: 'info vol-1',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  {
    title: 'info of a snapshot that does not exist',
    args: 'info snap-0123456789abcdef1',
    exit: 1,
    message: /snapshot snap-0123456789abcdef1 does not exist in us-east-1$/,
    requests: ['ListSnapshotBlocks'],
  },
  {
    title: 'info without a snapshot',
    args: 'info --ranges',
    exit: 2,
    message: /missing required argument 'snapshot'/,
  },
  {
    title: 'info of a snapshot that may not be listed',
    args: 'info SNAP',
    exit: 4,
    message: /^access denied: no$/,
    hint: /ebs:ListSnapshotBlocks/,
    given: ({ emulator }) =>
      emulator.setFaults([
        {
          operation: 'ListSnapshotBlocks',
          action: { type: 'error', status: 403, code: 'AccessDeniedException', message: 'no' },
        },
      ]),
    requests: ['ListSnapshotBlocks'],
  },
];

const other = 'snap-0fedcba9876543210';
reports.push(
  {
    title: 'devices with an argument',
    args: 'devices /dev/sda',
    exit: 2,
    message: /too many arguments/,
  },
  {
    title: 'diff of one snapshot',
    args: 'diff SNAP',
    exit: 2,
    message: /missing required argument 'second'/,
  },
  {
    title: 'diff with an ID that is not one',
    args: 'diff SNAP disk.img',
    exit: 2,
    message: /"disk.img" is not a snapshot ID/,
  },
  {
    title: 'diff of unrelated snapshots',
    args: `diff SNAP ${other}`,
    exit: 1,
    message: /not of the same lineage.*UNRELATED_SNAPSHOTS/,
    hint: /one volume/,
    given: async ({ emulator }) =>
      void (await emulator.putSnapshot({ id: other, volumeSizeGiB: 1, blocks: {} })),
    requests: ['ListChangedBlocks'],
  },
);

const all = { commandLine, service, downloads, incremental, comparisons, uploads, copies, others, reports };
for (const [subject, refusals] of Object.entries(all)) {
  describe(`refused: ${subject}`, { ...needsBuild, concurrency: 3 }, () => {
    for (const refusal of refusals) test(refusal.title, (t) => refuse(t, refusal));
  });
}

/** A dry run refuses as the transfer would, with the same message and exit code, up to its first request that changes anything. */
const changing = ['StartSnapshot', 'PutSnapshotBlock', 'GetSnapshotBlock', 'CompleteSnapshot'];
const dry = (command: 'download' | 'upload' | 'copy', refusals: readonly Refusal[]) =>
  refusals
    .filter(({ requests = [] }) => !requests.some((operation) => changing.includes(operation)))
    .flatMap((refusal) => {
      const args = typeof refusal.args === 'string' ? refusal.args.split(' ') : refusal.args;
      const at = args.indexOf(command);
      return at === -1 ? [] : [{ ...refusal, args: args.toSpliced(at + 1, 0, '--dry-run') }];
    });
for (const [command, refusals] of [
  ['download', downloads],
  ['upload', uploads],
  ['copy', copies],
] as const) {
  describe(`refused by a dry run: ${command}`, { ...needsBuild, concurrency: 3 }, () => {
    for (const refusal of dry(command, refusals)) test(refusal.title, (t) => refuse(t, refusal));
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
    args: `upload ${device}`,
    exit: 3,
    message: /\/dev\/loop\d+ has no medium/,
    hint,
  });
});

test('refused: several devices of which one is too small, or two share storage', {
  skip: needsBuild.skip ?? needsLoop.skip ?? false,
}, async (t) => {
  const scratch = await Scratch.for(t);
  const blank = await scratch.loop({ bytes: 2 ** 30 });
  const small = await scratch.loop({ bytes: 2 ** 20 });
  const again = await scratch.attach(blank.backing);
  const state = () => {
    const { blocks, mtimeNs } = statSync(blank.backing, { bigint: true });
    return [blocks, mtimeNs];
  };
  const before = state();
  for (const flags of ['', '--dry-run ']) {
    await refuse(t, {
      title: '',
      args: `download ${flags}SNAP ${blank.device} ${again}`,
      exit: 2,
      message: /are the same file or device, or share storage/,
    });
    await refuse(t, {
      title: '',
      args: `download ${flags}SNAP ${blank.device} ${blank.backing}`,
      exit: 2,
      message: /are the same file or device, or share storage/,
    });
  }
  await scratch.detach(again);
  for (const flags of ['', '--dry-run ']) {
    await refuse(t, {
      title: '',
      args: `download ${flags}SNAP x.img ${blank.device} ${small.device}`,
      exit: 3,
      message: /1048576 bytes/,
      requests: ['ListSnapshotBlocks'],
    });
  }
  assert.deepEqual(state(), before);
});

test("refused: another user's file in a directory such as /tmp", needsBuildAndRoot, async (t) => {
  for (const flags of ['', '--dry-run ']) {
    await refuse(t, {
      title: '',
      args: `download --force ${flags}SNAP folder/old.img`,
      exit: 1,
      message: /cannot replace folder\/old\.img: .*permi/i,
      hint: /another user/,
      through: unprivileged,
      given: (place) => {
        mkdirSync(place.path('folder'));
        file('folder/old.img', 'old')(place);
        for (const name of ['folder', 'folder/old.img']) chownSync(place.path(name), 12_345, 12_345);
        chmodSync(place.path('folder'), 0o1777);
      },
    });
  }
});

test('refused: an immutable file', needsBuildAndRoot, async (t) => {
  const scratch = await Scratch.for(t);
  writeFileSync(scratch.path('probe'), '');
  try {
    for (const flag of ['+i', '-i']) await run('chattr', flag, scratch.path('probe'));
  } catch (error) {
    return t.skip(`no file can be made immutable: ${(error as Error).message}`);
  }
  let immutable: string | undefined;
  try {
    await refuse(t, {
      title: '',
      args: 'download --force SNAP old.img',
      exit: 1,
      message: /cannot replace old\.img: .*permi/i,
      hint: /immutable/,
      given: async (place) => {
        file('old.img', 'old')(place);
        await run('chattr', '+i', place.path('old.img'));
        immutable = place.path('old.img');
      },
    });
  } finally {
    if (immutable !== undefined) await run('chattr', '-i', immutable);
  }
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
    args: `--endpoint ${url} --retry-for 1s download SNAP x.img`,
    exit: 4,
    message: /not from the service \(HTTP 404\)/,
    hint: /EBS direct APIs/,
  });
});
