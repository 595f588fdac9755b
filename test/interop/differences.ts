/**
 * Where this tool means to differ from coldsnap 0.12, one sentence each. The table of command lines names them, and a
 * command line that differs in any other way fails.
 */
export const differences = {
  exitCodes:
    'Failures have exit codes of their own (2 usage, 3 refused, 4 configuration, 5 gave up, 6 integrity), where 0.12 always exits with 1.',
  stderr: 'What stands on stderr is other text; stdout is the same.',
  marker:
    'Snapshots that uploads start carry the tag coldsnap:upload=true, by which `coldsnap pending` finds those that never completed.',
  probe:
    'After `completed`, `wait` and `upload --wait` list the snapshot once, because EC2 can say `completed` before the EBS direct APIs can read it.',
  waitForever: '`wait` has no limit of 90 attempts; `--max-attempts` and `--timeout` set one.',
  notYetKnown:
    '`wait` goes on asking for 2 minutes for a snapshot that EC2 does not know, because a new one is not known at once.',
  unknownStatus: '`wait` refuses a status that does not exist, instead of waiting for it.',
  noRequests:
    'What can be told from the command line alone (a malformed snapshot ID, limits of sizes, tags and descriptions, a missing directory) is refused before any request.',
  retryOnce: 'A refused signature is tried once more, with fresh credentials and the clock of the service.',
  profileWins:
    'A named `--profile` decides which credentials are used, and must exist; 0.12 prefers those of the environment.',
  tagShort: 'Tags can also be written as k=v.',
  omitRefused:
    '`--omit-zero-blocks` is refused with `--kms-key-id` and with `--parent-snapshot-id`: what is left out would read as noise, or as the parent.',
  sentAnyway:
    '`--omit-zero-blocks` leaves out zeros but for one block in 16,384, without which the service cancels a snapshot while a long run of zeros is read.',
  wholeChild:
    'With a parent, what lies between the end of the source and that of the volume is put as zeros, where 0.12 lets the contents of the parent show through.',
  notADisk: 'An empty source or a directory is refused before a snapshot is started; 0.12 leaves one behind.',
  checkpointDefault:
    'Downloads and uploads keep a checkpoint file by default; `--no-checkpoint` does without.',
  keepCheckpoint: '`--keep-checkpoint` needs no `--checkpoint`, and keeps the file also of a short download.',
  globalAnywhere: 'Global options may also stand after the command.',
  equalsSign: 'Values may also be joined to their options with an equals sign.',
  dash: '`-` is stdout for `download` and, with `--volume-size`, stdin for `upload`.',
  workersLimit: '`--workers` is at most 1,024.',
  helpText: 'The help is other text.',
} as const;

export type Difference = keyof typeof differences;
