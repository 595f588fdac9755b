import type { Command } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import type { PendingSnapshot } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { printLine, printResult } from '../output.ts';
import { addExamples, type RunCommand } from './command.ts';

interface PendingFlags {
  delete?: boolean;
  force?: boolean;
}

export interface PendingRequest {
  /** Only these; empty means all. */
  snapshotIds: readonly string[];
  delete?: boolean;
  force?: boolean;
}

export function addPending(program: Command, perform: RunCommand): Command {
  const command = program
    .command('pending')
    .summary('list or delete snapshots whose upload never completed')
    .description(
      'List the snapshots that coldsnap began, here or on another machine, and that never completed; with --delete, ' +
        'delete those that failed and those whose upload on this machine has stood still for an hour.',
    )
    .argument('[snapshots...]', 'IDs of the snapshots to list or delete; default: all')
    .option('--delete', 'delete them, and the journals of their uploads')
    .option('--force', 'delete also what somebody may be uploading at this moment');
  command.action((snapshotIds: string[], flags: PendingFlags) =>
    perform(command, (io) => runPending({ snapshotIds, ...flags }, io)),
  );
  return addExamples(command, [
    { explanation: 'See what failed uploads have left', line: 'coldsnap pending' },
    {
      explanation: 'Delete what one upload has left',
      line: 'coldsnap pending --delete snap-0123456789abcdef0',
    },
  ]);
}

/** Prints the snapshots that were found, or those that were deleted, on stdout. */
export async function runPending(request: PendingRequest, io: CommandIo): Promise<void> {
  const { withProgress } = await import('../progress/index.ts');
  const title = 'looking for uploads that never completed';
  const { json, service } = io.settings;
  if (request.delete !== true) {
    if (request.force === true) {
      throw new ColdsnapError('usage', 'CONFLICTING_OPTIONS', '--force is given, but not --delete');
    }
    const pending = await withProgress(
      io,
      title,
      async (hooks) => (await io.library()).listPendingSnapshots({ ...service, ...hooks }),
      (found) => ({
        line: `found: ${found.length}`,
        object: { type: 'done', operation: 'pending', pending: found },
      }),
    );
    const { snapshotIds } = request;
    const asked = pending.filter(
      ({ snapshotId }) => snapshotIds.length === 0 || snapshotIds.includes(snapshotId),
    );
    await printResult(io, json ? `${JSON.stringify({ pending: asked })}\n` : table(asked));
    return;
  }
  const snapshotIds = request.snapshotIds.length === 0 ? undefined : request.snapshotIds;
  const result = await withProgress(
    io,
    title,
    async (hooks) =>
      (await io.library()).deletePendingSnapshots({
        ...service,
        ...definedOnly({ snapshotIds, force: request.force }),
        ...hooks,
      }),
    ({ deleted, kept }) => ({
      line: `deleted: ${deleted.length}, kept: ${kept.length}`,
      object: { type: 'done', operation: 'pending', deleted, kept },
    }),
  );
  await printResult(io, json ? `${JSON.stringify(result)}\n` : table(result.deleted));
  if (result.kept.length === 0 || io.settings.verbosity === 'quiet') return;
  printLine(io, 'kept, because an upload may be going on (name it, or use --force, to delete it):');
  for (const { snapshotId } of result.kept) printLine(io, `  ${snapshotId}`);
}

/** One line a snapshot; the ID comes first, so that scripts can cut it off. */
function table(snapshots: readonly PendingSnapshot[]): string {
  const lines = snapshots.map(({ snapshotId, status, startTime, volumeSizeGiB, description }) => {
    // EC2 shows whatever a description holds; a terminal must not obey it.
    const readable = description.replace(/\p{Cc}/gu, '?');
    return `${snapshotId}  ${status.padEnd(7)}  ${date(startTime)}  ${volumeSizeGiB} GiB  ${readable}`.trimEnd();
  });
  return lines.map((line) => `${line}\n`).join('');
}

function date(time: Date): string {
  return Number.isNaN(time.getTime()) ? 'unknown' : time.toISOString().replace(/\.\d+Z$/, 'Z');
}
