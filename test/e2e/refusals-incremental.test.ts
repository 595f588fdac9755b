/** Invalid incremental uploads and digest files: the installed command line changes nothing, also in a dry run. */
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { DigestWriter } from '../../src/transfer/digests/writer.ts';
import { needsBuild } from '../support/built.ts';
import '../support/in-memory.ts';
import type { Workplace } from '../support/workplace.ts';
import { type Refusal, redirected, refuse, SNAP } from './refusals.ts';

const GIB = 2 ** 30;
const inc = 'upload --incremental --parent-snapshot-id SNAP';

const image = (place: Workplace) => {
  writeFileSync(place.path('disk.img'), 'an image');
};

/** An image of a size, with holes. */
const sized = (name: string, bytes: number) => (place: Workplace) => {
  image(place);
  writeFileSync(place.path(name), 'x');
  truncateSync(place.path(name), bytes);
};

/** A digest file of a snapshot. */
const digests =
  (snapshotId: string, volumeSize = GIB, blockSize = 524_288, region = 'us-east-1') =>
  async (place: Workplace): Promise<void> => {
    image(place);
    const service = { endpoint: new URL(place.emulator.url).href, region };
    const writer = await DigestWriter.create(place.path('disk.digests'), false);
    await writer.set(0, Buffer.alloc(32, 1));
    await writer.save({ snapshotId, service, volumeSize, blockSize });
    await writer.close();
  };

const damaged = (change: (bytes: Buffer) => Buffer) => async (place: Workplace) => {
  await digests(SNAP)(place);
  const path = place.path('disk.digests');
  writeFileSync(path, change(readFileSync(path)));
};

const flip = (at: number) => (bytes: Buffer) => {
  const flipped = Buffer.from(bytes);
  flipped[at]! ^= 4;
  return flipped;
};

