import { Argument, type Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import { globalHeading } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { printResult } from '../output.ts';
import type { RunCommand } from './command.ts';

/** Topics that are not commands. */
const topicNames = [
  'global',
  'environment',
  'json',
  'resume',
  'permissions',
  'devices',
  'exit-codes',
] as const;

export function addHelp(program: Command, runCommand: RunCommand): Command {
  const names = new Set([...program.commands.map((command) => command.name()), 'help', ...topicNames]);
  const command = program
    .command('help')
    .summary('print help for a command or topic')
    .description(`Print help for a command, or for a topic: ${topicNames.join(', ')}.`)
    .addArgument(new Argument('[topic]', 'a command or topic').choices([...names]));
  return command.action((topic?: string) =>
    runCommand(command, async (io) => {
      const name = topicNames.find((candidate) => candidate === topic);
      if (name !== undefined) return printTopic(name, program, io);
      const subject = program.commands.find((candidate) => candidate.name() === topic) ?? program;
      subject.outputHelp();
    }),
  );
}

async function printTopic(name: (typeof topicNames)[number], program: Command, io: CommandIo): Promise<void> {
  const { describeTopic, topics } = await import('../topics.ts');
  const columns = io.stdout.columns || 80;
  if (name === 'exit-codes') {
    const rows = exitCodes.map(({ exitCode, meaning }) => [String(exitCode).padStart(3), meaning] as const);
    return printResult(io, describeTopic({ parts: [rows] }, columns));
  }
  if (name === 'global') {
    const { optionsOf } = await import('../generate/model.ts');
    const rows = optionsOf(program).map(({ term, text }) => [term, text] as const);
    const parts = [`${globalHeading.slice(0, -1)} go before or after the command; the last one wins.`, rows];
    return printResult(io, describeTopic({ parts }, columns));
  }
  const topic = topics.find((candidate) => candidate.name === name);
  if (topic !== undefined) await printResult(io, describeTopic(topic, columns));
}
