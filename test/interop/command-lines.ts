/** Every command line that the help of coldsnap 0.12 documents, with the intended differences of this tool. */
import type { Difference } from './differences.ts';

export interface CommandLine {
  /** The arguments after the endpoint, in an array or separated by spaces. */
  readonly args: string | readonly string[];
  /** The exit code of this tool, 0 unless given; the other's is 1 for every failure. */
  readonly exit?: number;
  readonly differs?: IntendedDifference;
  /** Variables to change; undefined removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Replacements for the other tool's effects; undefined removes one. */
export interface IntendedDifference {
  readonly why: Difference;
  readonly succeeds?: boolean;
  readonly stdout?: string;
  readonly requests?: Readonly<Record<string, number | undefined>>;
  readonly files?: Readonly<Record<string, string | undefined>>;
  /** The number of new snapshots. */
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

const downloaded = {
  succeeds: true,
  requests: { 'ListSnapshotBlocks 200': 1, 'GetSnapshotBlock 200': 4 },
  files: { 'out.img': '<snapshot>' },
};
const uploaded = {
  succeeds: true,
  stdout: 'snap-new\n',
  requests: { 'StartSnapshot 201': 1, 'PutSnapshotBlock 201': 4, 'CompleteSnapshot 202': 1 },
  started: 1,
};
const notUploaded = {
  succeeds: false,
  stdout: '',
  requests: {
    'StartSnapshot 201': undefined,
    'PutSnapshotBlock 201': undefined,
    'CompleteSnapshot 202': undefined,
  },
  started: 0,
};
const probed: IntendedDifference = { why: 'probe', requests: { 'ListSnapshotBlocks 200': 1 } };
/** Refused without the request that the other tool makes. */
const withoutRequest = (kind: string): IntendedDifference => ({
  why: 'noRequests',
  requests: { [kind]: undefined },
});

const quickly = '--seconds-between-attempts 0';

const download: CommandLine[] = [
  { args: `download ${SNAP} out.img` },
  { args: `download --no-progress ${SNAP} out.img` },
  { args: `download --workers 1 ${SNAP} out.img` },
  { args: `download --workers +8 ${SNAP} out.img` },
  { args: `download --workers ++8 ${SNAP} out.img`, exit: 2 },
  { args: `download --workers 0 ${SNAP} out.img`, exit: 2 },
  { args: `download --workers many ${SNAP} out.img`, exit: 2 },
  {
    args: `download --workers 2000 ${SNAP} out.img`,
    exit: 2,
    differs: {
      why: 'workersLimit',
      succeeds: false,
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'out.img': undefined },
    },
  },
  { args: `download ${SNAP} old.img`, exit: 3 },
  { args: `download --force ${SNAP} old.img` },
  { args: `download --force ${SNAP} out.img` },
  { args: `download --checkpoint ${SNAP} out.img` },
  ...['--keep-checkpoint', '--checkpoint --keep-checkpoint'].map(
    (flags): CommandLine => ({
      args: `download ${flags} ${SNAP} out.img`,
      differs: { why: 'keepCheckpoint', files: { 'out.img.coldsnap-progress': '<checkpoint>' } },
    }),
  ),
  { args: `download -- ${SNAP} out.img` },
  { args: `download --force --no-progress --checkpoint --workers 3 -- ${SNAP} old.img` },
  { args: `download ${SNAP} --no-progress out.img` },
  { args: `download ${SNAP} out.img --no-progress` },
  { args: 'download', exit: 2 },
  { args: `download ${SNAP}`, exit: 2 },
  {
    args: `download ${SNAP} out.img more.img`,
    differs: {
      why: 'severalTargets',
      ...downloaded,
      files: { 'out.img': '<snapshot>', 'more.img': '<snapshot>' },
    },
  },
  { args: `download --frobnicate ${SNAP} out.img`, exit: 2 },
  { args: `download ${NONE} out.img`, exit: 1 },
  { args: `download ${PENDING} out.img`, exit: 1 },
  { args: 'download vol-0123 out.img', exit: 2, differs: withoutRequest('ListSnapshotBlocks 400') },
  { args: `download ${SNAP} folder`, exit: 2 },
  {
    args: `download --force ${SNAP} folder`,
    exit: 2,
    differs: {
      why: 'noRequests',
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'folder.partial': undefined },
    },
  },
  { args: `download ${SNAP} missing/out.img`, exit: 2, differs: withoutRequest('ListSnapshotBlocks 200') },
  {
    args: `download ${SNAP} -`,
    differs: { ...downloaded, why: 'dash', stdout: '<1073741824 bytes>', files: {} },
  },
  { args: `--region us-east-1 download ${SNAP} out.img`, env: { AWS_REGION: undefined } },
  {
    args: `--region eu-west-1 download ${SNAP} out.img`,
    exit: 4,
    differs: { why: 'retryOnce', requests: { 'ListSnapshotBlocks 403': 2 } },
  },
  { args: `--verbose download ${SNAP} out.img` },
  {
    args: `--profile elsewhere download ${SNAP} out.img`,
    env: { AWS_REGION: undefined, ...noCredentials },
  },
  {
    args: `--profile elsewhere download ${SNAP} out.img`,
    env: { AWS_ACCESS_KEY_ID: 'AKIDNOBODY' },
    differs: {
      ...downloaded,
      why: 'profileWins',
      requests: { ...downloaded.requests, 'ListSnapshotBlocks 403': undefined },
    },
  },
  {
    args: `--profile missing download ${SNAP} out.img`,
    exit: 4,
    differs: {
      why: 'profileWins',
      succeeds: false,
      requests: { 'ListSnapshotBlocks 200': undefined, 'GetSnapshotBlock 200': undefined },
      files: { 'out.img': undefined },
    },
  },
  { args: `download ${SNAP} out.img`, exit: 4, env: { AWS_REGION: undefined } },
  { args: `download ${SNAP} out.img`, exit: 4, env: noCredentials },
  {
    args: `download --region us-east-1 ${SNAP} out.img`,
    differs: { why: 'globalAnywhere', ...downloaded },
  },
];

