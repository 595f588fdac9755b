/** Every command line that coldsnap 0.12 has, by its help, and in what this tool means to differ on it. */
import type { Difference } from './differences.ts';

export interface CommandLine {
  /** The words after the endpoint, between single blanks, or one by one. */
  readonly words: string | readonly string[];
  /** Exit code of this tool; the other one's is 1 for whatever fails. 0 unless given. */
  readonly exit?: number;
  readonly differs?: Meant;
  /** Variables to change; undefined removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** What replaces the other tool's facts; undefined removes one. */
export interface Meant {
  readonly why: Difference;
  readonly succeeds?: boolean;
  readonly stdout?: string;
  readonly requests?: Readonly<Record<string, number | undefined>>;
  readonly files?: Readonly<Record<string, string | undefined>>;
  /** How many snapshots are new. */
  readonly started?: number;
}

/** A complete snapshot of 1 GiB, with four blocks. */
export const SNAP = 'snap-0123456789abcdef0';
export const PENDING = 'snap-00000000000000001';
export const FAILED = 'snap-00000000000000002';
const NONE = 'snap-0000000000000ffff';
const KEY = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
const long = 'x'.repeat(256);

const noCredentials = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };

const wasDownloaded = {
  succeeds: true,
  requests: { 'ListSnapshotBlocks 200': 1, 'GetSnapshotBlock 200': 4 },
  files: { 'out.img': '<snapshot>' },
};
const wasUploaded = {
  succeeds: true,
  stdout: 'snap-new\n',
  requests: { 'StartSnapshot 201': 1, 'PutSnapshotBlock 201': 4, 'CompleteSnapshot 202': 1 },
  started: 1,
};
const wasNotUploaded = {
  succeeds: false,
  stdout: '',
  requests: {
    'StartSnapshot 201': undefined,
    'PutSnapshotBlock 201': undefined,
    'CompleteSnapshot 202': undefined,
  },
  started: 0,
};
const probed: Meant = { why: 'probe', requests: { 'ListSnapshotBlocks 200': 1 } };
/** Refused without the request that the other tool makes. */
const unasked = (kind: string): Meant => ({ why: 'noRequests', requests: { [kind]: undefined } });

const quickly = '--seconds-between-attempts 0';

const download: CommandLine[] = [
  { words: `download ${SNAP} out.img` },
  { words: `download --no-progress ${SNAP} out.img` },
  { words: `download --workers 1 ${SNAP} out.img` },
  { words: `download --workers 0 ${SNAP} out.img`, exit: 2 },
  { words: `download --workers many ${SNAP} out.img`, exit: 2 },
  {
    words: `download --workers 2000 ${SNAP} out.img`,
    exit: 2,
    differs: {
      why: 'workersLimit',
      succeeds: false,
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'out.img': undefined },
    },
  },
  { words: `download ${SNAP} old.img`, exit: 3 },
  { words: `download --force ${SNAP} old.img` },
  { words: `download --force ${SNAP} out.img` },
  { words: `download --checkpoint ${SNAP} out.img` },
  ...['--keep-checkpoint', '--checkpoint --keep-checkpoint'].map(
    (flags): CommandLine => ({
      words: `download ${flags} ${SNAP} out.img`,
      differs: { why: 'keepCheckpoint', files: { 'out.img.coldsnap-progress': '<checkpoint>' } },
    }),
  ),
  { words: `download -- ${SNAP} out.img` },
  { words: `download --force --no-progress --checkpoint --workers 3 -- ${SNAP} old.img` },
  { words: `download ${SNAP} --no-progress out.img` },
  { words: `download ${SNAP} out.img --no-progress` },
  { words: 'download', exit: 2 },
  { words: `download ${SNAP}`, exit: 2 },
  { words: `download ${SNAP} out.img more.img`, exit: 2 },
  { words: `download --frobnicate ${SNAP} out.img`, exit: 2 },
  { words: `download ${NONE} out.img`, exit: 1 },
  { words: `download ${PENDING} out.img`, exit: 1 },
  { words: 'download vol-0123 out.img', exit: 2, differs: unasked('ListSnapshotBlocks 400') },
  { words: `download ${SNAP} folder`, exit: 2 },
  {
    words: `download --force ${SNAP} folder`,
    exit: 2,
    differs: {
      why: 'noRequests',
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'folder.partial': undefined },
    },
  },
  { words: `download ${SNAP} missing/out.img`, exit: 2, differs: unasked('ListSnapshotBlocks 200') },
  {
    words: `download ${SNAP} -`,
    differs: { ...wasDownloaded, why: 'dash', stdout: '<1073741824 bytes>', files: {} },
  },
  { words: `--region us-east-1 download ${SNAP} out.img`, env: { AWS_REGION: undefined } },
  {
    words: `--region eu-west-1 download ${SNAP} out.img`,
    exit: 4,
    differs: { why: 'retryOnce', requests: { 'ListSnapshotBlocks 403': 2 } },
  },
  { words: `--verbose download ${SNAP} out.img` },
  {
    words: `--profile elsewhere download ${SNAP} out.img`,
    env: { AWS_REGION: undefined, ...noCredentials },
  },
  {
    words: `--profile elsewhere download ${SNAP} out.img`,
    env: { AWS_ACCESS_KEY_ID: 'AKIDNOBODY' },
    differs: {
      ...wasDownloaded,
      why: 'profileWins',
      requests: { ...wasDownloaded.requests, 'ListSnapshotBlocks 403': undefined },
    },
  },
  {
    words: `--profile missing download ${SNAP} out.img`,
    exit: 4,
    differs: {
      why: 'profileWins',
      succeeds: false,
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'out.img': undefined },
    },
  },
  { words: `download ${SNAP} out.img`, exit: 4, env: { AWS_REGION: undefined } },
  { words: `download ${SNAP} out.img`, exit: 4, env: noCredentials },
  {
    words: `download --region us-east-1 ${SNAP} out.img`,
    differs: { why: 'globalAnywhere', ...wasDownloaded },
  },
];

