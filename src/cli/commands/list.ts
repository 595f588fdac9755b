import type { Command } from 'commander';
import type { SnapshotInfo, TagFilter } from '../../transfer/options.ts';
import { alignColumns } from '../columns.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { listTitle, snapshotCount } from '../messages.ts';
import { printResult, toJson } from '../output.ts';
import { formatAge } from '../progress/format.ts';
import { withProgress } from '../progress/index.ts';
import { tagFilter } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';

export function addList(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('list')
    .summary('list the snapshots of the account')
    .description(
      'List the snapshots that the account owns in the region, oldest first, one per line: ID, age, size, state and ' +
        'name (the tag Name, or the description).',
    )
    .option(
      '--tag <tag>',
      'only snapshots with this tag, as name, name=text or Key=name,Value=text; * matches any text; repeatable',
      tagFilter,
    );
  command.action((flags: { tag?: TagFilter[] }) => runCommand(command, (io) => runList(flags.tag, io)));
  return addExamples(command, [
    { explanation: 'List the snapshots named web', line: 'coldsnap list --tag Name=web' },
    {
      explanation: 'Print the ID of the newest snapshot',
      line: "coldsnap list --quiet | tail -n 1 | cut -d ' ' -f 1",
    },
  ]);
}

async function runList(tags: readonly TagFilter[] | undefined, io: CommandIo): Promise<void> {
  const { json, service } = io.settings;
  const snapshots = await withProgress(
    io,
    listTitle,
    async (hooks) => (await io.library()).listSnapshots({ ...service, ...definedOnly({ tags }), ...hooks }),
    (found) => ({
      line: snapshotCount(found.length),
      object: { type: 'done', operation: 'list', count: found.length },
    }),
  );
  await printResult(io, json ? `${toJson({ snapshots })}\n` : await table(snapshots));
}

async function table(snapshots: readonly SnapshotInfo[]): Promise<string> {
  const now = Date.now();
  return alignColumns(
    snapshots.map(({ snapshotId, startTime, volumeSizeGiB, status, tags, description }) => [
      snapshotId,
      formatAge(now - startTime.getTime()),
      `${volumeSizeGiB} GiB`,
      status,
      tags.Name ?? description,
    ]),
  );
}
