/**
 * The intended differences from coldsnap 0.12, one sentence each. The table of command lines names them; a command line
 * that differs in any other way fails.
 */
export const differences = {
  exitCodes:
    'Failures have different exit codes (2 usage, 3 refused, 4 configuration, 5 gave up, 6 integrity); 0.12 always exits with 1.',
  stderr: 'The text on stderr is different; stdout is the same.',
  marker:
    'Uploads tag their snapshots with coldsnap:upload=true, so that `coldsnap pending` finds those that never completed.',
  probe:
    'After `completed`, `wait` and `upload --wait` list the snapshot once, because EC2 can say `completed` before the EBS direct APIs can read it.',
  waitForever: '`wait` is not limited to 90 attempts; `--max-attempts` and `--timeout` set a limit.',
  notYetKnown:
    '`wait` polls for up to 2 minutes for a snapshot that EC2 does not list, because a new one takes time to appear.',
  unknownStatus: '`wait` rejects a status that does not exist, instead of waiting for it.',
  noRequests:
    'Errors that are visible without a request (a malformed snapshot ID, limits of sizes, tags and descriptions, a missing directory) are reported before any request.',
  retryOnce: 'A rejected signature is retried once, with fresh credentials and the clock of the service.',
  profileWins:
    'Credentials are chosen as by the AWS CLI. 0.12 prefers keys in the environment to `--profile`, and keys of a profile to a web identity; where the profile does not exist, or half of a key is missing, it uses the role of the instance.',
  tagShort: 'Tags can also be written as k=v.',
  omitRefused:
    '`--omit-zero-blocks` is refused with `--kms-key-id` and with `--parent-snapshot-id`: omitted blocks would read as random data, or as the parent.',
  sentAnyway:
    '`--omit-zero-blocks` uploads one block in 16,384 of a run of zeros, because the service cancels an idle upload.',
  wholeChild:
    'With a parent, the volume beyond the end of the source is uploaded as zeros; with 0.12 it keeps the contents of the parent.',
  notADisk:
    'An empty source or a directory is rejected before a snapshot is started; 0.12 leaves one behind.',
  checkpointDefault: 'Downloads and uploads keep a checkpoint file unless `--no-checkpoint` is given.',
  keepCheckpoint: '`--keep-checkpoint` needs no `--checkpoint`, and keeps the file of a short download too.',
  globalAnywhere: 'Global options are also accepted after the command.',
  equalsSign: 'An equals sign may separate an option and its value.',
  dash: '`-` is stdout for `download` and, with `--volume-size`, stdin for `upload`.',
  severalTargets: '`download` takes several targets.',
  workersLimit: '`--workers` is at most 1,024.',
  helpText: 'The help text is different.',
} as const;

export type Difference = keyof typeof differences;
