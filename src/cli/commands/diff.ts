import type { Command } from 'commander';
import type { DiffResult } from '../../transfer/reports.ts';
import { drawMap, mapCells } from '../block-map.ts';
import type { CommandIo } from '../io.ts';
import { compared, diffTitle } from '../messages.ts';
import { printResult, toJson } from '../output.ts';
import { withProgress } from '../progress/index.ts';
import { RangeOutput } from '../range-output.ts';
import { describeDiff } from '../report-text.ts';
import { addExamples, type RunCommand } from './command.ts';

interface DiffFlags {
  ranges?: boolean;
}

export function addDiff(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('diff')
    .summary('show how two snapshots of a volume differ')
    .description(
      'Show how many blocks changed, were added or are gone from the first snapshot to the second, where they are, and ' +
        'what it costs to download only these. The snapshots are of one volume, in either order. Reads no blocks: blocks ' +
        'that were written again count as changed.',
    )
    .argument('<first>', 'ID of the snapshot to start from')
    .argument('<second>', 'ID of the other snapshot')
    .option(
      '--ranges',
      'print the ranges that differ instead, as changed or gone and START-END in bytes, END exclusive',
    );
  command.action((first: string, second: string, flags: DiffFlags) =>
    runCommand(command, (io) => runDiff(first, second, flags, io)),
  );
  return addExamples(command, [
    {
      explanation: 'Show what changed since yesterday',
      line: 'coldsnap diff snap-0123456789abcdef0 snap-0fedcba9876543210',
    },
    {
      explanation: 'List the ranges that became zeros',
      line: 'coldsnap diff --ranges snap-0123456789abcdef0 snap-0fedcba9876543210 | grep ^gone',
    },
  ]);
}

async function runDiff(
  first: string,
  second: string,
  { ranges = false }: DiffFlags,
  io: CommandIo,
): Promise<void> {
  const { json, service } = io.settings;
  const output = ranges ? new RangeOutput(io) : undefined;
  const diff = await withProgress(
    output === undefined ? io : output.progressIo(),
    diffTitle(first, second),
    async (hooks) =>
      (await io.library()).diffSnapshots({
        ...service,
        first,
        second,
        ...(output === undefined ? {} : { onRange: (change, range) => output.add(range, change) }),
        ...(json || ranges ? {} : { mapCells: mapCells(io) }),
        ...hooks,
      }),
    ({ changed, added, gone }) => {
      const blocks = changed.blocks + added.blocks + gone.blocks;
      return {
        line: compared(first, second, blocks),
        object: { type: 'done', operation: 'diff', first, second, blocks },
      };
    },
  );
  if (output !== undefined) await output.end(diff);
  else await printResult(io, json ? `${toJson(diff)}\n` : await describe(diff, io));
}

async function describe(diff: DiffResult, io: CommandIo): Promise<string> {
  return describeDiff(diff) + (diff.map === undefined ? '' : `${drawMap(diff.map, io)}\n`);
}
