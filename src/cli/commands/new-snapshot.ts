/** Runs what makes a snapshot, and prints its ID on stdout once it is complete. */
import { describeErrno } from '../../errno.ts';
import type { SystemErrorCode } from '../../error-codes.ts';
import type { TransferEvent } from '../../transfer/events.ts';
import type { WaitConditions } from '../../transfer/options.ts';
import type { CommandIo, ServiceSettings } from '../io.ts';
import { resultNotPrinted } from '../messages.ts';
import { printResult, toJson } from '../output.ts';
import { withProgress } from '../progress/index.ts';
import type { Summary } from '../progress/summary.ts';
import type { Hooks } from '../progress/with-progress.ts';
import { waitCommandLine } from './wait.ts';

interface SnapshotHooks<Result> extends Hooks {
  /** Prints the result, before the library forgets what it could resume. */
  onResult: (result: Result) => Promise<void>;
}

interface SnapshotCommand<Result> {
  readonly operation: 'upload' | 'copy';
  /** Shown before the first event. */
  readonly title: string;
  readonly wait: boolean | WaitConditions | undefined;
  /** Whether more is to be done after waiting, which the same command does when it is run again. */
  readonly endsWithMore?: boolean;
  /** Where the snapshot is made. */
  readonly service: ServiceSettings;
  /** Calls the library with the hooks. */
  readonly make: (hooks: SnapshotHooks<Result>) => Promise<Result>;
  readonly summarize: (result: Result) => Summary;
  /** The document of `--json`. */
  readonly document: (result: Result) => object;
}

export async function makeSnapshot<Result extends { snapshotId: string }>(
  io: CommandIo,
  command: SnapshotCommand<Result>,
): Promise<Result> {
  const { operation, title, wait, endsWithMore = false, service, make, summarize, document } = command;
  const { json } = io.settings;
  // On a terminal it would interrupt the display, which names the snapshot already.
  const atOnce = json || io.stdout.isTTY !== true;
  let snapshotId = '';
  let printed: Promise<void> | undefined;
  const print = (text: string, id: string): Promise<void> => {
    printed ??= printId(operation, `${text}\n`, id, io);
    return printed;
  };
  const printResultOf = (result: Result) =>
    print(json ? toJson(document(result)) : result.snapshotId, result.snapshotId);
  const follow = (event: TransferEvent) => {
    if (event.type === 'snapshot') snapshotId = event.snapshotId;
    if (event.type !== 'phase' || event.phase !== 'waiting') return;
    // The snapshot is complete: print the ID even if waiting fails, and suggest to wait alone.
    if (!endsWithMore)
      io.runAgain = waitCommandLine(snapshotId, typeof wait === 'object' ? wait : {}, service);
    if (atOnce && !json) print(snapshotId, snapshotId).catch(() => {});
  };
  const result = await withProgress(
    io,
    title,
    ({ onEvent, ...hooks }) => {
      const listen = (event: TransferEvent) => {
        onEvent(event);
        follow(event);
      };
      const onResult = async (made: Result) => {
        if (atOnce) await printResultOf(made).catch(ignoreEndedReader);
      };
      return make({ ...hooks, onEvent: listen, onResult });
    },
    summarize,
  );
  await printResultOf(result);
  return result;
}

/** The reader of stdout ended on purpose, which does not make a complete snapshot unfinished. */
function ignoreEndedReader(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'EPIPE') throw error;
}

/** @throws ColdsnapError that names the snapshot when stdout cannot be written, such as to a full disk */
async function printId(
  operation: 'upload' | 'copy',
  text: string,
  snapshotId: string,
  io: CommandIo,
): Promise<void> {
  try {
    await printResult(io, text);
  } catch (error) {
    const { code } = error as { code?: SystemErrorCode };
    // The reader of stdout ended on purpose.
    if (code === undefined || code === 'EPIPE') throw error;
    throw resultNotPrinted(operation, snapshotId, code, describeErrno(code), error);
  }
}
