import type { Command } from 'commander';
import type { InfoResult } from '../../transfer/reports.ts';
import { drawMap, mapCells } from '../block-map.ts';
import type { CommandIo } from '../io.ts';
import { infoTitle, listed } from '../messages.ts';
import { stepsAfterInfo } from '../next-steps.ts';
import { printResult, toJson } from '../output.ts';
import { withProgress } from '../progress/index.ts';
import { RangeOutput } from '../range-output.ts';
import { describeInfo, describeSteps } from '../report-text.ts';
import { addExamples, type RunCommand } from './command.ts';

interface InfoFlags {
  ranges?: boolean;
}

export function addInfo(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('info')
    .summary('show what a snapshot holds and what a download costs')
    .description(
      'Show the size of the volume, the blocks that the snapshot holds and where they are, its state and tags, its ' +
        'partitions and file systems, and the cost and least duration of a download. Reads at most 16 blocks, none with ' +
        '--json or --ranges.',
    )
    .argument('<snapshot>', 'ID of the snapshot')
    .option('--ranges', 'print the ranges that it holds instead, as START-END in bytes, END exclusive');
  command.action((snapshotId: string, flags: InfoFlags) =>
    runCommand(command, (io) => runInfo(snapshotId, flags, io)),
  );
  return addExamples(command, [
    { explanation: 'Show what is on a snapshot', line: 'coldsnap info snap-0123456789abcdef0' },
    {
      explanation: 'Print what a download costs, in dollars',
      line: 'coldsnap info --json snap-0123456789abcdef0 | jq .cost.dollars',
    },
  ]);
}

async function runInfo(snapshotId: string, { ranges = false }: InfoFlags, io: CommandIo): Promise<void> {
  const { json, service } = io.settings;
  const output = ranges ? new RangeOutput(io) : undefined;
  const report = !json && !ranges;
  const info = await withProgress(
    output === undefined ? io : output.progressIo(),
    infoTitle(snapshotId),
    async (hooks) =>
      (await io.library()).snapshotInfo({
        ...service,
        snapshotId,
        ...(output === undefined ? {} : { onRange: (range) => output.add(range) }),
        ...(report ? { mapCells: mapCells(io), readLayout: true } : {}),
        ...hooks,
      }),
    ({ blocks }) => ({
      line: listed(snapshotId, blocks),
      object: { type: 'done', operation: 'info', snapshotId, blocks },
    }),
  );
  if (output !== undefined) await output.end(withoutRanges(info));
  else await printResult(io, json ? `${toJson(info)}\n` : await describe(info, io));
}

function withoutRanges({ ranges: _, ...rest }: InfoResult): object {
  return rest;
}

async function describe(info: InfoResult, io: CommandIo): Promise<string> {
  const map = info.map === undefined ? '' : `${drawMap(info.map, io)}\n`;
  const steps = describeSteps(stepsAfterInfo(info, io.settings.service)).join('\n');
  return `${describeInfo(info)}${map}\n${steps}\n`;
}