const upload: CommandLine[] = [
  { words: 'upload disk.img' },
  { words: 'upload --no-progress disk.img' },
  { words: 'upload --workers 1 disk.img' },
  { words: 'upload --workers 0 disk.img', exit: 2 },
  { words: 'upload --client-shards 3 --workers 2 disk.img' },
  { words: 'upload --client-shards 0 disk.img', exit: 2 },
  { words: 'upload --volume-size 2 disk.img' },
  { words: 'upload --volume-size 0 disk.img', exit: 2 },
  { words: 'upload --volume-size big disk.img', exit: 2 },
  { words: 'upload --volume-size 65537 disk.img', exit: 2, differs: unasked('StartSnapshot 400') },
  { words: 'upload --omit-zero-blocks big.img' },
  { words: 'upload --volume-size 1 --omit-zero-blocks big.img', exit: 2 },
  { words: 'upload --omit-zero-blocks disk.img' },
  { words: ['upload', '--description', 'a disk', 'disk.img'] },
  { words: ['upload', '--description', '', 'disk.img'] },
  { words: `upload --description ${long} disk.img`, exit: 2, differs: unasked('StartSnapshot 400') },
  { words: 'upload --description=short disk.img', differs: { why: 'equalsSign', ...wasUploaded } },
  { words: 'upload --tag Key=a,Value=b disk.img' },
  { words: 'upload --tag Key=a,Value=b --tag Key=c,Value= --tag Key=d,Value=e=f,g disk.img' },
  { words: 'upload --tag Key=,Value=b disk.img', exit: 2 },
  { words: 'upload --tag Key=a disk.img', exit: 2 },
  {
    words: 'upload --tag Key=a,Value=b --tag Key=a,Value=c disk.img',
    exit: 2,
    differs: unasked('StartSnapshot 400'),
  },
  { words: `upload --tag Key=${long},Value=b disk.img`, exit: 2, differs: unasked('StartSnapshot 400') },
  { words: 'upload --tag a=b disk.img', differs: { why: 'tagShort', ...wasUploaded } },
  { words: `upload --kms-key-id ${KEY} disk.img` },
  { words: 'upload --kms-key-id nonsense disk.img', exit: 1 },
  { words: `upload --kms-key-id ${KEY} --parent-snapshot-id ${SNAP} disk.img`, exit: 2 },
  { words: `upload --parent-snapshot-id ${NONE} disk.img`, exit: 1 },
  {
    words: `upload --parent-snapshot-id ${SNAP} disk.img`,
    differs: { why: 'wholeChild', requests: { 'PutSnapshotBlock 201': 2048 }, started: 1 },
  },
  {
    words: `upload --omit-zero-blocks --kms-key-id ${KEY} disk.img`,
    exit: 3,
    differs: { why: 'omitRefused', ...wasNotUploaded },
  },
  {
    words: `upload --omit-zero-blocks --parent-snapshot-id ${SNAP} disk.img`,
    exit: 3,
    differs: { why: 'omitRefused', ...wasNotUploaded },
  },
  { words: 'upload -- disk.img' },
  {
    words:
      'upload --volume-size 3 --description d --tag Key=a,Value=b --no-progress --omit-zero-blocks --workers 5 --client-shards 2 -- disk.img',
  },
  { words: 'upload --wait disk.img', differs: probed },
  { words: 'upload', exit: 2 },
  { words: 'upload disk.img more.img', exit: 2 },
  { words: 'upload --frobnicate disk.img', exit: 2 },
  { words: 'upload missing.img', exit: 2 },
  {
    words: 'upload folder',
    exit: 2,
    differs: { why: 'notADisk', requests: { 'StartSnapshot 201': undefined }, started: 0 },
  },
  { words: 'upload empty.img', exit: 2, differs: { why: 'notADisk', ...wasNotUploaded } },
  { words: 'upload -', exit: 2 },
];

