import type { Command } from 'commander';
import type { EmulatorOptions, RequestRecord } from '../../emulator/index.ts';
import { ColdsnapError } from '../../errors.ts';
import { sanitize } from '../../text.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { hostNotLocal } from '../messages.ts';
import { printJsonLine, printLine, printResult } from '../output.ts';
import { listenForSignals } from '../signals.ts';
import { duration, nonEmpty, wholeNumber } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';

interface EmulatorFlags {
  port?: number;
  host?: string;
  data?: string;
  faults?: string;
  credentials?: string;
  tlsCert?: string;
  tlsKey?: string;
  requestsPerSecond?: number;
  delay?: number;
  logRequests?: boolean;
}

export function addEmulator(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('emulator')
    .summary('run a local EBS direct API for testing')
    .description(
      'Run a local EBS direct API with the EC2 operations on snapshots until a signal stops it. Print its URL on stdout ' +
        'once it accepts requests. With --region, requests must be signed for that region.',
    )
    .option('--port <n>', 'port to listen on (default: any free one)', wholeNumber(0, 65535))
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)', nonEmpty)
    .option('--data <dir>', 'keep snapshots in this directory (default: delete them on exit)', nonEmpty)
    .option('--faults <file>', 'inject the faults that this JSON file describes', nonEmpty)
    .option(
      '--credentials <file>',
      'verify signatures with the secrets in this JSON file (default: accept any credentials)',
      nonEmpty,
    )
    .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM); requires --tls-key', nonEmpty)
    .option('--tls-key <file>', 'private key of the certificate (PEM)', nonEmpty)
    .option(
      '--requests-per-second <n>',
      'throttle gets, puts, lists, starts and completions, each above this rate (default: no limit)',
      wholeNumber(1, 1_000_000),
    )
    .option('--delay <time>', 'wait this long before processing each request, such as 0.05s', duration)
    .option('--log-requests', 'print one line on stderr for each request');
  command.action((flags: EmulatorFlags) => runCommand(command, (io) => runEmulator(flags, io)));
  return addExamples(command, [
    {
      explanation: 'Keep snapshots in a directory',
      line: 'coldsnap emulator --port 4590 --data ./snapshots',
    },
  ]);
}

async function runEmulator(flags: EmulatorFlags, io: CommandIo): Promise<void> {
  const options = await readOptions(flags, io);
  const emulator = await io.startEmulator(options).catch((error: NodeJS.ErrnoException) => {
    throw error.syscall === 'getaddrinfo' || error.code === 'EADDRNOTAVAIL'
      ? hostNotLocal(flags.host ?? '', error)
      : error;
  });
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
      printResult(io, `${emulator.url}\n`).then(() => printGuide(emulator.url, options, io), reject);
    });
  } finally {
    await emulator.close();
  }
}

async function readOptions(flags: EmulatorFlags, io: CommandIo): Promise<EmulatorOptions> {
  const { faults, credentials, tlsCert, tlsKey, requestsPerSecond: perSecond } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new ColdsnapError('usage', 'BAD_TLS_FILES', '--tls-cert and --tls-key must be given together');
  }
  const { readCredentials, readFaultRules, readTls } = await import('./emulator-files.ts');
  return definedOnly({
    port: flags.port,
    host: flags.host,
    dataDirectory: flags.data,
    region: io.settings.service.region,
    faults: faults === undefined ? undefined : await readFaultRules(faults),
    credentials: credentials === undefined ? undefined : await readCredentials(credentials),
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : await readTls(tlsCert, tlsKey),
    quotas:
      perSecond === undefined
        ? undefined
        : {
            getPerSecond: perSecond,
            putPerSecond: perSecond,
            listPerSecond: perSecond,
            startPerSecond: perSecond,
          },
    delayMs: flags.delay,
    onRequest: flags.logRequests ? (record: RequestRecord) => printRequest(record, io) : undefined,
  });
}

function printRequest(record: RequestRecord, io: CommandIo): void {
  const { headers: _headers, ...summary } = record;
  if (io.settings.json) {
    printJsonLine(io, { type: 'request', ...summary });
    return;
  }
  const { seq, time, operation, snapshotId, blockIndex, status, errorType, errorReason, fault } = record;
  const parts = [
    `${new Date(time).toISOString()} ${seq} ${operation}`,
    operation === 'Unknown' ? `${record.method} ${record.path}` : snapshotId,
    blockIndex === undefined ? undefined : `block ${blockIndex}`,
    status === 0 ? 'no reply' : String(status),
    errorType,
    errorReason,
    fault === undefined ? undefined : `(fault: ${fault})`,
  ];
  printLine(io, sanitize(parts.filter((part) => part !== undefined).join(' ')));
}

function printGuide(
  url: string,
  { dataDirectory, region, credentials }: EmulatorOptions,
  io: CommandIo,
): void {
  if (io.settings.verbosity === 'quiet' || io.settings.json) return;
  const data =
    dataDirectory === undefined
      ? 'Snapshots are deleted on exit; --data DIR keeps them.'
      : `Snapshots are kept in ${dataDirectory}.`;
  const keys =
    credentials === undefined
      ? 'AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test'
      : 'AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…';
  const accepted = [
    credentials === undefined ? 'any credentials' : 'one of the configured credentials',
    region === undefined ? 'any region' : `region ${region}`,
  ];
  const guide = `EBS direct API emulator; press Ctrl-C to stop it. ${data}
In another terminal, with ${accepted.join(' and ')}:

  export ${keys} AWS_REGION=${region ?? 'us-east-1'}
  coldsnap --endpoint ${url} upload disk.img
  coldsnap --endpoint ${url} download snap-… copy.img
`;
  // Bypasses printLine, which would redact these credentials.
  io.stderr.write(guide);
}
