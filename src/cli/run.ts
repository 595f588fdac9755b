/** Runs a command line and returns its exit code. */
import { type Command, CommanderError } from 'commander';
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { homeDirectory } from '../home.ts';
import { commandLine, runAgainLine } from './command-line.ts';
import type { RunCommand } from './commands/command.ts';
import { checkNames } from './exact-names.ts';
import { readSettings } from './global-options.ts';
import type { CommandIo, Io, Settings } from './io.ts';
import {
  commandMissing,
  expected,
  isNot,
  optionBeforeCommand,
  swallowedCommandHint,
  usageHint,
} from './messages.ts';
import { printResult } from './output.ts';
import { buildProgram } from './program.ts';
import { reportError } from './report.ts';

// With run() in one file of the bundle, for main().
export { reportError };

/**
 * Runs one command line. Never rejects: errors are printed on stderr.
 *
 * @param argv the words after the name of the program
 * @returns the exit code
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // A parse error is printed with the settings that can be read without parsing.
  let commandIo: CommandIo = {
    ...io,
    settings: guessSettings(argv),
    runAgain: runAgainLine(argv),
    runAgainWithout: (operands) =>
      runAgainLine(
        argv,
        operandIndexes(argv, program).filter((at) => operands.includes(argv[at]!)),
      ),
    reordered(operands) {
      const indexes = operandIndexes(argv, program);
      return commandLine(argv.map((word, at) => operands[indexes.indexOf(at)] ?? word));
    },
  };
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
    checkNames(argv);
    // The AWS SDK fails without one.
    if (!process.env.HOME) process.env.HOME = homeDirectory();
    try {
      await program.parseAsync(helpWordAsOption(argv, program), { from: 'user' });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      const swallowed = swallowedCommand(argv, program);
      if (error.code === 'commander.help') {
        if (swallowed !== undefined) throw commandMissing(swallowed.option, swallowed.name);
        if (commandIo.settings.json) throw commandMissing();
        io.stderr.write(helpText);
        return 2;
      }
      if (error.exitCode !== 0)
        throw usageError(error, findCommand(argv, program)?.command, swallowed, program);
    }
    if (helpText !== '') await printResult(io, helpText);
    return 0;
  } catch (error) {
    return reportError(commandIo, error);
  }
}

/** The settings for printing an error, read without parsing. */
export function guessSettings(argv: readonly string[]): Settings {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  const has = (...flags: string[]) => flags.some((flag) => words.includes(flag));
  const verbosity = has('--verbose', '-v') ? 'verbose' : 'normal';
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

/** A global option before the command that took the name of a command as its value, as in `--region download snap-…`. */
function swallowedCommand(
  argv: readonly string[],
  program: Command,
): { option: string; name: string } | undefined {
  const end = nextOperand(argv, 0, program);
  for (const [index, name] of argv.slice(1, end).entries()) {
    const option = program.options.find(({ required, long }) => required && long === argv[index]);
    if (option?.long && program.commands.some((command) => command.name() === name)) {
      return { option: option.long, name };
    }
  }
  return undefined;
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

/** The indexes in `argv` of the operands of its command. */
function operandIndexes(argv: readonly string[], program: Command): number[] {
  const found = findCommand(argv, program);
  if (found === undefined) return [];
  const indexes: number[] = [];
  // After -- each word is an operand.
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  for (let at = found.index + 1; at < end; at++) {
    at = nextOperand(argv, at, found.command);
    if (at < end) indexes.push(at);
  }
  for (let at = end + 1; at < argv.length; at++) indexes.push(at);
  return indexes;
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

/** An invalid value as commander words it: of an option, or of an argument. */
const invalidValues = [
  /^option '(?<term>.*?)' argument '(?<value>.*)' is invalid\. (?<reason>.*)$/s,
  /^command-argument value '(?<value>.*)' is invalid for argument '(?<term>\w+)'\. (?<reason>.*)$/s,
];

/** `--workers: 0 is not a whole number from 1 to 1024`. */
function describeInvalidValue(sentence: string): string | undefined {
  const found = invalidValues.map((pattern) => pattern.exec(sentence)).find((match) => match !== null);
  const { term, value, reason } = found?.groups ?? {};
  if (term === undefined || value === undefined || reason === undefined) return undefined;
  const choices = /^Allowed choices are (.*)\.$/.exec(reason)?.[1];
  const name = /--[\w-]+/.exec(term)?.[0] ?? term;
  return `${name}: ${choices === undefined ? reason : isNot(value, expected.choices(choices))}`;
}

/** The hint for an option of a command that stands before the command. */
function ownOptionHint(
  code: ErrorCode,
  message: string,
  command: Command | undefined,
  program: Command,
): string | undefined {
  const [, flag = ''] = /^unknown option '(-[^=']*)/.exec(message) ?? [];
  const has = ({ options }: Command) => options.some(({ long, short }) => [long, short].includes(flag));
  const owners = flag === '' || has(program) ? [] : program.commands.filter(has);
  const follows = command !== undefined && owners.includes(command);
  if (code !== 'UNKNOWN_OPTION' || owners.length === 0 || (command !== undefined && !follows))
    return undefined;
  return optionBeforeCommand(
    flag,
    owners.map((owner) => owner.name()),
  );
}

/** commander's error as one of ours, with a hint to `--help`. */
function usageError(
  error: CommanderError,
  command: Command | undefined,
  swallowed: { option: string; name: string } | undefined,
  program: Command,
): ColdsnapError {
  const text = error.message.replace(/^error: /, '');
  const message = describeInvalidValue(text) ?? text.replace(/\.$/, '').replace('\n', ' ');
  const code = parserCodes[error.code] ?? 'INVALID_ARGUMENT';
  const hint =
    code === 'UNKNOWN_COMMAND' && swallowed !== undefined
      ? swallowedCommandHint(swallowed.option, swallowed.name)
      : (ownOptionHint(code, message, command, program) ?? usageHint(command?.name()));
  return new ColdsnapError('usage', code, message, { hint });
}
