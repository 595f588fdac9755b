/** Writes docs/coldsnap.1 from the definitions of the commands. A test compares it with the committed file. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { exitCodes } from '../src/cli/exit-codes.ts';
import { type CommandModel, describeProgram, type OptionModel } from '../src/cli/generate/model.ts';
import { buildProgram } from '../src/cli/program.ts';
import { version } from '../src/version.ts';

export const manPagePath = new URL('../docs/coldsnap.1', import.meta.url);

/** Escapes roff: backslashes, hyphens (which become dashes), and dots and quotes at the start of a line. */
function roff(text: string): string {
  return text
    .replace(/\\/g, '\\e')
    .replace(/-/g, '\\-')
    .replace(/^([.'])/gm, '\\&$1');
}

/** The term of an option: flags in bold, placeholders in italics. */
function term(text: string): string {
  const placeholders = roff(text).replace(/<([^>]+)>/g, '\\fI$1\\fR');
  return placeholders.replace(/(\\-[\w\\-]+)/g, '\\fB$1\\fR');
}

function describeOption(option: OptionModel): string {
  const { value, description } = option;
  const choices = typeof value === 'object' ? `: ${value.join(', ')}` : '';
  return `.TP\n${term(option.term)}\n${roff(description + choices)}\n`;
}

function synopsis(command: CommandModel): string {
  const words = command.arguments.map((argument) => argument.term.replace(/<?(\w+)>?/, '\\fI$1\\fR'));
  return `\\fBcoldsnap ${command.name}\\fR [\\fIoptions\\fR]${words.map((word) => ` ${word}`).join('')}`;
}

function describeCommand(command: CommandModel): string {
  const parts = [`.SS ${command.name}\n${synopsis(command)}\n.PP\n${roff(command.description)}\n`];
  for (const { name, description } of command.arguments)
    parts.push(`.TP\n\\fI${name}\\fR\n${roff(description)}\n`);
  parts.push(...command.options.filter((option) => !option.isGlobal).map(describeOption));
  for (const { explanation, line } of command.examples) {
    parts.push(`.PP\n${roff(explanation)}:\n.PP\n.RS 4\n.nf\n${roff(line)}\n.fi\n.RE\n`);
  }
  return parts.join('');
}

const environment: readonly [string, string][] = [
  ['AWS_REGION, AWS_PROFILE', 'region and profile, unless --region and --profile are given'],
  [
    'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN',
    'credentials; otherwise from the AWS configuration files and the role of the instance or container',
  ],
  ['AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EBS, AWS_ENDPOINT_URL_EC2', 'endpoints, unless given as options'],
  ['HTTPS_PROXY, NO_PROXY', 'proxy, and the hosts to reach without it'],
  ['NODE_EXTRA_CA_CERTS, AWS_CA_BUNDLE', 'file with additional certificate authorities'],
  ['NO_COLOR', 'if not empty, no colors are used'],
  ['UV_THREADPOOL_SIZE', 'threads for disk and checksums (default: the number of processors, 2 to 8)'],
];

const signals: readonly [string, string][] = [
  [
    'SIGINT, SIGTERM, SIGHUP',
    'stop within 5 seconds: cancel requests in flight, save the journal and print the command line that resumes; a ' +
      'second signal exits immediately',
  ],
  ['SIGUSR2', 'print one line with the current status'],
];

const terms = (rows: readonly [string, string][]) =>
  rows.map(([name, text]) => `.TP\n\\fB${roff(name)}\\fR\n${roff(text)}\n`).join('');

/** The man page in roff, without a date, so that it changes only with the program. */
export function manPage(): string {
  const model = describeProgram(buildProgram(async () => {}));
  return [
    '.\\" Made by scripts/generate-man.ts: do not edit.\n',
    `.TH COLDSNAP 1 "" "coldsnap ${roff(version)}" "User Commands"\n`,
    '.nh\n.ad l\n',
    '.SH NAME\ncoldsnap \\- move Amazon EBS snapshots to and from files and block devices\n',
    `.SH SYNOPSIS\n${model.commands.map(synopsis).join('\n.br\n')}\n`,
    `.SH DESCRIPTION\n${roff(model.description)}\n.PP\n`,
    'The result is printed on standard output, everything else on standard error.\n',
    '.SH COMMANDS\n',
    ...model.commands.map(describeCommand),
    '.SH GLOBAL OPTIONS\nThey are accepted before and after the command.\n',
    ...model.globalOptions.map(describeOption),
    '.SH EXIT STATUS\n',
    terms(exitCodes.map(({ exitCode, meaning }) => [String(exitCode), meaning])),
    `.SH SIGNALS\n${terms(signals)}`,
    `.SH ENVIRONMENT\n${terms(environment)}`,
  ].join('');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(manPagePath, manPage());
}
