/** Defines the command line. Parsing, help, completion and the man page are derived from it. */
import { type AddHelpTextContext, Command, Help, type HelpConfiguration } from 'commander';
import { argumentTerm, type RunCommand } from './commands/command.ts';
import { addCompletion } from './commands/completion.ts';
import { addCopy } from './commands/copy.ts';
import { addDevices } from './commands/devices.ts';
import { addDiff } from './commands/diff.ts';
import { addDownload } from './commands/download.ts';
import { addEmulator } from './commands/emulator.ts';
import { addHelp } from './commands/help.ts';
import { addInfo } from './commands/info.ts';
import { addList } from './commands/list.ts';
import { addPending } from './commands/pending.ts';
import { addUpload } from './commands/upload.ts';
import { addVerify } from './commands/verify.ts';
import { addVersion } from './commands/version.ts';
import { addWait } from './commands/wait.ts';
import { addGlobalOptions, globalHeading } from './global-options.ts';

const helpSettings: HelpConfiguration = {
  minWidthToWrap: 20,
  subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(' '),
};

/** A command shows its own options; `help global` has the others. They stay visible for suggestions. */
const commandHelp: HelpConfiguration = {
  ...helpSettings,
  groupItems(this: Help, ...items) {
    const groups = Help.prototype.groupItems.apply(this, items as never) as Map<string, never[]>;
    groups.delete(globalHeading);
    return groups;
  },
};

export function buildProgram(runCommand: RunCommand): Command {
  const program = new Command('coldsnap')
    .description(
      'Move Amazon EBS snapshots to and from files and block devices, through the EBS direct APIs.',
    )
    .usage('[global options] <command> [options]')
    .helpCommand(false)
    .configureHelp(commandHelp)
    // Each command parses its own words, so that the value in `--description --quiet` is not taken for an option.
    .enablePositionalOptions();
  addGlobalOptions(program);
  const commands = [
    addDownload,
    addUpload,
    addCopy,
    addVerify,
    addWait,
    addList,
    addInfo,
    addDiff,
    addDevices,
    addPending,
    addEmulator,
    addCompletion,
  ];
  for (const add of [...commands, addVersion, addHelp]) {
    addGlobalOptions(add(program, runCommand)).addHelpText('after', '\nGlobal options: coldsnap help global');
  }
  program.configureHelp(helpSettings);
  return program.addHelpText('after', seeAlso);
}

/** Commander wraps no text that is added to its own. */
function seeAlso({ command, error }: AddHelpTextContext): string {
  const { getOutHelpWidth, getErrHelpWidth } = command.configureOutput();
  const width = (error ? getErrHelpWidth : getOutHelpWidth)?.() ?? 80;
  const text =
    "See 'coldsnap help <command>', and 'coldsnap help <topic>' for global, environment, json, resume, permissions, " +
    'devices and exit-codes.';
  return `\n${command.createHelp().boxWrap(text, width)}`;
}
