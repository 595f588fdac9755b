/**
 * The sentences that the command line prints, except help texts, which are defined with their options, and those of the
 * progress display and of comparisons, in files beside this one.
 */
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { sanitize } from '../text.ts';
import type { TransferEvent, TransferProgress } from '../transfer/events.ts';
import type { IncrementalResult, WaitResult } from '../transfer/options.ts';
import { formatBytes, formatCount, formatDollars, formatDuration, formatRate } from './progress/format.ts';
import { retryCount, snapshotState, sourceName, targetName, throttleCount } from './progress-messages.ts';

// Usage errors

export const optionsExclude = (one: string, other: string) =>
  new ColdsnapError('usage', 'CONFLICTING_OPTIONS', `${one} and ${other} cannot be used together`);

export const optionRequires = (given: string, required: string) =>
  new ColdsnapError('usage', 'CONFLICTING_OPTIONS', `${given} cannot be used without ${required}`);

export const argumentsSwapped = (corrected: string) =>
  new ColdsnapError('usage', 'ARGUMENTS_SWAPPED', 'the snapshot ID must come before the target', {
    hint: `Did you mean: ${corrected}`,
  });

export const usageHint = (command: string | undefined) =>
  `Run 'coldsnap ${command === undefined ? '' : `${command} `}--help' for usage.`;

const notUtf8 = 'is not UTF-8 and cannot be passed on exactly';

export const argumentNotUtf8 = (word: string) =>
  new ColdsnapError('usage', 'NAME_NOT_UTF8', `the argument ${word} ${notUtf8}`, {
    hint: 'Rename the file, or link it under a name in UTF-8.',
  });

export const variableNotUtf8 = (name: string) =>
  new ColdsnapError('usage', 'NAME_NOT_UTF8', `the value of the variable ${name} ${notUtf8}`, {
    hint: `Set ${name} to a name in UTF-8.`,
  });

// Values of options: completes "--option: "

/** `0 is not a whole number from 1 to 1024`. */
export const isNot = (value: string, what: string) => `${quoteValue(value)} is not ${what}`;

export const hostNotLocal = (host: string, cause: unknown) =>
  new ColdsnapError('usage', 'INVALID_ARGUMENT', `--host: ${isNot(host, 'an address of this machine')}`, {
    cause,
  });

