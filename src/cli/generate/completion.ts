/** Generates completion scripts from the definitions of the commands. */
import type { Command } from 'commander';
import { bashScript } from './bash.ts';
import {
  type CommandModel,
  describeProgram,
  type OptionModel,
  type ProgramModel,
  type ValueKind,
} from './model.ts';
import { listProfiles, serviceOptions } from './values.ts';

export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const model = describeProgram(program);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](model);
}

// zsh

/** Escapes text for single quotes in an _arguments specification. */
const zshText = (text: string) => text.replace(/[\\[\]:]/g, '\\$&').replace(/'/g, "'\\''");

function zshAction(value: ValueKind): string {
  if (value === 'text') return ' ';
  if (value === 'file') return '_files';
  if (value === 'directory') return '_files -/';
  if (value === 'profile') return '_coldsnap_profiles';
  if (value === 'snapshot') return '{_coldsnap_snapshots list}';
  if (value === 'upload') return '{_coldsnap_snapshots pending}';
  return `(${value.join(' ')})`;
}

function zshOption(option: OptionModel): string {
  const value = option.value === undefined ? '' : `:value:${zshAction(option.value)}`;
  const rest = `[${zshText(option.description)}]${value}'`;
  // With an equals sign after the name, the value may follow one.
  const names = option.names.map((name) => (value !== '' && name.startsWith('--') ? `${name}=` : name));
  if (names.length === 1) return `'*${names[0]}${rest}`;
  return `'(${option.names.join(' ')})'{${names.join(',')}}'${rest}`;
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
_coldsnap_profiles() {
  local config=\${AWS_CONFIG_FILE:-~/.aws/config} credentials=\${AWS_SHARED_CREDENTIALS_FILE:-~/.aws/credentials}
  compadd "$@" -- \${(f)"$(${listProfiles})"}
}

# Asks EC2 if credentials are at hand, for at most 2 s.
_coldsnap_snapshots() {
  local -a service
  local option
  for option in ${serviceOptions.join(' ')}; do
    [[ -n \${opt_args[$option]} ]] && service+=($option "\${(Q)opt_args[$option]}")
  done
  [[ -n $AWS_ACCESS_KEY_ID$AWS_PROFILE\${opt_args[--profile]} || -r \${AWS_SHARED_CREDENTIALS_FILE:-~/.aws/credentials} ]] || return
  local -a found=(\${(f)"$(AWS_EC2_METADATA_DISABLED=true timeout 2 coldsnap --quiet $service $1 </dev/null 2>/dev/null | cut -d ' ' -f 1)"})
  compadd -a found
}

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
  if (value === 'profile') return " -x -a '(__coldsnap_profiles)'";
  if (value === 'snapshot') return " -x -a '(__coldsnap_snapshots list)'";
  if (value === 'upload') return " -x -a '(__coldsnap_snapshots pending)'";
  return ` -x -a ${fishText(value.join(' '))}`;
}

function fishOption(condition: string, option: OptionModel): string {
  const names = option.names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const words = `${names.join(' ')}${fishValue(option.value)} -d ${fishText(option.description)}`;
  return `complete -c coldsnap${condition} ${words}`;
}

/** Whether the words before the cursor are of this command; an option before it may have a value of its own. */
const fishCommand = (
  valued: readonly string[],
) => `# Whether the command is this one, or with '' whether there is none yet.
function __coldsnap_command_is
  set -l words (commandline -opc)
  set -l skip 0
  for word in $words[2..-1]
    if test $skip = 1
      set skip 0
    else if string match -q -- '-*' $word
      contains -- $word ${valued.join(' ')}; and set skip 1
    else
      test "$word" = "$argv[1]"
      return
    end
  end
  test -z "$argv[1]"
end
`;

const fishFunctions = `function __coldsnap_profiles
  set -l config (set -q AWS_CONFIG_FILE; and echo $AWS_CONFIG_FILE; or echo ~/.aws/config)
  set -l credentials (set -q AWS_SHARED_CREDENTIALS_FILE; and echo $AWS_SHARED_CREDENTIALS_FILE; or echo ~/.aws/credentials)
  ${listProfiles}
end

# Asks EC2 if credentials are at hand, for at most 2 s.
function __coldsnap_snapshots
  set -l words (commandline -opc)
  set -l service
  for at in (seq (count $words))
    if contains -- $words[$at] ${serviceOptions.join(' ')}; and test $at -lt (count $words)
      set -a service $words[$at] $words[(math $at + 1)]
    else if string match -qr -- '^(${serviceOptions.join('|')})=' $words[$at]
      set -a service $words[$at]
    end
  end
  set -l credentials (set -q AWS_SHARED_CREDENTIALS_FILE; and echo $AWS_SHARED_CREDENTIALS_FILE; or echo ~/.aws/credentials)
  test -n "$AWS_ACCESS_KEY_ID$AWS_PROFILE"; or string match -q -- '*--profile*' "$service"; or test -r $credentials; or return
  AWS_EC2_METADATA_DISABLED=true timeout 2 coldsnap --quiet $service $argv </dev/null 2>/dev/null | cut -d ' ' -f 1
end
`;

function fishScript(model: ProgramModel): string {
  const valued = model.globalOptions.flatMap(({ names, value }) => (value === undefined ? [] : names));
  const head = ['# fish completion for coldsnap', fishFunctions, fishCommand(valued)];
  const lines = [...head, 'complete -c coldsnap -f'];
  lines.push(...model.globalOptions.map((option) => fishOption('', option)));
  for (const { name, summary, options, arguments: args } of model.commands) {
    const seen = ` -n '__coldsnap_command_is ${name}'`;
    lines.push(`complete -c coldsnap -n '__coldsnap_command_is ""' -a ${name} -d ${fishText(summary)}`);
    lines.push(...options.filter((option) => !option.isGlobal).map((option) => fishOption(seen, option)));
    for (const { value } of args) {
      if (value === 'file') lines.push(`complete -c coldsnap${seen} -F`);
      else if (value === 'snapshot' || value === 'upload')
        lines.push(`complete -c coldsnap${seen}${fishValue(value).replace(' -x', '')}`);
      else if (typeof value !== 'string')
        lines.push(`complete -c coldsnap${seen} -a ${fishText(value.join(' '))}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
