import { Argument, type Command } from 'commander';
import { printResult } from '../output.ts';
import type { RunCommand } from './command.ts';

const exitCodesTopic = 'exit-codes';

export function addHelp(program: Command, runCommand: RunCommand): Command {
  const topics = [...program.commands.map((command) => command.name()), exitCodesTopic];
  const command = program
    .command('help')
    .summary('print help for a command, or the exit codes')
    .description('Print help for a command, or the exit codes.')
    .addArgument(new Argument('[topic]', 'a command, or exit-codes').choices(topics));
  return command.action((topic?: string) =>
    runCommand(command, async (io) => {
      if (topic === exitCodesTopic) {
        const { describeExitCodes } = await import('../exit-codes.ts');
        return printResult(io, describeExitCodes());
      }
      const subject = program.commands.find((candidate) => candidate.name() === topic) ?? program;
      subject.outputHelp();
    }),
  );
}