const upload: CommandLine[] = [
  { args: 'upload disk.img' },
  { args: 'upload --no-progress disk.img' },
  { args: 'upload --workers 1 disk.img' },
  { args: 'upload --workers 0 disk.img', exit: 2 },
  { args: 'upload --client-shards 3 --workers 2 disk.img' },
  { args: 'upload --client-shards 0 disk.img', exit: 2 },
  { args: 'upload --volume-size 2 disk.img' },
  { args: 'upload --volume-size +2 disk.img' },
  { args: 'upload --volume-size +2.0 disk.img', exit: 2 },
  { args: 'upload --tag Key=coldsnap:upload,Value=mine disk.img' },
  { args: 'upload --volume-size 0 disk.img', exit: 2 },
  { args: 'upload --volume-size big disk.img', exit: 2 },
  { args: 'upload --volume-size 65537 disk.img', exit: 2, differs: withoutRequest('StartSnapshot 400') },
  { args: 'upload --omit-zero-blocks big.img' },
  { args: 'upload --volume-size 1 --omit-zero-blocks big.img', exit: 2 },
  { args: 'upload --omit-zero-blocks disk.img' },
  { args: ['upload', '--description', 'a disk', 'disk.img'] },
  { args: ['upload', '--description', '', 'disk.img'] },
  { args: `upload --description ${long} disk.img`, exit: 2, differs: withoutRequest('StartSnapshot 400') },
  { args: 'upload --description=short disk.img', differs: { why: 'equalsSign', ...uploaded } },
  { args: 'upload --tag Key=a,Value=b disk.img' },
  { args: 'upload --tag Key=a,Value=b --tag Key=c,Value= --tag Key=d,Value=e=f,g disk.img' },
  { args: 'upload --tag Key=,Value=b disk.img', exit: 2 },
  { args: 'upload --tag Key=a disk.img', exit: 2 },
  {
    args: 'upload --tag Key=a,Value=b --tag Key=a,Value=c disk.img',
    exit: 2,
    differs: withoutRequest('StartSnapshot 400'),
  },
  {
    args: `upload --tag Key=${long},Value=b disk.img`,
    exit: 2,
    differs: withoutRequest('StartSnapshot 400'),
  },
  { args: 'upload --tag a=b disk.img', differs: { why: 'tagShort', ...uploaded } },
  { args: `upload --kms-key-id ${KEY} disk.img` },
  { args: 'upload --kms-key-id nonsense disk.img', exit: 1 },
  { args: `upload --kms-key-id ${KEY} --parent-snapshot-id ${SNAP} disk.img`, exit: 2 },
  { args: `upload --parent-snapshot-id ${NONE} disk.img`, exit: 1 },
  {
    args: `upload --parent-snapshot-id ${SNAP} disk.img`,
    differs: { why: 'wholeChild', requests: { 'PutSnapshotBlock 201': 2048 }, started: 1 },
  },
  {
    args: `upload --omit-zero-blocks --kms-key-id ${KEY} disk.img`,
    exit: 3,
    differs: { why: 'omitRefused', ...notUploaded },
  },
  {
    args: `upload --omit-zero-blocks --parent-snapshot-id ${SNAP} disk.img`,
    exit: 3,
    differs: { why: 'omitRefused', ...notUploaded },
  },
  { args: 'upload -- disk.img' },
  {
    args: 'upload --volume-size 3 --description d --tag Key=a,Value=b --no-progress --omit-zero-blocks --workers 5 --client-shards 2 -- disk.img',
  },
  { args: 'upload --wait disk.img', differs: probed },
  { args: 'upload', exit: 2 },
  { args: 'upload disk.img more.img', exit: 2 },
  { args: 'upload --frobnicate disk.img', exit: 2 },
  { args: 'upload missing.img', exit: 2 },
  {
    args: 'upload folder',
    exit: 2,
    differs: { why: 'notADisk', requests: { 'StartSnapshot 201': undefined }, started: 0 },
  },
  { args: 'upload empty.img', exit: 2, differs: { why: 'notADisk', ...notUploaded } },
  { args: 'upload -', exit: 2 },
];