/** In quotes if it is empty or has blanks. */
const quoteValue = (value: string) => (/^[^\s'"]+$/.test(value) ? value : `'${value}'`);

export const wholeNumbers = (min: number, max: number) =>
  max === Number.MAX_SAFE_INTEGER
    ? `a whole number of at least ${min}`
    : `a whole number from ${min} to ${max}`;

export const expected = {
  duration: 'a time such as 30s, 10m or 1h30m, above 0 and at most 24 days',
  rate: 'a rate above 0, such as 50 (MiB/s), 40M or 40MiB/s',
  volumeSize: 'a whole number of GiB from 1 to 65536, such as 8, 8G or 1T',
  url: 'a URL such as https://ebs.us-east-1.amazonaws.com',
  endpointParts: 'an endpoint has no user name, query or fragment',
  tag: 'a tag of the form Key=name,Value=text or name=text',
  tagKey: 'a tag needs a key',
  empty: 'the value is empty',
  outputFile: 'it cannot be stdout (a file of the name - is ./-)',
  percent: 'a number above 0 and at most 100, such as 5 or 0.1',
  choices: (choices: string) => `one of ${choices}`,
} as const;

export const duplicateTag = (key: string) => `the tag '${key}' is given twice`;

export const commandMissing = (option?: string, name?: string) =>
  new ColdsnapError(
    'usage',
    'MISSING_COMMAND',
    option === undefined
      ? 'the command is missing'
      : `the command is missing: ${option} took '${name}' as its value`,
    { hint: option === undefined ? usageHint(undefined) : `Give ${option} a value before the command.` },
  );

export const swallowedCommandHint = (option: string, name: string) =>
  `${option} took '${name}' as its value; give it one before the command.`;

export const optionBeforeCommand = (flag: string, commands: readonly string[]) =>
  `Write ${flag} after the command; it is an option of ${commands.join(', ').replace(/, ([^,]*)$/, ' and $1')}.`;

// Signals

export const stopping = (signal: string) =>
  `stopping (${signal}): cancelling requests in flight; press Ctrl-C again to exit now`;

export const stoppedBy = (signal: string) => `stopped by ${signal}`;

export const exitOnSecondSignal = (signal: string) => `exiting on a second signal (${signal})`;

export const exitAfterTimeout = (signal: string, ms: number) =>
  `did not stop within ${ms / 1000} s of ${signal}; exiting`;

// Titles and results

export const downloadTitle = (snapshotId: string, target: string) => `${snapshotId} to ${targetName(target)}`;

export const targetWhole = (path: string) => `${path} is whole`;

export const targetNotWhole = (path: string, why?: Error) =>
  `${path} is not whole${why === undefined ? '' : `: ${sanitize(why.message, 2_000)}`}`;

export const overwriteQuestion = (found: string) =>
  `${found}.\nOverwrite it? Everything on it will be lost. [y/N] `;

export const uploadTitle = (source: string) => `${sourceName(source)} to a new snapshot`;

export const waitTitle = (snapshotId: string) => `waiting for ${snapshotId}`;

/** How far a run came that failed: `1.2 GiB of 8.0 GiB of the volume were done`. */
export const howFar = ({ bytesDone, bytesTotal }: TransferProgress) =>
  `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} of the volume were done.`;

export const dryRunDone = 'dry run: nothing was changed';

export const listTitle = 'listing snapshots';

export const snapshotCount = (count: number) => formatCount(count, 'snapshot', 'snapshots');

export const infoTitle = (snapshotId: string) => `listing the blocks of ${snapshotId}`;

export const diffTitle = (first: string, second: string) => `comparing ${first} with ${second}`;

export const compared = (first: string, second: string, blocks: number) =>
  `${formatCount(blocks, 'block differs', 'blocks differ')} between ${first} and ${second}`;

export const listed = (what: string, blocks: number) =>
  `listed ${formatCount(blocks, 'block', 'blocks')} of ${what}`;

export const pendingTitle = 'looking for incomplete uploads';

/** `downloaded snap-1 to disk.img: 8.0 GiB (8589934592 bytes) in 16 s, received 7.0 GiB at …`. */
export function describeResult(
  operation: 'download' | 'upload',
  path: string,
  result: TransferProgress & IncrementalResult & { snapshotId: string; volumeSize: number; sha256?: string },
  bytesPerSecond: number,
): string {
  const { snapshotId, volumeSize, bytesTransferred, bytesZero, bytesSkipped, bytesResumed, throttles } =
    result;
  const download = operation === 'download';
  const transfer = download
    ? `downloaded ${snapshotId} to ${targetName(path)}`
    : `uploaded ${sourceName(path)} to ${snapshotId}`;
  const zeros = download ? bytesZero - bytesSkipped : 0;
  const parts = [
    `${formatBytes(volumeSize)} (${volumeSize} bytes) in ${formatDuration(result.elapsedMs)}`,
    `${formatBytes(bytesTransferred)} ${download ? 'received' : 'sent'} at ${formatRate(bytesPerSecond)}`,
  ];
  if (zeros > 0) parts.push(`${formatBytes(zeros)} of it zeros`);
  if (result.blocksSkipped !== undefined) parts.push(describeSavings(result));
  else if (bytesSkipped > 0) {
    const kept = bytesSkipped > bytesZero ? 'unchanged or ' : '';
    const empty = download ? `${kept}empty in the snapshot` : 'of the volume left empty';
    parts.push(`${formatBytes(bytesSkipped)} ${empty}`);
  }
  if (bytesResumed > 0) parts.push(`${formatBytes(bytesResumed)} already done`);
  parts.push(retryCount(result.retries));
  if (throttles > 0) parts.push(throttleCount(throttles));
  // That of a download is its result, on stdout.
  if (!download && result.sha256 !== undefined) parts.push(`SHA-256 ${result.sha256}`);
  return `${transfer}: ${parts.join(', ')}`;
}

/** `1,200 blocks sent, 3,400 skipped, $0.02 saved`. */
function describeSavings({
  blocksTransferred,
  blocksSkipped = 0,
  dollarsSaved = 0,
}: TransferProgress & IncrementalResult): string {
  const sent = `${formatCount(blocksTransferred, 'block', 'blocks')} sent`;
  const skipped = formatCount(blocksSkipped, 'skipped', 'skipped');
  return `${sent}, ${skipped}, ${formatDollars(dollarsSaved)} saved`;
}

export const describeWait = ({ snapshotId, status, elapsedMs }: WaitResult) =>
  `${snapshotState(snapshotId, status)} after ${formatDuration(elapsedMs)}`;

export const pendingFound = (count: number) => `found: ${count}`;

export const notPending = (snapshotIds: readonly string[]) =>
  new ColdsnapError(
    'permanent',
    'SNAPSHOT_NOT_FOUND',
    `not an incomplete upload of coldsnap: ${snapshotIds.join(', ')}`,
    {
      hint: 'Check the ID, the region and the account; completed snapshots are not listed.',
    },
  );

export const pendingDeleted = (deleted: number, kept: number, dryRun = false) =>
  `${dryRun ? 'dry run: to delete' : 'deleted'}: ${deleted}, kept: ${kept}`;

export const pendingKept =
  'kept, because an upload may be running (to delete one anyway, name it or add --force):';

export const shardsUnused: Extract<TransferEvent, { type: 'warning' }> = {
  type: 'warning',
  code: 'CLIENT_SHARDS',
  message: '--client-shards has no effect: one client serves any number of workers',
};

// Errors

/** The snapshot is complete, and only its ID could not be printed. */
export const resultNotPrinted = (
  operation: 'upload' | 'copy',
  snapshotId: string,
  code: SystemErrorCode,
  reason: string,
  cause: unknown,
) =>
  new ColdsnapError('local', code, `could not write the ID of snapshot ${snapshotId} to stdout: ${reason}`, {
    snapshotId,
    hint: `The ${operation} is done: the snapshot is ${snapshotId}. Do not ${operation} again.`,
    cause,
  });

export const runAgain = (command: string) => `Run it again: ${command}`;

export const internalError = (error: string) => `internal error: ${error}`;

export const reportBug =
  'This is a bug in coldsnap: please report it, with the output of the same command and --verbose.';

/** Asks for the code of an MFA device, on the same line. */
export function mfaQuestion(serial: string): string {
  return `MFA code of ${sanitize(serial)}: `;
}
