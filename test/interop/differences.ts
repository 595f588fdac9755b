/**
 * The intended differences from coldsnap 0.12, one sentence each. The table of command lines refers to them; any other
 * difference fails the test.
 */
export const differences = {
  exitCodes:
    'Failures have exit codes of their own (2 usage, 3 refused, 4 configuration, 5 gave up, 6 integrity), where 0.12 always exits with 1.',
  stderr: 'The text on stderr differs; stdout is the same.',
  marker:
    'Uploads tag their snapshots with coldsnap:upload=true, by which `coldsnap pending` finds those that were never completed.',
  probe:
    'After `completed`, `wait` and `upload --wait` list the snapshot once, because EC2 can say `completed` before the EBS direct APIs can read it.',
  waitForever: '`wait` has no limit of 90 attempts; `--max-attempts` and `--timeout` set one.',
  notYetKnown:
    '`wait` polls for up to 2 minutes for a snapshot that EC2 does not list, because a new one is not listed at once.',
  unknownStatus: '`wait` refuses a status that does not exist, instead of waiting for it.',
  noRequests:
    'Errors that the command line alone shows (a malformed snapshot ID, limits of sizes, tags and descriptions, a missing directory) are reported before any request.',
  retryOnce: 'A rejected signature is retried once, with new credentials and the clock of the service.',
  profileWins:
    'The credentials of a named `--profile` are used, and it must exist; 0.12 prefers those of the environment.',
  tagShort: 'Tags can also be written as k=v.',
  omitRefused:
    '`--omit-zero-blocks` is refused with `--kms-key-id` and with `--parent-snapshot-id`: skipped blocks would read as random data, or as the parent.',
  sentAnyway:
    '`--omit-zero-blocks` skips zeros except for one block in 16,384, because the service cancels a snapshot that receives no block during a long run of zeros.',
  wholeChild:
    'With a parent, the range between the end of the source and the end of the volume is uploaded as zeros; in 0.12 it reads as the parent.',
  notADisk:
    'An empty source or a directory is refused before a snapshot is started; 0.12 starts one that stays pending.',
  checkpointDefault:
    'Downloads and uploads keep a checkpoint file by default; `--no-checkpoint` disables it.',
  keepCheckpoint:
    '`--keep-checkpoint` does not require `--checkpoint`, and also keeps the file of a short download.',
  globalAnywhere: 'Global options may also follow the command.',
  equalsSign: 'An equals sign may also join an option and its value.',
  dash: '`-` is stdout for `download` and, with `--volume-size`, stdin for `upload`.',
  workersLimit: '`--workers` is at most 1,024.',
  helpText: 'The text of the help differs.',
} as const;

export type Difference = keyof typeof differences;
