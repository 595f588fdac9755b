import type { Command } from 'commander';
import { version } from '../../version.ts';
import type { CommandIo } from '../io.ts';
import { printResult, toJson } from '../output.ts';
import { addExamples, type RunCommand } from './command.ts';

export function addVersion(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('version')
    .summary('print the versions of coldsnap and of what it runs on')
    .description(
      'Print the versions of coldsnap, Node.js, OpenSSL and the kernel, and the SHA-256 implementation in use, for ' +
        'bug reports. --version prints the version of coldsnap only.',
    );
  command.action(() => runCommand(command, runVersion));
  return addExamples(command, [{ explanation: 'For a bug report', line: 'coldsnap version' }]);
}

async function runVersion(io: CommandIo): Promise<void> {
  const { arch, release, type } = await import('node:os');
  const report = {
    coldsnap: version,
    node: process.versions.node,
    openssl: process.versions.openssl,
    kernel: `${type()} ${release()} ${arch()}`,
    sha256: await io.hashKernel(),
  };
  const lines = Object.entries(report).map(([name, value]) => `${name.padEnd(9)} ${value}\n`);
  await printResult(io, io.settings.json ? `${toJson(report)}\n` : lines.join(''));
}
