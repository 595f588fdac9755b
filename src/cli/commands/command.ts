/** Shared by the command files. */
import type { Argument, Command } from 'commander';
import type { CommandIo } from '../io.ts';

/** Runs a parsed command; `runner` gets its environment. */
export type RunCommand = (command: Command, runner: (io: CommandIo) => Promise<void>) => Promise<void>;

export interface Example {
  readonly line: string;
  readonly explanation: string;
}

const examplesByCommand = new WeakMap<Command, readonly Example[]>();

/** Adds examples to the help of a command and to the man page. */
export function addExamples(command: Command, examples: readonly Example[]): Command {
  examplesByCommand.set(command, examples);
  const text = examples.map(({ line, explanation }) => `  ${explanation}:\n    ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}

export function examplesOf(command: Command): readonly Example[] {
  return examplesByCommand.get(command) ?? [];
}

/** `<target>`, `[topic]` or `[snapshots...]`. */
export function argumentTerm(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}
