/** Generates completion scripts from the definitions of the commands. */
import type { Command } from 'commander';
import {
  type CommandModel,
  describeProgram,
  type OptionModel,
  type ProgramModel,
  type ValueKind,
} from './model.ts';

export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const model = describeProgram(program);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](model);
}

/** The options of all commands, without duplicates. */
function allOptions(model: ProgramModel): OptionModel[] {
  const options = [...model.globalOptions, ...model.commands.flatMap((command) => command.options)];
  return [...new Map(options.map((option) => [option.names.join(' '), option])).values()];
}

const namesOf = (options: readonly OptionModel[]) => options.flatMap((option) => option.names);

// bash

/** The words to suggest, `<file>` or `<directory>` for paths, or nothing; the end of the script expands them. */
function quoted(value: ValueKind): string {
  if (value === 'text') return "''";
  return typeof value === 'string' ? `'<${value}>'` : `'${value.join(' ')}'`;
}

function bashScript(model: ProgramModel): string {
  const withValue = allOptions(model).filter((option) => option.value !== undefined);
  const values = withValue.map(({ names, value }) => `    ${names.join('|')}) words=${quoted(value!)} ;;`);
  const commands = model.commands.map((command) => {
    const value = command.arguments.find((argument) => argument.value !== 'text')?.value ?? 'text';
    return `    ${command.name}) options='${namesOf(command.options).join(' ')}' words=${quoted(value)} ;;`;
  });
  return `# bash completion for coldsnap
_coldsnap() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command= options= words= word index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    ${namesOf(withValue).join('|')}) ((index++)) ;;
    -*) ;;
    *) command=$word; break ;;
    esac
  done
  case $command in
    '') options='${namesOf(model.globalOptions).join(' ')}' words='${model.commands.map(({ name }) => name).join(' ')}' ;;
${commands.join('\n')}
    *) return ;;
  esac
  [[ $current == -?* ]] && words=$options
  case $previous in
${values.join('\n')}
  esac
  case $words in
    '<file>') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    '<directory>') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
}
complete -F _coldsnap coldsnap
`;
}

// zsh

/** Escapes text for single quotes in an _arguments specification. */
const zshText = (text: string) => text.replace(/[\\[\]:]/g, '\\$&').replace(/'/g, "'\\''");

function zshAction(value: ValueKind): string {
  if (value === 'text') return ' ';
  if (value === 'file') return '_files';
  if (value === 'directory') return '_files -/';
  return `(${value.join(' ')})`;
}

function zshOption(option: OptionModel): string {
  const value = option.value === undefined ? '' : `:value:${zshAction(option.value)}`;
  const rest = `[${zshText(option.description)}]${value}'`;
  const names = option.names;
  if (names.length === 1) return `'*${names[0]}${rest}`;
  return `'(${names.join(' ')})'{${names.join(',')}}'${rest}`;
}

function zshCommand(command: CommandModel): string {
  const specs = [
    ...command.options.map(zshOption),
    ...command.arguments.map((argument, index) => {
      const position = argument.variadic ? '*:' : `${index + 1}${argument.required ? ':' : '::'}`;
      return `'${position}${zshText(argument.name)}:${zshAction(argument.value)}'`;
    }),
  ];
  return `      ${command.name})\n        _arguments \\\n          ${specs.join(' \\\n          ')}\n        ;;`;
}

function zshScript(model: ProgramModel): string {
  const names = model.commands.map(({ name, summary }) => `        '${name}:${zshText(summary)}'`);
  return `#compdef coldsnap
_coldsnap() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C \\
    ${model.globalOptions.map(zshOption).join(' \\\n    ')} \\
    '1:command:->command' \\
    '*::argument:->arguments'
  case $state in
    command)
      local -a commands=(
${names.join('\n')}
      )
      _describe command commands
      ;;
    arguments)
      case $line[1] in
${model.commands.map(zshCommand).join('\n')}
      esac
      ;;
  esac
}
if [ "$funcstack[1]" = _coldsnap ]; then _coldsnap "$@"; else compdef _coldsnap coldsnap; fi
`;
}

// fish

const fishText = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;

function fishValue(value: ValueKind | undefined): string {
  if (value === undefined) return '';
  if (value === 'text') return ' -x';
  if (value === 'file') return ' -r -F';
  if (value === 'directory') return " -x -a '(__fish_complete_directories)'";
  return ` -x -a ${fishText(value.join(' '))}`;
}

function fishOption(condition: string, option: OptionModel): string {
  const names = option.names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const words = `${names.join(' ')}${fishValue(option.value)} -d ${fishText(option.description)}`;
  return `complete -c coldsnap${condition} ${words}`;
}

function fishScript(model: ProgramModel): string {
  const lines = ['# fish completion for coldsnap', 'complete -c coldsnap -f'];
  lines.push(...model.globalOptions.map((option) => fishOption('', option)));
  for (const { name, summary, options, arguments: args } of model.commands) {
    const seen = ` -n '__fish_seen_subcommand_from ${name}'`;
    lines.push(`complete -c coldsnap -n __fish_use_subcommand -a ${name} -d ${fishText(summary)}`);
    lines.push(...options.filter((option) => !option.isGlobal).map((option) => fishOption(seen, option)));
    for (const { value } of args) {
      if (value === 'file') lines.push(`complete -c coldsnap${seen} -F`);
      else if (typeof value !== 'string')
        lines.push(`complete -c coldsnap${seen} -a ${fishText(value.join(' '))}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
