/** Copies that are refused. */
import { writeFileSync } from 'node:fs';
import { SNAP as NAMED, type Refusal } from './refusals.ts';

const key = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const COPY = 'snap-0c0b';
const NEXT = 'snap-0e47';
const seen = ['ListSnapshotBlocks', 'DescribeSnapshots'];

export const copies: Refusal[] = [
  {
    title: 'a copy that would not differ from its source',
    args: 'copy SNAP',
    exit: 2,
    message: /the copy would not differ from the snapshot/,
    hint: /--to-region.*--kms-key-id.*--description/,
  },
  {
    title: 'an incremental copy that would not differ otherwise',
    args: `copy --since ${COPY} --parent-snapshot-id ${COPY} SNAP`,
    exit: 2,
    message: /the copy would not differ from the snapshot/,
  },
  {
    title: 'a copy since a base without a parent',
    args: `copy --to-region eu-west-1 --since ${COPY} SNAP`,
    exit: 2,
    message: /--since cannot be used without --parent-snapshot-id/,
  },
  {
    title: 'a copy with a parent without a base',
    args: `copy --to-region eu-west-1 --parent-snapshot-id ${COPY} SNAP`,
    exit: 2,
    message: /--parent-snapshot-id cannot be used without --since/,
  },
  {
    title: 'a copy since itself',
    args: `copy --to-region eu-west-1 --since SNAP --parent-snapshot-id ${COPY} ${NAMED}`,
    exit: 2,
    message: /the base is snap-0123456789abcdef0 itself: there is nothing to copy/,
  },
  {
    title: 'a copy with a malformed snapshot ID',
    args: 'copy --to-region eu-west-1 vol-1',
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  {
    title: 'a copy with a malformed base',
    args: `copy --to-region eu-west-1 --since vol-1 --parent-snapshot-id ${COPY} SNAP`,
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  {
    title: 'a copy with a malformed parent',
    args: `copy --to-region eu-west-1 --since ${COPY} --parent-snapshot-id vol-1 SNAP`,
    exit: 2,
    message: /"vol-1" is not a snapshot ID/,
  },
  ...['--encrypted', `--kms-key-id ${key}`].map((flags) => ({
    title: `a copy with a parent and ${flags.split(' ', 1)[0]}`,
    args: `copy ${flags} --since ${COPY} --parent-snapshot-id ${COPY} SNAP`,
    exit: 2,
    message: /--(encrypted|kms-key-id).*--parent-snapshot-id/,
  })),
  {
    title: 'a copy with a description that is too long',
    args: ['copy', '--description', 'x'.repeat(256), 'SNAP'],
    exit: 2,
    message: /the description is longer than 255 characters/,
  },
  {
    title: 'a copy with a tag of AWS',
    args: 'copy --tag aws:x=1 SNAP',
    exit: 2,
    message: /keys that begin with "aws:" belong to AWS/,
  },
  {
    title: 'a copy with an empty region',
    args: ['copy', '--to-region', '', 'SNAP'],
    exit: 2,
    message: /^--to-region: the value is empty$/,
  },
  {
    title: 'a copy to an endpoint that is not a URL',
    args: 'copy --to-endpoint localhost:80 SNAP',
    exit: 2,
    message: /^--to-endpoint: localhost:80 is not a URL/,
  },
  {
    title: 'an option of waiting without --wait',
    args: 'copy --to-region eu-west-1 --timeout 5m SNAP',
    exit: 2,
    message: /an option of waiting cannot be used without --wait/,
  },
  {
    title: 'a copy to a malformed region',
    args: 'copy --to-region eu_west SNAP',
    exit: 2,
    message: /^in the destination: the region is malformed: "eu_west"/,
  },
  {
    title: 'a copy to a profile that does not exist',
    args: 'copy --to-profile nobody SNAP',
    exit: 4,
    message: /in the destination: the profile "nobody" does not exist/,
  },
  {
    title: 'a copy of a snapshot that does not exist',
    args: 'copy --to-region eu-west-1 snap-0ff',
    exit: 1,
    message: /in the source region us-east-1: snapshot snap-0ff does not exist/,
    requests: ['ListSnapshotBlocks'],
  },
  {
    title: 'a copy since an unrelated snapshot',
    args: `copy --to-endpoint URL --since ${COPY} --parent-snapshot-id ${COPY} SNAP`,
    exit: 1,
    message: /in the source region us-east-1: .*not of the same lineage/,
    hint: /copy, without --since, works/,
    given: async ({ emulator }) =>
      void (await emulator.putSnapshot({ id: COPY, volumeSizeGiB: 1, blocks: {} })),
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'ListChangedBlocks'],
  },
  {
    title: 'a copy whose parent has a volume of another size than the base',
    args: `copy --to-endpoint URL --since SNAP --parent-snapshot-id ${COPY} ${NEXT}`,
    exit: 3,
    message: /snap-\S+ is not a copy of snap-0123456789abcdef0: its volume has 2147483648 bytes/,
    hint: /--parent-snapshot-id/,
    given: async ({ emulator }) => {
      await emulator.putSnapshot({ id: NEXT, volumeSizeGiB: 1, blocks: {}, parent: NAMED });
      await emulator.putSnapshot({ id: COPY, volumeSizeGiB: 2, blocks: {} });
    },
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'ListChangedBlocks', 'ListSnapshotBlocks'],
  },
  {
    title: 'a copy of a snapshot whose volume is smaller than that of the base',
    args: `copy --to-endpoint URL --since ${NEXT} --parent-snapshot-id ${COPY} SNAP`,
    exit: 3,
    message: /the volume of snap-0123456789abcdef0 has 1073741824 bytes and that of snap-\S+ 2147483648/,
    hint: /Make a full copy, without --since\./,
    given: async ({ emulator }) => {
      await emulator.putSnapshot({ id: NEXT, volumeSizeGiB: 2, blocks: {}, parent: NAMED });
      await emulator.putSnapshot({ id: COPY, volumeSizeGiB: 2, blocks: {} });
    },
    requests: ['ListSnapshotBlocks', 'ListSnapshotBlocks', 'ListChangedBlocks'],
  },
  {
    title: 'a copy with more tags than a snapshot can have',
    args: [
      'copy',
      '--copy-tags',
      ...Array.from({ length: 41 }, (_, at) => ['--tag', `a${at}=1`]).flat(),
      COPY,
    ],
    exit: 2,
    message: /a snapshot has at most 50 tags, not 51/,
    given: async ({ emulator }) => {
      const tags = Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`b${at}`, '1']));
      await emulator.putSnapshot({ id: COPY, volumeSizeGiB: 1, blocks: {}, tags });
    },
    requests: seen,
  },
  {
    title: 'a journal of a copy that is something else',
    args: 'copy --to-region eu-west-1 --checkpoint-file notes.txt SNAP',
    exit: 2,
    message: /notes\.txt exists and is not a journal of coldsnap/,
    given: (place) => writeFileSync(place.path('notes.txt'), 'mine'),
  },
  {
    title: 'a copy with a key of another region, in the service',
    args: `copy --kms-key-id ${key.replace('us-east-1', 'eu-west-1')} SNAP`,
    exit: 1,
    message: /in the destination region us-east-1: .*is not in us-east-1/,
    requests: [...seen, 'GetSnapshotBlock', 'StartSnapshot'],
  },
];