const uploads: Refusal[] = [
  {
    title: 'an incremental upload without a parent',
    args: 'upload --incremental disk.img',
    exit: 2,
    message: /--incremental cannot be used without --parent-snapshot-id/,
    given: image,
  },
  ...['--base=x', '--trust-base', '--verify-base'].map((flag) => ({
    title: `${flag} without --incremental`,
    args: `upload ${flag} --parent-snapshot-id SNAP disk.img`,
    exit: 2,
    message: new RegExp(`${flag.replace('=x', '')} cannot be used without --incremental`),
    given: image,
  })),
  ...['--trust-base', '--verify-base'].map((flag) => ({
    title: `${flag} without --base`,
    args: `${inc} ${flag} disk.img`,
    exit: 2,
    message: new RegExp(`${flag} cannot be used without --base`),
    given: image,
  })),
  {
    title: 'a base both trusted and compared',
    args: `${inc} --base x --trust-base --verify-base disk.img`,
    exit: 2,
    message: /--verify-base.*--trust-base/,
    given: image,
  },
  {
    title: 'an incremental upload of an encrypted child',
    args: `${inc} --encrypted disk.img`,
    exit: 2,
    message: /--encrypted.*--parent-snapshot-id/,
    given: image,
  },
  {
    title: 'an incremental upload that omits zeros',
    args: `${inc} --omit-zero-blocks disk.img`,
    exit: 3,
    message: /zero blocks cannot be omitted from a child/,
    given: image,
  },
  {
    title: 'a malformed parent',
    args: 'upload --incremental --parent-snapshot-id vol-1 disk.img',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
    given: image,
  },
  {
    title: 'a parent that does not exist',
    args: 'upload --incremental --parent-snapshot-id snap-0e47 disk.img',
    exit: 1,
    message: /snap-0e47.*does not exist/,
    requests: ['ListSnapshotBlocks'],
    given: image,
  },
  {
    title: 'a base that does not exist',
    args: `${inc} --base none disk.img`,
    exit: 2,
    message: /none does not exist/,
    given: image,
  },
  {
    title: 'a directory as the base',
    args: `${inc} --base folder disk.img`,
    exit: 2,
    message: /folder/,
    given: (place) => {
      image(place);
      mkdirSync(place.path('folder'));
    },
  },
  {
    title: 'stdin as the base',
    args: `${inc} --base - disk.img`,
    exit: 3,
    message: /- is not a file or device; nothing was uploaded/,
    given: image,
  },
  {
    title: 'the source as its own base',
    args: `${inc} --base disk.img disk.img`,
    exit: 2,
    message: /disk\.img is the source/,
    given: image,
  },
  {
    title: 'a base of another size than the parent',
    args: `${inc} --base old.img disk.img`,
    exit: 3,
    message:
      /old\.img is of 1073741825 bytes, and the volume of snap-\S+ of 1073741824; nothing was uploaded/,
    hint: /--base/,
    requests: ['ListSnapshotBlocks'],
    given: sized('old.img', GIB + 1),
  },
  {
    title: 'a digest file of another snapshot',
    args: `${inc} --base disk.digests disk.img`,
    exit: 3,
    message: /disk\.digests has the digests of snap-0e47 and not of snap-0123456789abcdef0/,
    given: digests('snap-0e47'),
  },
  {
    title: 'a digest file of the snapshot that the same command has made',
    args: `${inc} --base disk.digests --save-digests disk.digests disk.img`,
    exit: 3,
    message:
      /disk\.digests has the digests of snap-0e47 and not of snap-0123456789abcdef0 any more, because an upload that saves them there has completed;/,
    given: digests('snap-0e47'),
  },
  {
    title: 'a digest file of a snapshot with this ID in another region',
    args: `${inc} --base disk.digests disk.img`,
    exit: 3,
    message:
      /disk\.digests has the digests of snap-0123456789abcdef0 at another endpoint or in another region/,
    given: digests(SNAP, GIB, 524_288, 'eu-west-1'),
  },
  {
    title: 'a digest file of another size than the parent',
    args: `${inc} --base disk.digests disk.img`,
    exit: 3,
    message: /disk\.digests is of 2147483648 bytes/,
    requests: ['ListSnapshotBlocks'],
    given: digests(SNAP, 2 * GIB),
  },
  {
    title: 'a digest file of blocks of another size',
    args: `${inc} --base disk.digests disk.img`,
    exit: 3,
    message: /disk\.digests has the digests of blocks of 4096 bytes, and snap-\S+ has blocks of 524288/,
    requests: ['ListSnapshotBlocks'],
    given: digests(SNAP, GIB, 4_096),
  },
  {
    title: 'a digest file to be compared',
    args: `${inc} --base disk.digests --verify-base disk.img`,
    exit: 2,
    message: /disk\.digests cannot be compared/,
    given: digests(SNAP),
  },
  ...(
    [
      ['with a flipped bit in its header', flip(60)],
      ['with a flipped bit in its seal', flip(230)],
      ['with a flipped bit in a digest', flip(4_100)],
      ['with a flipped bit where it has nothing', flip(50_000)],
      ['that was cut off', (bytes: Buffer) => bytes.subarray(0, 20_000)],
      ['that is only a part of its header', (bytes: Buffer) => bytes.subarray(0, 100)],
    ] as const
  ).map(
    ([what, change]): Refusal => ({
      title: `a digest file ${what}`,
      args: `${inc} --base disk.digests disk.img`,
      exit: 6,
      message: /the digest file disk\.digests is damaged/,
      hint: /--save-digests/,
      given: damaged(change),
    }),
  ),
  {
    title: 'a digest file whose first bytes are damaged',
    args: `${inc} --base disk.digests disk.img`,
    exit: 6,
    message: /the digest file disk\.digests is damaged/,
    requests: ['ListSnapshotBlocks'],
    given: damaged(flip(3)),
  },
  {
    title: 'a volume smaller than that of the parent',
    args: 'upload --incremental --parent-snapshot-id snap-0e47 --volume-size 1 disk.img',
    exit: 3,
    message: /a volume of 1 GiB is smaller than that of its parent snap-0e47, which has 2 GiB/,
    hint: /--volume-size/,
    requests: ['ListSnapshotBlocks'],
    given: async (place) => {
      image(place);
      await place.emulator.putSnapshot({ id: 'snap-0e47', volumeSizeGiB: 2, blocks: new Map() });
    },
  },
  {
    title: 'digests to be saved over a file that has none',
    args: 'upload --save-digests notes disk.img',
    exit: 3,
    message: /notes exists and is not a digest file/,
    hint: /--force/,
    given: (place) => {
      image(place);
      writeFileSync(place.path('notes'), 'mine');
    },
  },
  {
    title: 'digests to be saved over the source',
    args: 'upload --force --save-digests disk.img disk.img',
    exit: 2,
    message: /would replace disk\.img/,
    given: image,
  },
  {
    title: 'digests to be saved over the base',
    args: `${inc} --force --base old.img --save-digests old.img disk.img`,
    exit: 2,
    message: /would replace old\.img/,
    given: sized('old.img', GIB),
  },
  {
    title: 'the file that is stdin as the base of stdin',
    args: `${inc} --volume-size 1 --base disk.img -`,
    exit: 2,
    message: /disk\.img is the source, and cannot be its own base/,
    given: image,
    through: redirected('< disk.img'),
  },
  {
    title: 'digests to be saved over the file that is stdin',
    args: 'upload --force --volume-size 1 --save-digests disk.img -',
    exit: 2,
    message: /would replace stdin/,
    given: image,
    through: redirected('< disk.img'),
  },
  {
    title: 'digests to be saved over the map of holes',
    args: 'upload --force --holes-from-sidecar map.json --save-digests map.json disk.img',
    exit: 2,
    message: /would replace map\.json/,
    given: (place) => {
      image(place);
      writeFileSync(place.path('map.json'), '[{"start":0,"length":8,"zero":false,"data":true}]');
    },
  },
  {
    title: 'digests to be saved among devices',
    args: 'upload --save-digests /dev/coldsnap-none disk.img',
    exit: 2,
    message: /digests saved as \/dev\/coldsnap-none would be among devices/,
    hint: /^ {2}Choose another file for the digests\.$/m,
    given: image,
  },
  {
    title: "digests to be saved among the kernel's own files",
    args: 'upload --save-digests /proc/digests disk.img',
    exit: 2,
    message: /digests saved as \/proc\/digests would be among the kernel's own files/,
    hint: /^ {2}Choose another file for the digests\.$/m,
    given: image,
  },
];

