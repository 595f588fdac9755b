/** Writes docs/coldsnap.1 from the definitions of the commands. A test compares it with the committed file. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { exitCodes } from '../src/cli/exit-codes.ts';
import { type CommandModel, describeProgram, type OptionModel } from '../src/cli/generate/model.ts';
import { buildProgram } from '../src/cli/program.ts';
import { environment, files, type Row, type Topic, topics } from '../src/cli/topics.ts';
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
  return `.TP\n${term(option.term)}\n${roff(option.text)}\n`;
}

function synopsis(command: CommandModel): string {
  const words = command.arguments.map((argument) =>
    argument.term.replace(/<?(\w+)(\.\.\.)?>?/, '\\fI$1\\fR$2'),
  );
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

const signals: readonly Row[] = [
  [
    'SIGINT, SIGTERM, SIGHUP',
    'stop within 5 seconds: cancel requests in flight, save the journal and print the command line that resumes; a ' +
      'second signal exits immediately',
  ],
  [
    'SIGUSR2',
    'print one line with the current status; before Node.js runs the first line of the program, a few hundredths of ' +
      'a second after the start, it ends the process',
  ],
];

const terms = (rows: readonly Row[]) =>
  rows.map(([name, text]) => `.TP\n\\fB${roff(name)}\\fR\n${roff(text)}\n`).join('');

/** A topic of `coldsnap help` as a section, without the tables that have sections of their own. */
function section(name: Topic['name'], heading: string): string {
  const parts = topics.find((topic) => topic.name === name)?.parts ?? [];
  const shown = parts.filter((part) => part !== files && part !== environment);
  const texts = shown.map((part) => (typeof part === 'string' ? `.PP\n${roff(part)}\n` : terms(part)));
  return `.SH ${heading}\n${texts.join('')}`;
}

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
    terms(exitCodes.map(({ exitCode, meaning }) => [String(exitCode), meaning] as const)),
    `.SH SIGNALS\n${terms(signals)}`,
    section('devices', 'DEVICES'),
    section('resume', 'RESUMING'),
    section('json', 'JSON'),
    section('permissions', 'PERMISSIONS'),
    `.SH ENVIRONMENT\n${terms(environment)}`,
    `.SH FILES\n${terms(files)}`,
    '.SH SEE ALSO\n\\fBaws\\fR(1), \\fBqemu\\-img\\fR(1), \\fBlosetup\\fR(8), \\fBlsblk\\fR(8), \\fBwipefs\\fR(8)\n',
  ].join('');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(manPagePath, manPage());
}
