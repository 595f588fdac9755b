/**
 * Hints that name a flag of the command line, by error code. The library knows no flags: its own hints say what to do in
 * general, and these take their place here.
 */
import { errnoHint } from '../native/errno.ts';

const hints: Readonly<Record<string, string>> = {
  DEVICE_IN_USE: 'Unmount or release it first; --force does not override this.',
  EADDRINUSE: 'Another program uses that port; choose one with --port.',
  EMFILE: 'Raise the limit of open files (ulimit -n), or lower --workers.',
  ENDPOINT_UNREACHABLE: 'Check --region, --endpoint and the network.',
  ENOMEM: 'The machine has run out of memory; lower --workers.',
  NO_CREDENTIALS:
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with --profile, or attach an instance role.',
  NO_REGION: 'Set it with --region, AWS_REGION or in the profile.',
  OMIT_WITH_ENCRYPTION: 'Drop --omit-zero-blocks; --detect-holes skips only what was never written.',
  OMIT_WITH_PARENT: 'Drop --omit-zero-blocks.',
  RESUME_MISMATCH: 'Start over with --fresh.',
  SOURCE_BUSY: 'Wait for it to end, or give this upload its own journal with --checkpoint-file.',
  SOURCE_SIZE_UNKNOWN: 'Set the size of the volume with --volume-size, in GiB.',
  SOURCE_TOO_LONG: 'Set a larger --volume-size.',
  TARGET_EXISTS: 'Choose another name, or overwrite it with --force.',
  TARGET_NOT_BLANK: 'Check that it is the right device; --force overwrites it.',
};

/** The hint to print for an error: the one that names flags, else the library's own, else the one for its errno. */
export function hintFor(error: {
  readonly code: string;
  readonly hint?: string | undefined;
}): string | undefined {
  return Object.hasOwn(hints, error.code) ? hints[error.code] : (error.hint ?? errnoHint(error.code));
}
