/** Every sentence that the command line prints, except help texts, which are defined with their options. */
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { sanitize } from '../text.ts';
import type { TransferEvent, TransferPhase, TransferProgress } from '../transfer/events.ts';
import type { WaitResult } from '../transfer/options.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from './progress/format.ts';

// Usage errors

export const optionsExclude = (one: string, other: string) =>
  new ColdsnapError('usage', 'CONFLICTING_OPTIONS', `${one} and ${other} cannot be used together`);

export const optionRequires = (given: string, required: string) =>
  new ColdsnapError('usage', 'CONFLICTING_OPTIONS', `${given} cannot be used without ${required}`);

export const argumentsSwapped = (command: string, snapshotId: string, target: string) =>
  new ColdsnapError('usage', 'ARGUMENTS_SWAPPED', 'the snapshot ID must come before the target', {
    hint: `Did you mean: coldsnap ${command} ${snapshotId} ${target}`,
  });

export const usageHint = (command: string | undefined) =>
  `Run 'coldsnap ${command === undefined ? '' : `${command} `}--help' for usage.`;

// Values of options: completes "--option: "

/** `0 is not a whole number from 1 to 1024`. */
export const isNot = (value: string, what: string) => `${quoteValue(value)} is not ${what}`;

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

// Signals

export const stopping = (signal: string) =>
  `stopping (${signal}): cancelling requests in flight; press Ctrl-C again to exit now`;

export const stoppedBy = (signal: string) => `stopped by ${signal}`;

export const exitOnSecondSignal = (signal: string) => `exiting on a second signal (${signal})`;

export const exitAfterTimeout = (signal: string, ms: number) =>
  `did not stop within ${ms / 1000} s of ${signal}; exiting`;

// Progress

export const phases: Readonly<Record<TransferPhase, string>> = {
  verifying: 'verifying what an earlier run has done',
  proving: 'comparing the target with the base',
  'reading-back': 'reading back what was written',
  committing: 'flushing the target',
  completing: 'completing the snapshot',
  waiting: 'waiting for the snapshot',
};

/** `flushing the target (12 s)`, `verifying what an earlier run has done: 1.0 GiB of 8.0 GiB (5.0 s)`. */
export function phaseLine(what: string, ms: number, bytesDone?: number, bytesTotal?: number): string {
  const bytes =
    bytesTotal === undefined ? '' : `: ${formatBytes(bytesDone ?? 0)} of ${formatBytes(bytesTotal)}`;
  return `${what}${bytes} (${formatDuration(ms)})`;
}

export const snapshotCreated = (snapshotId: string) => `created snapshot ${snapshotId}`;

export const snapshotResumed = (snapshotId: string) => `resuming snapshot ${snapshotId}`;

export const warning = (message: string) => `warning: ${message}`;

export const waitingFor = (what: string) => `waiting for ${what}`;

/** The cause first: `… failed: connection refused; no progress for 12 s, next try in 4.0 s, giving up in 48 s`. */
export function describeStall(
  cause: string,
  times: { readonly idleMs: number; readonly nextTryMs?: number; readonly givingUpMs?: number },
): string {
  const parts = [`no progress for ${formatDuration(times.idleMs)}`];
  if (times.nextTryMs !== undefined && times.nextTryMs > 0)
    parts.push(`next try in ${formatDuration(times.nextTryMs)}`);
  if (times.givingUpMs !== undefined) parts.push(`giving up in ${formatDuration(times.givingUpMs)}`);
  return `${cause}; ${parts.join(', ')}`;
}

export const snapshotState = (snapshotId: string, state: string, percent?: number) =>
  `${snapshotId} is in state "${state}"${percent === undefined ? '' : ` (${percent} %)`}`;

/** `12.0 GiB of 100.0 GiB (12 %), 385.2 MiB/s, about 4 min 0 s left`, or `12.0 GiB of at least 20.0 GiB, 385.2 MiB/s`. */
export function amounts(
  progress: TransferProgress,
  percent: number | undefined,
  bytesPerSecond: number,
  etaSeconds: number | undefined,
): string {
  const { bytesTransferred, bytesToMove, bytesToMoveKnown } = progress;
  const parts = [formatBytes(bytesTransferred)];
  if (bytesToMoveKnown) parts.push(` of ${formatBytes(bytesToMove)}`);
  else if (bytesToMove > bytesTransferred) parts.push(` of at least ${formatBytes(bytesToMove)}`);
  if (percent !== undefined) parts.push(` (${percent} %)`);
  parts.push(`, ${formatRate(bytesPerSecond)}`);
  // Below a second there is nothing to wait for.
  if (etaSeconds !== undefined && etaSeconds >= 1) {
    parts.push(`, about ${formatDuration(etaSeconds * 1000)} left`);
  }
  return parts.join('');
}

