/** What the command files share: how a command is run, and how examples are attached to it. */
import type { Argument, Command } from 'commander';
import type { CommandIo } from '../io.ts';

/** Hands a parsed command's runner to whoever runs commands; the builders know no more about it. */
export type RunCommand = (command: Command, runner: (io: CommandIo) => Promise<void>) => Promise<void>;

export interface Example {
  readonly line: string;
  readonly explanation: string;
}

const examplesByCommand = new WeakMap<Command, readonly Example[]>();

/** Adds examples to the command's help; the man page shows them too. */
export function addExamples(command: Command, examples: readonly Example[]): Command {
  examplesByCommand.set(command, examples);
  const text = examples.map(({ line, explanation }) => `  ${explanation}:\n    ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}

export function examplesOf(command: Command): readonly Example[] {
  return examplesByCommand.get(command) ?? [];
}

/** How an argument is written in a synopsis. */
export function argumentTerm(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}
