/** Runs a command line and returns its exit code. */
import { type Command, CommanderError } from 'commander';
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { runAgainLine } from './command-line.ts';
import type { RunCommand } from './commands/command.ts';
import { readSettings } from './global-options.ts';
import type { CommandIo, Io, Settings } from './io.ts';
import { usageHint } from './messages.ts';
import { printResult } from './output.ts';
import { buildProgram } from './program.ts';

/**
 * Runs one command line. Never rejects: errors are printed on stderr.
 *
 * @param argv the words after the name of the program
 * @returns the exit code
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // A parse error is printed with the settings that can be read without parsing.
  let commandIo: CommandIo = { ...io, settings: guessSettings(argv), runAgain: runAgainLine(argv) };
  const runCommand: RunCommand = async (command, runner) => {
    commandIo = { ...commandIo, settings: readSettings(program, command, io.env) };
    await runner(commandIo);
  };
  const program = buildProgram(runCommand);
  let helpText = '';
  const collect = (text: string) => {
    helpText += text;
  };
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: collect,
      writeErr: collect,
      outputError: () => {},
      getOutHelpWidth: () => io.stdout.columns || 80,
      getErrHelpWidth: () => io.stderr.columns || 80,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }

  try {
    try {
      await program.parseAsync(helpWordAsOption(argv, program), { from: 'user' });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      if (error.code === 'commander.help') {
        io.stderr.write(helpText);
        return 2;
      }
      if (error.exitCode !== 0) throw usageError(error, findCommand(argv, program)?.command);
    }
    if (helpText !== '') await printResult(io, helpText);
    return 0;
  } catch (error) {
    const { reportError } = await import('./report.ts');
    return reportError(commandIo, error);
  }
}

/** The settings for printing an error, read without parsing. */
export function guessSettings(argv: readonly string[]): Settings {
  const has = (flag: string) => argv.includes(flag);
  const verbosity = has('--verbose') ? 'verbose' : 'normal';
  return { service: {}, verbosity, progress: 'auto', color: false, json: has('--json') };
}

/** The command and its index in `argv`; undefined if there is none. */
function findCommand(
  argv: readonly string[],
  program: Command,
): { command: Command; index: number } | undefined {
  const index = nextOperand(argv, 0, program);
  const command = program.commands.find((candidate) => candidate.name() === argv[index]);
  return command && { command, index };
}

/** The index of the first word from `start` that is neither an option nor its value; `argv.length` if there is none. */
function nextOperand(argv: readonly string[], start: number, command: Command): number {
  let index = start;
  for (; index < argv.length && argv[index] !== '--'; index++) {
    const word = argv[index]!;
    if (!word.startsWith('-') || word === '-') return index;
    if (command.options.some((option) => option.required && [option.short, option.long].includes(word)))
      index++;
  }
  return argv.length;
}

/** coldsnap 0.12 prints help when `help` is an argument of a command. A file of that name is `./help`. */
function helpWordAsOption(argv: readonly string[], program: Command): string[] {
  const words = [...argv];
  const found = findCommand(argv, program);
  if (!found || !['download', 'upload', 'wait'].includes(found.command.name())) return words;
  for (let at = found.index; at < argv.length; ) {
    at = nextOperand(argv, at + 1, found.command);
    if (argv[at] === 'help') words[at] = '--help';
  }
  return words;
}

/** Our codes for commander's. */
const parserCodes: Readonly<Record<string, ErrorCode>> = {
  'commander.conflictingOption': 'CONFLICTING_OPTIONS',
  'commander.excessArguments': 'EXCESS_ARGUMENTS',
  'commander.invalidArgument': 'INVALID_ARGUMENT',
  'commander.missingArgument': 'MISSING_ARGUMENT',
  'commander.optionMissingArgument': 'OPTION_MISSING_ARGUMENT',
  'commander.unknownCommand': 'UNKNOWN_COMMAND',
  'commander.unknownOption': 'UNKNOWN_OPTION',
};

/** commander's error as one of ours, with a hint to `--help`. */
function usageError(error: CommanderError, command: Command | undefined): ColdsnapError {
  const [sentence = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const message = sentence
    .replace(/\.$/, '')
    .replace(/ is invalid\. /, ' is invalid: ')
    .replace(/^command-argument value '(.*)' is invalid for argument '(\w+)'\. /, "'$1' is no $2: ");
  const code = parserCodes[error.code] ?? 'INVALID_ARGUMENT';
  return new ColdsnapError('usage', code, suggestion === undefined ? message : `${message} ${suggestion}`, {
    hint: usageHint(command?.name()),
  });
}
