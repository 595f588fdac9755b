/** Maps failures to exit codes. `help exit-codes` and the man page print the table. */
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../errors.ts';

interface ExitCode {
  readonly exitCode: number;
  readonly meaning: string;
  /** Error classes with this exit code. */
  readonly classes?: readonly ErrorClass[];
  /** Error codes with this exit code; they take precedence over the class. */
  readonly codes?: readonly ErrorCode[];
}

export const exitCodes: readonly ExitCode[] = [
  { exitCode: 0, meaning: 'success; written data are on stable storage' },
  { exitCode: 1, meaning: 'failed; the message says why', classes: ['permanent', 'local', 'aborted'] },
  {
    exitCode: 2,
    meaning: 'invalid command line, or a source or target that cannot be used',
    classes: ['usage'],
  },
  {
    exitCode: 3,
    meaning:
      'refused to protect data: the target exists, is in use, too small or not blank, ' +
      'or omitting zeros would corrupt the snapshot',
    classes: ['refused'],
  },
  {
    exitCode: 4,
    meaning:
      'credentials, permissions or configuration: no region, no credentials, access denied, wrong endpoint',
    classes: ['config', 'expired-credentials'],
  },
  {
    exitCode: 5,
    meaning: 'gave up on the service or the network; the command to run again is printed',
    classes: [
      'gave-up',
      'transient',
      'throttle',
      'not-yet-visible',
      'expired-block-token',
      'expired-page-token',
    ],
  },
  {
    exitCode: 6,
    meaning: 'integrity: data do not match their checksum, or an image differs from the snapshot',
    classes: ['integrity'],
  },
  { exitCode: 129, meaning: 'stopped by SIGHUP (terminal closed)', codes: ['SIGHUP'] },
  { exitCode: 130, meaning: 'stopped by SIGINT (Ctrl-C)', codes: ['SIGINT'] },
  { exitCode: 141, meaning: 'stdout was closed by its reader', codes: ['EPIPE'] },
  { exitCode: 143, meaning: 'stopped by SIGTERM', codes: ['SIGTERM'] },
];

/** The exit code for a signal; 1 if the table does not list it. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return exitCodes.find((row) => row.codes?.some((code) => code === signal))?.exitCode ?? 1;
}

/** The exit code for anything thrown; 1 for errors other than ColdsnapError. */
export function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  const byCode = exitCodes.find((row) => row.codes?.some((listed) => listed === code));
  if (byCode) return byCode.exitCode;
  if (!(error instanceof ColdsnapError)) return 1;
  // Wrong checksums and expired credentials keep their exit code after retries gave up: running again does not help.
  if (error.class === 'gave-up' && error.cause instanceof ColdsnapError) {
    const cause = error.cause.class;
    if (cause === 'integrity' || cause === 'expired-credentials') return exitCodeOf(error.cause);
  }
  return exitCodes.find((row) => row.classes?.includes(error.class))?.exitCode ?? 1;
}
