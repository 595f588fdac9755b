import { Argument, type Command } from 'commander';
import { printResult } from '../output.ts';
import type { RunCommand } from './command.ts';

const exitCodesTopic = 'exit-codes';

export function addHelp(program: Command, perform: RunCommand): Command {
  const topics = [...program.commands.map((command) => command.name()), exitCodesTopic];
  const command = program
    .command('help')
    .summary('print the help of a command, or what the exit codes mean')
    .description('Print the help of a command, or what the exit codes mean.')
    .addArgument(new Argument('[topic]', 'a command, or exit-codes').choices(topics));
  return command.action((topic?: string) =>
    perform(command, async (io) => {
      if (topic === exitCodesTopic) {
        const { describeExitCodes } = await import('../exit-codes.ts');
        return printResult(io, describeExitCodes());
      }
      const about = program.commands.find((candidate) => candidate.name() === topic) ?? program;
      about.outputHelp();
    }),
  );
}