const wait: CommandLine[] = [
  { words: `wait ${SNAP}`, differs: probed },
  { words: `wait ${quickly} ${SNAP}`, differs: probed },
  { words: `wait ${quickly} --successes-required 5 ${SNAP}`, differs: probed },
  { words: `wait ${quickly} --successes-required 0 ${SNAP}`, differs: probed },
  { words: `wait ${quickly} --max-attempts 1 ${SNAP}`, differs: probed },
  { words: `wait ${quickly} --desired-status completed -- ${SNAP}`, differs: probed },
  { words: `wait ${quickly} --desired-status pending ${PENDING}` },
  { words: `wait ${quickly} --desired-status error ${FAILED}` },
  { words: `wait ${quickly} --max-attempts 3 ${PENDING}`, exit: 5 },
  { words: `wait ${quickly} --max-attempts 0 ${SNAP}`, exit: 2 },
  { words: `wait ${quickly} --max-attempts 3 ${FAILED}`, exit: 1 },
  {
    words: `wait ${quickly} --max-attempts 3 ${NONE}`,
    exit: 5,
    differs: { why: 'notYetKnown', requests: { 'DescribeSnapshots 400': 3 } },
  },
  {
    words: `wait ${quickly} --max-attempts 3 --desired-status nonsense ${SNAP}`,
    exit: 2,
    differs: { why: 'unknownStatus', requests: { 'DescribeSnapshots 200': undefined } },
  },
  { words: 'wait', exit: 2 },
  { words: `wait --seconds-between-attempts soon ${SNAP}`, exit: 2 },
  { words: 'wait vol-0123', exit: 2, differs: unasked('DescribeSnapshots 400') },
];

const help: CommandLine[] = [
  ...[
    'help',
    '--help',
    'download --help',
    'download help',
    'upload --help',
    'upload help',
    'wait --help',
  ].map((words) => ({ words })),
  { words: 'wait help' },
  { words: '', exit: 2 },
  { words: 'frobnicate', exit: 2 },
  { words: '--frobnicate', exit: 2 },
];

export const commandLines: readonly CommandLine[] = [...download, ...upload, ...wait, ...help];

export const wordsOf = ({ words }: CommandLine): readonly string[] =>
  typeof words === 'string' ? words.split(' ').filter((word) => word !== '') : words;

export function titleOf(line: CommandLine): string {
  const words = wordsOf(line).map((word) => (/^\S+$/.test(word) ? word : `'${word}'`));
  const changes = Object.entries(line.env ?? {}).map(([name, value]) => ` ${name}=${value ?? ''}`);
  return `coldsnap ${words.join(' ')}${changes.join('')}`.replaceAll(long, 'x…').replaceAll(KEY, 'KEY');
}
