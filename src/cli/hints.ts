/** Hints that name flags of the command line. They replace the library's hints, which name none. */

import { errnoHint } from '../errno.ts';
import type { ErrorCode, SystemErrorCode } from '../error-codes.ts';
import { shellQuote } from './command-line.ts';

type Hint = string | ((ofLibrary: string) => string);

const hints: Readonly<Partial<Record<ErrorCode | SystemErrorCode, Hint>>> = {
  EADDRINUSE: 'Another program uses that port; choose one with --port.',
  EMFILE: 'Raise the limit of open files (ulimit -n), or lower --workers.',
  ENOMEM: 'The machine has run out of memory; lower --workers.',
  DEVICE_IN_USE: 'Unmount or release it first; --force does not override this.',
  ENDPOINT_UNREACHABLE: 'Check --region, --endpoint and the network.',
  NO_CREDENTIALS:
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with --profile, or attach an instance role.',
  MFA_NEEDED:
    'Run it on a terminal, or get a session with "aws sts get-session-token --serial-number ARN --token-code CODE" and put its keys in the environment.',
  NO_REGION: 'Set it with --region, AWS_REGION or in the profile.',
  OMIT_WITH_ENCRYPTION: 'Drop --omit-zero-blocks.',
  OMIT_WITH_PARENT: 'Drop --omit-zero-blocks.',
  RESUME_MISMATCH: 'Start over with --fresh.',
  SOURCE_BUSY: 'Wait until it ends, or use another journal with --checkpoint-file.',
  SOURCE_IN_USE:
    'Unmount it, mount it read-only, or upload a snapshot of it; add --force to upload it as it is.',
  SOURCE_IS_CONTAINER: (hint) =>
    hint
      .replace('coldsnap upload -', 'coldsnap upload --volume-size N -')
      .replace('as they are, as a raw image', 'as they are with --source-format raw'),
  SOURCE_SIZE_UNKNOWN: 'Set the size of the volume with --volume-size, in GiB.',
  SOURCE_UNFINISHED: (hint) => hint.replace('force the upload', 'add --force to upload it as it is'),
  SOURCE_TOO_LONG: 'Set a larger --volume-size.',
  SEVERAL_TARGETS: (hint) =>
    hint.startsWith('Give no path') ? 'Drop --checkpoint-file: each target has its own.' : hint,
  TARGET_NOT_READ_BACK: 'Name a file or a block device, or drop --verify.',
  BASE_DIFFERS: 'Name the snapshot that it holds with --since, or drop --since for a full download.',
  BASE_MISMATCH:
    'Name an image or the digest file of the parent with --base, or drop --base to read its blocks.',
  PARENT_MISMATCH: 'Name the copy of the base with --parent-snapshot-id.',
  CHILD_TOO_SMALL: (hint) =>
    hint
      .replace('without a base', 'without --since')
      .replace(/^Set.*/, 'Set a larger --volume-size, or drop it.'),
  DIGESTS_DAMAGED:
    'Drop --base to read the blocks of the parent, and write the file again with --save-digests.',
  DIGESTS_EXIST: (hint) => hint.replace('force it', 'add --force to overwrite it'),
  BASE_NEEDS_JOURNAL: 'Drop --no-checkpoint.',
  COPY_ONTO_ITSELF:
    'Add --to-region, --to-profile or another --to- option, --kms-key-id, --encrypted, --tag, --copy-tags or --description.',
  JOURNAL_REQUIRED: 'Make its directory writable, or set another path with --checkpoint-file.',
  TARGET_BETWEEN: (hint) =>
    hint
      .replace('Finish it with the same command', 'Run the interrupted command again to finish it')
      .replace('full download', 'full download with --force'),
  TARGET_HOLDS_NO_BASE: 'Name a file or device that holds the base, or drop --since for a full download.',
  UNRELATED_SNAPSHOTS:
    'Only snapshots of one volume can be compared. A full download or copy, without --since, works.',
  TARGET_EXISTS: 'Choose another name, or add --force to overwrite it.',
  TARGET_NOT_BLANK: 'Check that it is the right device; add --force to overwrite it.',
};

/** Codes that sudo causes when it drops the environment and changes the home directory. */
const lostBySudo: ReadonlySet<string> = new Set(['NO_CREDENTIALS', 'NO_REGION', 'PROFILE_NOT_FOUND']);

interface HintedError {
  readonly code: ErrorCode | SystemErrorCode;
  readonly hint?: string | undefined;
  readonly profile?: string | undefined;
}

/** The hint to print for an error. */
export function hintFor(error: HintedError): string | undefined {
  const hint = hintOfProfile(error) ?? hintOfCode(error);
  if (!process.env.SUDO_USER || !lostBySudo.has(error.code)) return hint;
  const line = 'sudo drops your AWS settings; keep them with: sudo -E HOME="$HOME" coldsnap …';
  return hint === undefined ? line : `${line} (${hint})`;
}

function hintOfProfile({ code, profile }: HintedError): string | undefined {
  if (code !== 'SSO_LOGIN_NEEDED' || profile === undefined) return undefined;
  return `Run: aws sso login --profile ${shellQuote(profile)}`;
}

function hintOfCode(error: HintedError): string | undefined {
  const hint = hints[error.code] ?? error.hint ?? errnoHint(error.code);
  return typeof hint === 'function' ? hint(error.hint ?? '') : hint;
}
