import { Argument, type Command } from 'commander';
import { printResult } from '../output.ts';
import { addExamples, type RunCommand } from './command.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export function addCompletion(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Print a script that completes coldsnap command lines in a shell.')
    .addArgument(new Argument('<shell>', 'name of the shell').choices(shells));
  command.action((shell: (typeof shells)[number]) =>
    runCommand(command, async (io) => {
      const { completionScript } = await import('../generate/completion.ts');
      await printResult(io, completionScript(program, shell));
    }),
  );
  return addExamples(command, [
    { explanation: 'In ~/.bashrc', line: 'source <(coldsnap completion bash)' },
    {
      explanation: 'For zsh, in a directory of $fpath',
      line: 'coldsnap completion zsh > ~/.zfunc/_coldsnap',
    },
    { explanation: 'For fish', line: 'coldsnap completion fish > ~/.config/fish/completions/coldsnap.fish' },
  ]);
}
