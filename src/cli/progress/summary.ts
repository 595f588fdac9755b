/** The summary of a successful run. */
import type { TransferProgress } from '../../transfer/events.ts';
import type { CopyResult, IncrementalResult, VerifyResult, WaitResult } from '../../transfer/options.ts';
import type { DownloadToTargetsResult } from '../../transfer/several-targets.ts';
import { describeVerified } from '../comparison-messages.ts';
import { describeCopied } from '../copy-messages.ts';
import { describeResult, describeWait } from '../messages.ts';

export interface Summary {
  /** For people. */
  readonly line: string;
  /** For `--progress json`. */
  readonly object: object;
}

type TransferResult = TransferProgress &
  IncrementalResult & {
    snapshotId: string;
    volumeSize: number;
    blockSize: number;
    sha256?: string;
  };

/** The rate while blocks were transferred: syncing and waiting do not count. */
function bytesPerSecond({ bytesTransferred, transferMs }: TransferProgress): number {
  return transferMs > 0 ? Math.round((bytesTransferred * 1000) / transferMs) : 0;
}

/** The result as one object, for `--json`. */
export function resultObject(
  operation: 'download' | 'upload' | 'verify',
  path: string,
  result: TransferResult,
): object {
  return { operation, path, ...rounded(result) };
}

/** The result of a copy as one object, for `--json`. */
export function copyObject(result: CopyResult): object {
  return { operation: 'copy', ...rounded(result) };
}

function rounded<Result extends TransferProgress>(result: Result): object {
  const elapsedMs = Math.round(result.elapsedMs);
  const transferMs = Math.round(result.transferMs);
  return { ...result, transferMs, elapsedMs, bytesPerSecond: bytesPerSecond(result) };
}

export function copySummary(result: CopyResult): Summary {
  return {
    line: describeCopied(result, bytesPerSecond(result)),
    object: { type: 'done', ...copyObject(result) },
  };
}

export function transferSummary(
  operation: 'download' | 'upload',
  path: string,
  result: TransferResult,
): Summary {
  return {
    line: describeResult(operation, path, result, bytesPerSecond(result)),
    object: { type: 'done', ...resultObject(operation, path, result) },
  };
}

/** The result of a download to several targets, for `--json`. */
export function targetsObject({ snapshotId, targets, ...result }: DownloadToTargetsResult): object {
  return {
    operation: 'download',
    snapshotId,
    targets: targets.map(({ error, ...target }) =>
      error === undefined
        ? target
        : { ...target, error: { code: error.code, class: error.class, message: error.message } },
    ),
    ...result,
    transferMs: Math.round(result.transferMs),
    elapsedMs: Math.round(result.elapsedMs),
    bytesPerSecond: bytesPerSecond(result),
  };
}

export function targetsSummary(result: DownloadToTargetsResult): Summary {
  const paths = result.targets.map(({ path }) => path).join(', ');
  return {
    line: describeResult('download', paths, result, bytesPerSecond(result)),
    object: { type: 'done', ...targetsObject(result) },
  };
}

/** The result of waiting as one object, for `--json`. */
export function waitObject(result: WaitResult): object {
  return { ...result, elapsedMs: Math.round(result.elapsedMs) };
}

export function verifySummary(path: string, result: VerifyResult): Summary {
  return {
    line: describeVerified(path, result, bytesPerSecond(result)),
    object: { type: 'done', ...resultObject('verify', path, result) },
  };
}

export function waitSummary(result: WaitResult): Summary {
  return {
    line: describeWait(result),
    object: { type: 'done', operation: 'wait', ...waitObject(result) },
  };
}
