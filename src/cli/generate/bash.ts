/** The completion script for bash. */
import { namesOf, type OptionModel, optionsOfAll, type ProgramModel, type ValueKind } from './model.ts';
import { listProfiles, serviceOptions } from './values.ts';

/** The words to suggest, or a kind in angle brackets, which the end of the script looks up. */
function quoted(value: ValueKind): string {
  if (value === 'text') return "''";
  return typeof value === 'string' ? `'<${value}>'` : `'${value.join(' ')}'`;
}

/** The first argument and the others may differ: a snapshot, then a target. */
function commandCase({ name, options, arguments: args }: ProgramModel['commands'][number]): string {
  const values = args.map(({ value }) => quoted(value));
  const last = values.at(-1) ?? "''";
  const words = `${values.map((value, at) => `${at}) words=${value} ;;`).join(' ')} *) words=${last} ;;`;
  return `    ${name}) options='${namesOf(options).join(' ')}'; case $place in ${words} esac ;;`;
}

export function bashScript(model: ProgramModel): string {
  const withValue = optionsOfAll(model).filter((option) => option.value !== undefined);
  const valueCase = ({ names, value }: OptionModel) => `    ${names.join('|')}) words=${quoted(value!)} ;;`;
  return `# bash completion for coldsnap
_coldsnap_profiles() {
  local config=\${AWS_CONFIG_FILE:-~/.aws/config} credentials=\${AWS_SHARED_CREDENTIALS_FILE:-~/.aws/credentials}
  ${listProfiles}
}

# Asks EC2 if credentials are at hand, for at most 2 s. Arguments: list or pending, and options of the command line.
_coldsnap_snapshots() {
  [[ \${AWS_ACCESS_KEY_ID-}\${AWS_PROFILE-} || $* == *--profile* || -r \${AWS_SHARED_CREDENTIALS_FILE:-~/.aws/credentials} ]] || return
  AWS_EC2_METADATA_DISABLED=true timeout 2 coldsnap --quiet "$@" </dev/null 2>/dev/null | cut -d ' ' -f 1
}

_coldsnap() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} prefix=
  local command= options= words= word index place=0 service=()
  COMPREPLY=()
  # Readline usually splits --option=value at the equals sign.
  if [[ $current == = ]]; then current=; elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  elif [[ $current == --*=* ]]; then previous=\${current%%=*} prefix=$previous= current=\${current#*=}; fi
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    ${namesOf(withValue).join('|')})
      ((index++))
      [[ \${COMP_WORDS[index]} == = ]] && ((index++))
      case $word in ${serviceOptions.join('|')}) ((index < COMP_CWORD)) && service+=("$word" "\${COMP_WORDS[index]}") ;; esac ;;
    -?*) case $word in ${serviceOptions.map((name) => `${name}=*`).join('|')}) service+=("$word") ;; esac ;;
    *) if [[ $command ]]; then ((place++)); else command=$word; fi ;;
    esac
  done
  case $command in
    '') options='${namesOf(model.globalOptions).join(' ')}' words='${model.commands.map(({ name }) => name).join(' ')}' ;;
${model.commands.map(commandCase).join('\n')}
    *) return ;;
  esac
  [[ $current == -?* && ! $prefix ]] && words=$options
  case $previous in
${withValue.map(valueCase).join('\n')}
  esac
  case $words in
    '<file>') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    '<directory>') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    '<profile>')
      # A name may have spaces. It is quoted twice, because compgen expands it once.
      local IFS=$'\\n'
      words=$(while read -r word; do printf '%q\\n' "$(printf %q "$word")"; done < <(_coldsnap_profiles)) ;;
    '<snapshot>') words=$(_coldsnap_snapshots "\${service[@]}" list) ;;
    '<upload>') words=$(_coldsnap_snapshots "\${service[@]}" pending) ;;
  esac
  case $words in
    '<'*) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
  [[ $prefix ]] && COMPREPLY=("\${COMPREPLY[@]/#/$prefix}")
  return 0
}
complete -F _coldsnap coldsnap
`;
}
