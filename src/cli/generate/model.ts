/** Describes the command line as data, for completion scripts and the man page. */
import { type Argument, type Command, Help, type Option } from 'commander';
import type { Example } from '../commands/command.ts';
import { argumentTerm, examplesOf } from '../commands/command.ts';
import { globalHeading } from '../global-options.ts';
import { regions, snapshotStates } from './values.ts';

/** The kind of a value: one of several words, a path, a name that a script looks up, or any text. */
export type ValueKind = readonly string[] | 'file' | 'directory' | 'profile' | 'snapshot' | 'upload' | 'text';

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

interface ArgumentModel {
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

/** The options of all commands, without duplicates. */
export function optionsOfAll(model: ProgramModel): OptionModel[] {
  const options = [...model.globalOptions, ...model.commands.flatMap((command) => command.options)];
  return [...new Map(options.map((option) => [option.names.join(' '), option])).values()];
}

export const namesOf = (options: readonly OptionModel[]) => options.flatMap((option) => option.names);

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
    value: option.required ? (option.argChoices ?? kindOfPlaceholder(option.flags)) : undefined,
    isGlobal: option.helpGroupHeading === globalHeading,
  };
}

const kinds: Readonly<Record<string, ValueKind>> = {
  file: 'file',
  source: 'file',
  target: 'file',
  dir: 'directory',
  profile: 'profile',
  region: regions,
  snapshot: 'snapshot',
  snapshots: 'upload',
  status: snapshotStates,
};

/** The kind of value that the placeholder of an option names. */
function kindOfPlaceholder(flags: string): ValueKind {
  return kinds[/<(\w+)>/.exec(flags)?.[1] ?? ''] ?? 'text';
}

function argumentModel(argument: Argument): ArgumentModel {
  return {
    name: argument.name(),
    term: argumentTerm(argument),
    required: argument.required,
    variadic: argument.variadic,
    description: argument.description,
    value: argument.argChoices ?? kinds[argument.name()] ?? 'text',
  };
}