export const transferred = ({ bytesTransferred }: TransferProgress) =>
  `${formatBytes(bytesTransferred)} transferred`;

export const nothingTransferred = 'nothing transferred yet';

export const retryCount = (count: number) => formatCount(count, 'retry', 'retries');

export const throttleCount = (count: number) => formatCount(count, 'throttle', 'throttles');

export const lowerRate = (requestsPerSecond: number) =>
  `now at most ${formatCount(Math.floor(requestsPerSecond), 'request', 'requests')}/s`;

export const slowLine = (requestsInFlight: number) => `slow line: at most ${requestsInFlight} in flight`;

/** `GetSnapshotBlock of block 17 failed in the service (HTTP 500)`, with `; retrying in 4.0 s (attempt 3)`. */
export function describeRetry(event: Extract<TransferEvent, { type: 'retry' }>, withPlan = true): string {
  const { operation, block, message, attempt, delayMs } = event;
  const request = block === undefined ? operation : `${operation} of block ${block}`;
  const failure = message.includes(operation) ? message : `${request} failed: ${message}`;
  if (!withPlan) return failure;
  return `${failure}; retrying in ${formatDuration(delayMs)} (attempt ${attempt + 1})`;
}

/** `downloading snap-1 to disk.img: 8.0 GiB in blocks of 512.0 KiB, resuming, 1.0 GiB already done`. */
export function describeStart(event: Extract<TransferEvent, { type: 'start' }>): string {
  const { operation, snapshotId, path, volumeSize, blockSize, bytesResumed } = event;
  const transfer = {
    download: `downloading ${snapshotId} to ${targetName(path)}`,
    upload: `uploading ${sourceName(path)} to ${snapshotId ?? 'a new snapshot'}`,
    verify: `comparing ${sourceName(path)} with ${snapshotId}`,
  }[operation];
  const resumed = bytesResumed > 0 ? `, resuming, ${formatBytes(bytesResumed)} already done` : '';
  return `${transfer}: ${formatBytes(volumeSize)} in blocks of ${formatBytes(blockSize)}${resumed}`;
}

// Titles and results

export const targetName = (path: string) => (path === '-' ? 'stdout' : path);

export const sourceName = (path: string) => (path === '-' ? 'stdin' : path);

export const downloadTitle = (snapshotId: string, target: string) => `${snapshotId} to ${targetName(target)}`;

export const overwriteQuestion = (found: string) =>
  `${found}.\nOverwrite it? Everything on it will be lost. [y/N] `;

export const uploadTitle = (source: string) => `${sourceName(source)} to a new snapshot`;

export const waitTitle = (snapshotId: string) => `waiting for ${snapshotId}`;

/** How far a run came that failed: `1.2 GiB of 8.0 GiB of the volume were done`. */
export const howFar = ({ bytesDone, bytesTotal }: TransferProgress) =>
  `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} of the volume were done.`;

export const listTitle = 'listing snapshots';

export const snapshotCount = (count: number) => formatCount(count, 'snapshot', 'snapshots');

export const pendingTitle = 'looking for incomplete uploads';

/** `downloaded snap-1 to disk.img: 8.0 GiB (8589934592 bytes) in 16 s, received 7.0 GiB at …`. */
export function describeResult(
  operation: 'download' | 'upload',
  path: string,
  result: TransferProgress & { snapshotId: string; volumeSize: number },
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
  if (bytesSkipped > 0) {
    const empty = download ? 'empty in the snapshot' : 'of the volume left empty';
    parts.push(`${formatBytes(bytesSkipped)} ${empty}`);
  }
  if (bytesResumed > 0) parts.push(`${formatBytes(bytesResumed)} already done`);
  parts.push(retryCount(result.retries));
  if (throttles > 0) parts.push(throttleCount(throttles));
  return `${transfer}: ${parts.join(', ')}`;
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

export const pendingDeleted = (deleted: number, kept: number) => `deleted: ${deleted}, kept: ${kept}`;

export const pendingKept =
  'kept, because an upload may be running (to delete one anyway, name it or add --force):';

export const shardsUnused: Extract<TransferEvent, { type: 'warning' }> = {
  type: 'warning',
  code: 'CLIENT_SHARDS',
  message: '--client-shards has no effect: one client serves any number of workers',
};

// Errors

/** The snapshot is complete, and only its ID could not be printed. */
export const resultNotPrinted = (snapshotId: string, code: SystemErrorCode, reason: string, cause: unknown) =>
  new ColdsnapError('local', code, `could not write the ID of snapshot ${snapshotId} to stdout: ${reason}`, {
    snapshotId,
    hint: `The upload is done: the snapshot is ${snapshotId}. Do not upload again.`,
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
