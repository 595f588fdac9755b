import type { Command } from 'commander';
import type { VerifyOptions, VerifyResult } from '../../transfer/options.ts';
import { describeEqual, imageDiffers, moreRanges, verifyTitle } from '../comparison-messages.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { argumentsSwapped } from '../messages.ts';
import { printResult, toJson } from '../output.ts';
import { resultObject, verifySummary, withProgress } from '../progress/index.ts';
import { percent } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';
import { addPaceOptions, type TransferFlags, transferOptions } from './transfer-options.ts';

interface VerifyFlags extends Pick<TransferFlags, 'workers' | 'rate' | 'transport'> {
  sample?: number;
  skipUnlisted?: boolean;
}

type Options = VerifyOptions & { target: string };

export function addVerify(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('verify')
    .summary('compare a file or block device with a snapshot')
    .description(
      'Compare a file or block device with a snapshot: fetch every block and read the target, which is not changed. Exit ' +
        'code 0 means that every byte of the volume is the same. Otherwise the first 1,000 differing ranges are printed, as ' +
        'START-END in bytes, END exclusive, and the exit code is 6.',
    )
    .argument('<snapshot>', 'ID of the snapshot')
    .argument('<target>', 'file or block device to read, or - for stdin')
    .option('--sample <percent>', 'compare only this part of the blocks, evenly spread', percent)
    .option(
      '--skip-unlisted',
      'compare only the blocks that the snapshot lists: for a volume made from an encrypted snapshot, which holds random ' +
        'data elsewhere',
    );
  addPaceOptions(command);
  command.action((snapshotId: string, target: string, flags: VerifyFlags) =>
    runCommand(command, (io) => runVerify(verifyOptions(snapshotId, target, flags, io), io)),
  );
  return addExamples(command, [
    {
      explanation: 'Check a restored disk before it is used',
      line: 'sudo coldsnap verify snap-0123456789abcdef0 /dev/nvme1n1',
    },
    {
      explanation: 'Compare one block in a hundred',
      line: 'coldsnap verify --sample 1 snap-0123456789abcdef0 disk.img',
    },
    {
      explanation: 'Check a compressed image',
      line: 'zstd -dc disk.img.zst | coldsnap verify snap-0123456789abcdef0 -',
    },
  ]);
}

function verifyOptions(
  snapshotId: string,
  target: string,
  flags: VerifyFlags,
  { settings, reordered }: CommandIo,
): Options {
  if (!snapshotId.startsWith('snap-') && target.startsWith('snap-')) {
    throw argumentsSwapped(reordered([target, snapshotId]));
  }
  const { sample: samplePercent, skipUnlisted } = flags;
  return {
    ...settings.service,
    ...transferOptions(flags),
    ...definedOnly({ samplePercent, skipUnlisted }),
    snapshotId,
    target,
  };
}

async function runVerify(options: Options, io: CommandIo): Promise<void> {
  const { snapshotId, target } = options;
  const result = await withProgress(
    io,
    verifyTitle(snapshotId, target),
    async (hooks) => (await io.library()).verifySnapshot({ ...options, ...hooks }),
    (compared) => verifySummary(target, compared),
  );
  const { json } = io.settings;
  const text = json ? toJson(resultObject('verify', target, result)) : describe(options, result);
  await printResult(io, `${text}\n`);
  if (!result.equal) throw imageDiffers(target, result, options);
}

function describe(options: Options, result: VerifyResult): string {
  if (result.equal) return describeEqual(options.target, result, options);
  const { differences, differencesTotal } = result;
  const lines = differences.map(({ start, end }) => `${start}-${end}`);
  if (differencesTotal > lines.length) lines.push(moreRanges(differencesTotal - lines.length));
  return lines.join('\n');
}