const wait: CommandLine[] = [
  { args: `wait ${SNAP}`, differs: probed },
  { args: `wait ${quickly} ${SNAP}`, differs: probed },
  { args: `wait ${quickly} --successes-required 5 ${SNAP}`, differs: probed },
  { args: `wait ${quickly} --successes-required 0 ${SNAP}`, differs: probed },
  { args: `wait ${quickly} --max-attempts 1 ${SNAP}`, differs: probed },
  { args: `wait ${quickly} --desired-status completed -- ${SNAP}`, differs: probed },
  { args: `wait ${quickly} --desired-status pending ${PENDING}` },
  { args: `wait ${quickly} --desired-status error ${FAILED}` },
  { args: `wait ${quickly} --max-attempts 3 ${PENDING}`, exit: 5 },
  { args: `wait ${quickly} --max-attempts 0 ${SNAP}`, exit: 2 },
  { args: `wait ${quickly} --max-attempts 3 ${FAILED}`, exit: 1 },
  {
    args: `wait ${quickly} --max-attempts 3 ${NONE}`,
    exit: 5,
    differs: { why: 'notYetKnown', requests: { 'DescribeSnapshots 400': 3 } },
  },
  {
    args: `wait ${quickly} --max-attempts 3 --desired-status nonsense ${SNAP}`,
    exit: 2,
    differs: { why: 'unknownStatus', requests: { 'DescribeSnapshots 200': undefined } },
  },
  { args: 'wait', exit: 2 },
  { args: `wait --seconds-between-attempts soon ${SNAP}`, exit: 2 },
  { args: 'wait vol-0123', exit: 2, differs: withoutRequest('DescribeSnapshots 400') },
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
  ].map((args) => ({ args })),
  { args: 'wait help' },
  { args: '', exit: 2 },
  { args: 'frobnicate', exit: 2 },
  { args: '--frobnicate', exit: 2 },
];

export const commandLines: readonly CommandLine[] = [...download, ...upload, ...wait, ...help];

export const argsOf = ({ args }: CommandLine): readonly string[] =>
  typeof args === 'string' ? args.split(' ').filter((arg) => arg !== '') : args;

export function titleOf(line: CommandLine): string {
  const args = argsOf(line).map((arg) => (/^\S+$/.test(arg) ? arg : `'${arg}'`));
  const changes = Object.entries(line.env ?? {}).map(([name, value]) => ` ${name}=${value ?? ''}`);
  return `coldsnap ${args.join(' ')}${changes.join('')}`.replaceAll(long, 'x…').replaceAll(KEY, 'KEY');
}
