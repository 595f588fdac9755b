/** The topics of `coldsnap help`, which are also sections of the man page. */
import { Help } from 'commander';

/** A term and its meaning. */
export type Row = readonly [term: string, text: string];

export interface Topic {
  readonly name: string;
  readonly summary: string;
  /** Paragraphs, and tables of terms. */
  readonly parts: readonly (string | readonly Row[])[];
}

export const environment: readonly Row[] = [
  ['AWS_REGION, AWS_PROFILE', 'region and profile, unless --region and --profile are given'],
  [
    'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN',
    'credentials; otherwise from the AWS configuration files and the role of the instance or container',
  ],
  ['AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EBS, AWS_ENDPOINT_URL_EC2', 'endpoints, unless given as options'],
  ['HTTPS_PROXY, NO_PROXY', 'proxy, and the hosts to reach without it'],
  ['NODE_EXTRA_CA_CERTS, AWS_CA_BUNDLE', 'file with additional certificate authorities'],
  [
    'STATE_DIRECTORY, XDG_STATE_HOME',
    'where journals of devices and copies are kept; see coldsnap help resume',
  ],
  ['NO_COLOR', 'if not empty, no colors are used'],
  ['UV_THREADPOOL_SIZE', 'threads for disk and checksums (default: the number of processors, 2 to 8)'],
];

export const files: readonly Row[] = [
  ['TARGET.partial', 'the image of a download to a file, until it is complete'],
  ['TARGET.coldsnap-progress', 'the journal of a download to a file'],
  ['SOURCE.REGION.coldsnap-upload', 'the journal of an upload, if its directory is writable'],
  [
    '/var/lib/coldsnap, ~/.local/state/coldsnap',
    'the state directory of root and of other users: journals of devices, of copies, of uploads whose directory is read-only, and of files with very long names. ' +
      'STATE_DIRECTORY takes precedence, and for other users than root XDG_STATE_HOME/coldsnap. Where it cannot be written, a ' +
      'warning says so and the transfer cannot be resumed',
  ],
];

export const topics: readonly Topic[] = [
  {
    name: 'environment',
    summary: 'environment variables',
    parts: [
      environment,
      'sudo clears the environment: use sudo -E, or sudo --preserve-env=AWS_PROFILE,AWS_REGION.',
    ],
  },
  {
    name: 'json',
    summary: 'output for programs',
    parts: [
      'With --json, stdout has the result as one JSON document: of an upload, a copy, a wait, a report, or a download to a file. ' +
        'Every line on stderr is a JSON object with a type, also with --verbose:',
      [
        ['start', 'the transfer begins: operation, snapshotId, path, volumeSize, blockSize, bytesResumed'],
        ['progress', 'at most once a second, at least every 10 seconds'],
        ['snapshot', 'the snapshot of an upload or copy exists'],
        [
          'phase, status',
          'what the run does before the first block and after the last; the state of the snapshot',
        ],
        ['retry, warning, message', 'a request that is repeated, a warning, any other line'],
        ['done', 'the result'],
        [
          'error',
          'the last line of a failed run: code, class, exitCode, message, hint, runAgain and where it happened',
        ],
      ],
      'Sizes are in bytes, names ending in Ms are milliseconds. bytesDone is the sum of bytesTransferred, bytesSkipped and ' +
        'bytesResumed; it equals bytesTotal at the end. docs/json.md has every field.',
    ],
  },
  {
    name: 'resume',
    summary: 'interrupted transfers and their files',
    parts: [
      'Transfers of files and devices, and copies, keep a journal. Run the same command again to resume; --fresh starts over. Transfers ' +
        'from and to pipes cannot be resumed.',
      files,
      'A download reads back what it has done: what was modified since is restored again, and where nothing of it is there any ' +
        'more, the download starts over. An upload resumes only with the same source and options; the service keeps an incomplete snapshot for 3 days after its last block. To give the space back ' +
        'instead, delete TARGET.partial and its journal, or the snapshot with: coldsnap pending --delete SNAPSHOT',
    ],
  },
  {
    name: 'permissions',
    summary: 'the IAM actions that each command needs',
    parts: [
      [
        ['download, verify', 'ebs:ListSnapshotBlocks, ebs:GetSnapshotBlock'],
        ['download --since, copy --since', 'also ebs:ListChangedBlocks'],
        [
          'upload',
          'ebs:StartSnapshot, ebs:PutSnapshotBlock, ebs:CompleteSnapshot; with tags ec2:CreateTags; ec2:DescribeSnapshots to ' +
            'check a resumed one',
        ],
        [
          'upload --incremental',
          'also ebs:ListSnapshotBlocks and, unless with a digest file as --base, ebs:GetSnapshotBlock on the parent; ' +
            'ec2:DescribeSnapshots, without which the parent counts as encrypted',
        ],
        [
          'copy',
          'those of a download at the source, those of an upload at the destination; ec2:DescribeSnapshots at the source for ' +
            'description, tags and encryption; with --since ebs:ListSnapshotBlocks at the destination to check the parent',
        ],
        [
          'wait, upload --wait',
          'ec2:DescribeSnapshots; ebs:ListSnapshotBlocks to check that the snapshot is readable',
        ],
        [
          'info',
          'ebs:ListSnapshotBlocks; ebs:GetSnapshotBlock for the partitions, ec2:DescribeSnapshots for state and tags',
        ],
        ['diff', 'ebs:ListChangedBlocks on the first snapshot and the second'],
        ['list, pending', 'ec2:DescribeSnapshots'],
        ['pending --delete, --on-failure delete', 'also ec2:DeleteSnapshot'],
      ],
      'Snapshots encrypted with your own KMS key also need permissions for the key.',
    ],
  },
  {
    name: 'devices',
    summary: 'how block devices are protected',
    parts: [
      'A device is opened exclusively. It is refused if it is in use in any way (mounted, swap, part of a RAID or volume ' +
        'group), read-only or too small; --force does not override that.',
      'If a device is not blank, coldsnap says what is on it. On a terminal it asks whether to overwrite it; elsewhere it ' +
        'refuses without --force.',
      'The first 2 MiB and the last MiB of the volume are zeroed first and written last, so that an interrupted restore never ' +
        'looks like a good disk. ' +
        'After exit code 0 every byte is on stable storage.',
      'The command that lists the devices: coldsnap devices --help',
    ],
  },
];

/** A topic as text of at most `columns` per line. */
export function describeTopic({ parts }: Pick<Topic, 'parts'>, columns: number): string {
  const help = new Help();
  help.helpWidth = Math.min(columns, 100);
  help.minWidthToWrap = 20;
  const blocks = parts.map((part) =>
    typeof part === 'string' ? help.boxWrap(part, help.helpWidth ?? 80) : describeRows(part, help),
  );
  return `${blocks.join('\n\n')}\n`;
}

/** Rows with aligned texts; a term that is long has its text below it. */
function describeRows(rows: readonly Row[], help: Help): string {
  const width = help.helpWidth ?? 80;
  const termWidth = Math.max(...rows.map(([term]) => term.length));
  if (termWidth < width / 3) {
    return rows.map(([term, text]) => help.formatItem(term, termWidth, text, help)).join('\n');
  }
  const indent = ' '.repeat(6);
  return rows
    .map(([term, text]) => {
      const lines = help.boxWrap(text, width - indent.length).split('\n');
      return [`  ${term}`, ...lines.map((line) => indent + line)].join('\n');
    })
    .join('\n');
}
