import type { Command } from 'commander';
import type { DeviceDescription } from '../../transfer/reports.ts';
import { fitColumns } from '../columns.ts';
import type { CommandIo } from '../io.ts';
import { printResult, toJson } from '../output.ts';
import { formatBytes } from '../progress/format.ts';
import { addExamples, type RunCommand } from './command.ts';

export function addDevices(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('devices')
    .summary('list the block devices that could be a target')
    .description(
      'List the disks, partitions and volumes of this machine: size, type, what is on them, who uses them, model, serial ' +
        'number, transport and EBS volume. Only root can see what is on them.',
    )
    .option('--all', 'also loop devices, RAM disks, optical drives and read-only devices');
  command.action((flags: { all?: boolean }) =>
    runCommand(command, (io) => runDevices(flags.all === true, io)),
  );
  return addExamples(command, [
    { explanation: 'Find the disk to restore to', line: 'sudo coldsnap devices' },
    {
      explanation: 'Print the device of an EBS volume',
      line: `coldsnap devices --json | jq -r '.devices[] | select(.volumeId == "vol-0123456789abcdef0").path'`,
    },
  ]);
}

async function runDevices(all: boolean, io: CommandIo): Promise<void> {
  const devices = await (await io.library()).listDevices({ all });
  await printResult(io, io.settings.json ? `${toJson({ devices })}\n` : await table(devices, io));
}

async function table(devices: readonly DeviceDescription[], io: CommandIo): Promise<string> {
  const heading = ['DEVICE', 'SIZE', 'VOLUME', 'TYPE', 'CONTENTS', 'USED', 'MODEL', 'SERIAL', 'TRANSPORT'];
  const rows = devices.map((device) => [
    device.path,
    formatBytes(device.size),
    device.volumeId ?? '',
    device.readOnly ? `${device.type} (read-only)` : device.type,
    device.contents ?? 'unknown',
    device.uses.join(', '),
    device.model ?? '',
    // The serial number of an EBS volume is its ID.
    device.volumeId === undefined ? (device.serial ?? '') : '',
    device.transport ?? '',
  ]);
  // Columns without any value only take space.
  const used = heading.map((_, column) => rows.some((row) => row[column] !== ''));
  const shown = [heading, ...rows].map((row) => row.filter((_, column) => used[column]));
  // Whole values for a program that reads them.
  const columns = io.stdout.isTTY === true ? io.stdout.columns || 80 : Number.POSITIVE_INFINITY;
  return fitColumns(shown, columns, used[2] ? 3 : 2);
}
