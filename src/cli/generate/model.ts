/** Describes the command line as data, for completion scripts and the man page. */
import { type Argument, type Command, Help, type Option } from 'commander';
import type { Example } from '../commands/command.ts';
import { argumentTerm, examplesOf } from '../commands/command.ts';
import { globalHeading } from '../global-options.ts';

/** The kind of a value: one of several words, a path, or any text. */
export type ValueKind = readonly string[] | 'file' | 'directory' | 'text';

export interface OptionModel {
  /** `-h, --help`, `--workers <n>`. */
  readonly term: string;
  /** `-h`, `--help`. */
  readonly names: readonly string[];
  readonly description: string;
  /** The description, with the choices. */
  readonly text: string;
  /** Undefined for an option without a value. */
  readonly value: ValueKind | undefined;
  readonly isGlobal: boolean;
}

export interface ArgumentModel {
  readonly name: string;
  /** `<target>`, `[topic]` or `[snapshots...]`. */
  readonly term: string;
  readonly required: boolean;
  readonly variadic: boolean;
  readonly description: string;
  readonly value: ValueKind;
}

export interface CommandModel {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly arguments: readonly ArgumentModel[];
  /** Includes the global options. */
  readonly options: readonly OptionModel[];
  readonly examples: readonly Example[];
}

export interface ProgramModel {
  readonly description: string;
  readonly globalOptions: readonly OptionModel[];
  readonly commands: readonly CommandModel[];
}

export function describeProgram(program: Command): ProgramModel {
  return {
    description: program.description(),
    globalOptions: optionsOf(program),
    commands: program.commands.map((command) => ({
      name: command.name(),
      summary: command.summary(),
      description: command.description(),
      arguments: command.registeredArguments.map(argumentModel),
      options: optionsOf(command),
      examples: examplesOf(command),
    })),
  };
}

export function optionsOf(command: Command): OptionModel[] {
  // Not createHelp(), which omits the global options.
  return new Help().visibleOptions(command).map(optionModel);
}

function optionModel(option: Option): OptionModel {
  return {
    term: option.flags,
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description,
    text:
      option.argChoices === undefined
        ? option.description
        : `${option.description}: ${option.argChoices.join(', ')}`,
    value: option.required ? (option.argChoices ?? pathKind(option.flags)) : undefined,
    isGlobal: option.helpGroupHeading === globalHeading,
  };
}

/** The kind of path that the placeholder names. */
function pathKind(flags: string): ValueKind {
  return flags.includes('<file>') ? 'file' : flags.includes('<dir>') ? 'directory' : 'text';
}

function argumentModel(argument: Argument): ArgumentModel {
  const isPath = ['source', 'target'].includes(argument.name());
  return {
    name: argument.name(),
    term: argumentTerm(argument),
    required: argument.required,
    variadic: argument.variadic,
    description: argument.description,
    value: argument.argChoices ?? (isPath ? 'file' : 'text'),
  };
}