/** A dry run does not find these, because it compares no blocks and writes no file. */
const wet: Refusal[] = [
  {
    title: 'an image that is not the parent',
    args: `${inc} --verify-base --base old.img disk.img`,
    exit: 6,
    message: /old\.img does not hold snap-0123456789abcdef0: bytes 0-524288 differ; nothing was uploaded/,
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'GetSnapshotBlock'],
    given: sized('old.img', GIB),
  },
  {
    title: 'digests beside something else with the name of the partial file',
    args: 'upload --save-digests disk.digests disk.img',
    exit: 3,
    message: /disk\.digests\.partial exists and was not made by coldsnap/,
    given: (place) => {
      image(place);
      copyFileSync(place.path('disk.img'), place.path('disk.digests.partial'));
    },
  },
];

const downloads: Refusal[] = [
  {
    title: 'digests of an incremental download',
    args: 'download --since snap-0e47 --save-digests disk.digests SNAP disk.img',
    exit: 2,
    message: /--since.*--save-digests/,
  },
  {
    title: 'digests of a download to several targets',
    args: 'download --save-digests disk.digests SNAP one.img two.img',
    exit: 2,
    message: /digests can be saved of a download to one target/,
  },
  {
    title: 'digests of a download to be saved over its target',
    args: 'download --save-digests disk.img SNAP disk.img',
    exit: 2,
    message: /would replace disk\.img/,
  },
  {
    title: 'digests of a download to be saved over the file that is stdout',
    args: 'download --force --save-digests out SNAP -',
    exit: 2,
    message: /would replace stdout/,
    given: (place) => writeFileSync(place.path('out'), ''),
    through: redirected('1<> out'),
  },
  {
    title: 'digests of a download to be saved over another file',
    args: 'download --save-digests notes SNAP disk.img',
    exit: 3,
    message: /notes exists and is not a digest file/,
    given: (place) => writeFileSync(place.path('notes'), 'mine'),
  },
];

const dry = ({ args, ...refusal }: Refusal): Refusal => ({
  ...refusal,
  title: `a dry run of ${refusal.title}`,
  args: (args as string).replace(/^(upload|download)/, '$1 --dry-run'),
});

describe('refused: incremental uploads and digests', { ...needsBuild, concurrency: 3 }, () => {
  const all = [...uploads, ...downloads];
  for (const refusal of [...all, ...wet, ...all.map(dry)]) test(refusal.title, (t) => refuse(t, refusal));
});
