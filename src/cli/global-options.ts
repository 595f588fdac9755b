/** The options of every command. They go before or after the command; the last one wins. */
import { type Command, Option } from 'commander';
import { version } from '../version.ts';
import { type FlagNames, optionWords } from './command-line.ts';
import type { Io, ProgressMode, ServiceSettings, Settings } from './io.ts';
import { optionsExclude } from './messages.ts';
import { duration, endpointUrl, nonEmpty } from './values.ts';

interface GlobalFlags {
  region?: string;
  profile?: string;
  endpoint?: string;
  ebsEndpoint?: string;
  ec2Endpoint?: string;
  retryFor?: number;
  connectTimeout?: number;
  readTimeout?: number;
  verbose?: boolean;
  quiet?: boolean;
  /** False for `--no-progress`. */
  progress?: ProgressMode | false;
  /** False for `--no-color`. */
  color?: boolean;
  json?: boolean;
}

export const globalHeading = 'Global options:';

const deadlineFlags: FlagNames<NonNullable<ServiceSettings['deadlines']>> = {
  connectMs: ['--connect-timeout', 'ms'],
  idleMs: ['--read-timeout', 'ms'],
};

const serviceFlags: FlagNames<Omit<ServiceSettings, 'deadlines'>> = {
  region: ['--region'],
  profile: ['--profile'],
  endpoint: ['--endpoint'],
  ebsEndpoint: ['--ebs-endpoint'],
  ec2Endpoint: ['--ec2-endpoint'],
  retryForMs: ['--retry-for', 'ms'],
};

/** The global options of the service as words of a command line. */
export function serviceWords({ deadlines, ...service }: ServiceSettings): string[] {
  return [...optionWords(service, serviceFlags), ...optionWords(deadlines ?? {}, deadlineFlags)];
}

/** Adds the global options and `--help` to the program or, after its own options, to a command. */
export function addGlobalOptions(command: Command): Command {
  const options = [
    new Option('--region <region>', 'AWS region (default: from the environment or profile)').argParser(
      nonEmpty,
    ),
    new Option('--profile <profile>', 'profile in the AWS configuration files').argParser(nonEmpty),
    new Option('--endpoint <url>', 'endpoint for all AWS services').argParser(endpointUrl),
    new Option('--ebs-endpoint <url>', 'endpoint for the EBS direct APIs').argParser(endpointUrl),
    new Option('--ec2-endpoint <url>', 'endpoint for EC2').argParser(endpointUrl),
    new Option(
      '--retry-for <time>',
      'give up when nothing has succeeded for this time, such as 90s (default: 10m)',
    ).argParser(duration),
    new Option(
      '--connect-timeout <time>',
      'give up a connection that is not established after this time (default: 10s)',
    ).argParser(duration),
    new Option(
      '--read-timeout <time>',
      'give up a connection that moves no data for this time (default: 60s)',
    ).argParser(duration),
    new Option('-v, --verbose', 'print every retry, and the stack of an error'),
    new Option('-q, --quiet', 'print only errors and the result'),
    new Option('--progress <mode>', 'how to show progress (default: auto)').choices([
      'auto',
      'tty',
      'plain',
      'json',
      'none',
    ]),
    new Option('--no-progress', 'show no progress').default(undefined),
    new Option('--no-color', 'use no colors (also set by NO_COLOR)').default(undefined),
    new Option('--json', 'print the result and errors as JSON'),
  ];
  for (const option of options) command.addOption(option.helpGroup(globalHeading));
  command.version(version, '-V, --version', 'print the version');
  command.options.at(-1)?.helpGroup(globalHeading);
  command.addHelpOption(new Option('-h, --help', 'print this help').helpGroup(globalHeading));
  return command;
}

/**
 * Reads the global options from the program and from the command.
 * @throws ColdsnapError class `usage` when two of them exclude each other
 */
export function readSettings(program: Command, command: Command, env: Io['env']): Settings {
  const before = program.opts<GlobalFlags>();
  const given = { ...before, ...definedOnly(command.opts<GlobalFlags>()) };
  if (given.quiet && given.verbose) {
    throw optionsExclude('--quiet', '--verbose');
  }
  const { region, profile, endpoint, ebsEndpoint, ec2Endpoint, retryFor: retryForMs } = given;
  const deadlines = definedOnly({ connectMs: given.connectTimeout, idleMs: given.readTimeout });
  return {
    service: definedOnly({
      region,
      profile,
      endpoint,
      ebsEndpoint,
      ec2Endpoint,
      retryForMs,
      deadlines: Object.keys(deadlines).length === 0 ? undefined : deadlines,
    }),
    verbosity: given.quiet ? 'quiet' : given.verbose ? 'verbose' : 'normal',
    progress: given.progress === false ? 'none' : (given.progress ?? 'auto'),
    // Commander gives it a value on both sides.
    color: before.color !== false && given.color !== false && (env.NO_COLOR ?? '') === '',
    json: given.json === true,
  };
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

/** A copy without undefined properties. */
export function definedOnly<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}
