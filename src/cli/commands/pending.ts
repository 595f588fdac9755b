import type { Command } from 'commander';
import type { TransferEvent } from '../../transfer/events.ts';
import type { PendingSnapshot } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import {
  notPending,
  optionRequires,
  pendingDeleted,
  pendingFound,
  pendingKept,
  pendingTitle,
} from '../messages.ts';
import { printLine, printResult, toJson } from '../output.ts';
import { withProgress } from '../progress/index.ts';
import { addExamples, type RunCommand } from './command.ts';

interface PendingFlags {
  delete?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

interface PendingRequest {
  /** The snapshots to list or delete; empty means all. */
  snapshotIds: readonly string[];
  delete?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

export function addPending(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('pending')
    .summary('list or delete snapshots of incomplete uploads')
    .description(
      'List the snapshots of uploads that coldsnap started, on this or another machine, and that never completed. ' +
        'With --delete, delete those that failed and those of devices and copies whose journal on this machine has been ' +
        'idle for an hour. Others, as those of files, have to be named.',
    )
    .argument('[snapshots...]', 'IDs of the snapshots to list or delete (default: all)')
    .option('--delete', 'delete them, and the journals of their uploads')
    .option('-f, --force', 'also delete snapshots that may still be uploading')
    .option('-n, --dry-run', 'with --delete: print what would be deleted, and delete nothing');
  command.action((snapshotIds: string[], flags: PendingFlags) =>
    runCommand(command, (io) => runPending({ snapshotIds, ...flags }, io)),
  );
  return addExamples(command, [
    { explanation: 'List incomplete uploads', line: 'coldsnap pending' },
    {
      explanation: 'Delete the snapshot of one upload',
      line: 'coldsnap pending --delete snap-0123456789abcdef0',
    },
  ]);
}

/** Prints the snapshots found or deleted on stdout. */
async function runPending(request: PendingRequest, io: CommandIo): Promise<void> {
  const { json, service } = io.settings;
  const snapshotIds = request.snapshotIds.length === 0 ? undefined : request.snapshotIds;
  if (request.delete !== true) {
    if (request.force === true) {
      throw optionRequires('--force', '--delete');
    }
    if (request.dryRun === true) throw optionRequires('--dry-run', '--delete');
    const pending = await withProgress(
      io,
      pendingTitle,
      async (hooks) =>
        (await io.library()).listPendingSnapshots({ ...service, ...definedOnly({ snapshotIds }), ...hooks }),
      (found) => ({
        line: pendingFound(found.length),
        object: { type: 'done', operation: 'pending', pending: found },
      }),
    );
    await printResult(io, json ? `${toJson({ pending })}\n` : table(pending));
    const missing = (snapshotIds ?? []).filter((id) => !pending.some(({ snapshotId }) => snapshotId === id));
    if (missing.length > 0) throw notPending(missing);
    return;
  }
  const gone: string[] = [];
  // A plan must not read as a deletion.
  const planned = request.dryRun ? { dryRun: true } : {};
  const result = await withProgress(
    io,
    pendingTitle,
    async ({ onEvent, ...hooks }) => {
      const follow = (event: TransferEvent) => {
        onEvent(event);
        // A snapshot that is gone would be refused.
        if (event.type === 'warning' && event.code === 'SNAPSHOT_DELETED')
          gone.push(...request.snapshotIds.filter((id) => event.message.split(' ').includes(id)));
        io.runAgain = io.runAgainWithout(gone);
      };
      return (await io.library()).deletePendingSnapshots({
        ...service,
        ...definedOnly({ snapshotIds, force: request.force, dryRun: request.dryRun }),
        ...hooks,
        onEvent: follow,
      });
    },
    ({ deleted, kept }) => ({
      line: pendingDeleted(deleted.length, kept.length, request.dryRun === true),
      object: { type: 'done', operation: 'pending', ...planned, deleted, kept },
    }),
  );
  await printResult(io, json ? `${toJson({ ...planned, ...result })}\n` : table(result.deleted));
  // With --json the result has them.
  if (json || result.kept.length === 0 || io.settings.verbosity === 'quiet') return;
  printLine(io, pendingKept);
  for (const { snapshotId } of result.kept) printLine(io, `  ${snapshotId}`);
}

/** One line per snapshot, the ID first, for scripts. */
function table(snapshots: readonly PendingSnapshot[]): string {
  const lines = snapshots.map(({ snapshotId, status, startTime, volumeSizeGiB, description }) => {
    // A description can contain control characters, which a terminal would interpret.
    const readable = description.replace(/\p{Cc}/gu, '?');
    return `${snapshotId}  ${status.padEnd(7)}  ${date(startTime)}  ${volumeSizeGiB} GiB  ${readable}`.trimEnd();
  });
  return lines.map((line) => `${line}\n`).join('');
}

function date(time: Date): string {
  return Number.isNaN(time.getTime()) ? 'unknown' : time.toISOString().replace(/\.\d+Z$/, 'Z');
}
