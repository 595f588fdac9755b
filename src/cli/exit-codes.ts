/** The one table from failures to exit codes. `help exit-codes` and the man page print it. */
import { ColdsnapError, type ErrorClass } from '../errors.ts';

interface ExitCode {
  readonly exitCode: number;
  readonly meaning: string;
  /** Failures of these classes end with this code … */
  readonly classes?: readonly ErrorClass[];
  /** … unless their `code` is listed in some row: that decides first. */
  readonly codes?: readonly string[];
}

export const exitCodes: readonly ExitCode[] = [
  { exitCode: 0, meaning: 'done: all of it, and on stable storage' },
  { exitCode: 1, meaning: 'failed; the message says why', classes: ['permanent', 'local', 'aborted'] },
  { exitCode: 2, meaning: 'the command line is wrong; nothing was touched', classes: ['usage'] },
  {
    exitCode: 3,
    meaning:
      'refused, because it would destroy something: the target exists, is in use, too small or not blank, ' +
      'or zeros would be left out where that corrupts',
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
    meaning: 'the service or the network gave up; running it again may work, and the command is printed',
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
    meaning: 'integrity: data do not have their checksum, or a comparison found a difference',
    classes: ['integrity'],
  },
  { exitCode: 129, meaning: 'stopped by SIGHUP (the terminal was closed)', codes: ['SIGHUP'] },
  { exitCode: 130, meaning: 'stopped by SIGINT (Ctrl-C)', codes: ['SIGINT'] },
  { exitCode: 141, meaning: 'the reader of stdout went away (a closed pipe)', codes: ['EPIPE'] },
  { exitCode: 143, meaning: 'stopped by SIGTERM', codes: ['SIGTERM'] },
];

/** The exit code for a signal's name; 1 for one that the table does not list. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return exitCodes.find((row) => row.codes?.includes(signal))?.exitCode ?? 1;
}

/** The exit code for anything that was thrown. What is no error of ours is a bug or a system's refusal: 1. */
export function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  const byCode = exitCodes.find((row) => row.codes?.some((listed) => listed === code));
  if (byCode) return byCode.exitCode;
  if (!(error instanceof ColdsnapError)) return 1;
  // Retrying until the time was up does not change what was wrong: data that never had their checksum are no
  // network trouble, and credentials that stayed expired need the user.
  if (error.class === 'gave-up' && error.cause instanceof ColdsnapError) {
    const cause = error.cause.class;
    if (cause === 'integrity' || cause === 'expired-credentials') return exitCodeOf(error.cause);
  }
  return exitCodes.find((row) => row.classes?.includes(error.class))?.exitCode ?? 1;
}

/** The table as text, for `help exit-codes`. */
export function describeExitCodes(): string {
  return exitCodes.map(({ exitCode, meaning }) => `${String(exitCode).padStart(3)}  ${meaning}\n`).join('');
}
