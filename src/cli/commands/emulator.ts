import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { EmulatorOptions, FaultRule } from '../../emulator/index.ts';
import { ColdsnapError } from '../../errors.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { printResult } from '../output.ts';
import { nonEmpty, wholeNumber } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';

/** The options of `startEmulator`, with the path of the fault rules. */
export interface EmulatorRequest {
  port?: number;
  host?: string;
  dataDirectory?: string;
  faultsFile?: string;
}

interface EmulatorFlags {
  port?: number;
  host?: string;
  data?: string;
  faults?: string;
}

export function addEmulator(program: Command, perform: RunCommand): Command {
  const command = program
    .command('emulator')
    .summary('run a local EBS direct API, to try things out and to test against')
    .description(
      'Run a local EBS direct API, with the EC2 calls that go with it, until a signal stops it. Its URL is printed on ' +
        'stdout once it answers.',
    )
    .option('--port <n>', 'port to listen on (default: any free one)', wholeNumber(0, 65535))
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)', nonEmpty)
    .option(
      '--data <dir>',
      'keep the snapshots in this directory (default: forget them at the end)',
      nonEmpty,
    )
    .option('--faults <file>', 'rules of what goes wrong, as a JSON array', nonEmpty);
  command.action(({ port, host, data: dataDirectory, faults: faultsFile }: EmulatorFlags) =>
    perform(command, (io) => runEmulator(definedOnly({ port, host, dataDirectory, faultsFile }), io)),
  );
  return addExamples(command, [
    {
      explanation: 'Keep snapshots in a directory',
      line: 'coldsnap emulator --port 4590 --data ./snapshots',
    },
  ]);
}

export async function runEmulator(request: EmulatorRequest, io: CommandIo): Promise<void> {
  const { faultsFile, ...rest } = request;
  const options: EmulatorOptions = {
    ...rest,
    ...(faultsFile !== undefined && { faults: await readFaultRules(faultsFile) }),
  };
  const { listenForSignals } = await import('../signals.ts');
  const emulator = await io.startEmulator(options);
  try {
    await new Promise<void>((resolve, reject) => {
      const interruption = listenForSignals(io, {
        onStop() {
          interruption.dispose();
          resolve();
        },
        onExit() {},
        onStatus() {},
      });
      printResult(io, `${emulator.url}\n`).then(() => printGuide(emulator.url, request, io), reject);
    });
  } finally {
    await emulator.close();
  }
}

function printGuide(url: string, { dataDirectory }: EmulatorRequest, io: CommandIo): void {
  if (io.settings.verbosity === 'quiet') return;
  const guide = `
EBS direct API emulator, until Ctrl-C. ${
    dataDirectory === undefined
      ? 'Snapshots are forgotten at the end; --data DIR keeps them.'
      : `Snapshots are kept in ${dataDirectory}.`
  }
In another terminal (any credentials and region will do):

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  coldsnap --endpoint ${url} upload disk.img
  coldsnap --endpoint ${url} download snap-… copy.img
`;
  // Not through printLine, which would take these credentials for secrets.
  io.stderr.write(guide.slice(1));
}

/** The rules themselves are the emulator's to judge; here it is only made sure that they are rules at all. */
async function readFaultRules(file: string): Promise<FaultRule[]> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new ColdsnapError('usage', 'BAD_FAULTS_FILE', `${file} does not exist`, { cause });
  });
  let rules: unknown;
  try {
    rules = JSON.parse(text);
  } catch (cause) {
    throw new ColdsnapError('usage', 'BAD_FAULTS_FILE', `${file} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  const isRule = (rule: Partial<FaultRule> | null) => typeof rule?.action?.type === 'string';
  if (!Array.isArray(rules) || !rules.every(isRule)) {
    throw new ColdsnapError('usage', 'BAD_FAULTS_FILE', `${file} is not an array of fault rules`, {
      hint: 'A rule looks like {"operation": "GetSnapshotBlock", "nth": 3, "action": {"type": "drop"}}.',
    });
  }
  return rules as FaultRule[];
}
