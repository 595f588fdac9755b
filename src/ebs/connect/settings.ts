/** The AWS configuration files and the selected profile. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { homeDirectory } from '../../home.ts';
import { emptyRecord, IniError, nameOfSection, parseIni, type Section } from './ini.ts';
import { badSetting, configFileInvalid, fileUnreadable, profileNotFound } from './messages.ts';
import { readVariable, type Variable } from './variables.ts';

export type { Section };

/** The profile keys of this stage. docs/configuration.md describes each; a test compares both. */
export const profileKeys = [
  'aws_access_key_id',
  'aws_secret_access_key',
  'aws_security_token',
  'aws_session_token',
  'ca_bundle',
  'credential_process',
  'credential_source',
  'duration_seconds',
  'ec2_metadata_v1_disabled',
  'endpoint_url',
  'external_id',
  'ignore_configured_endpoint_urls',
  'login_session',
  'mfa_serial',
  'region',
  'role_arn',
  'role_session_name',
  'services',
  'source_profile',
  'sso_account_id',
  'sso_region',
  'sso_role_name',
  'sso_session',
  'sso_start_url',
  'use_dualstack_endpoint',
  'use_fips_endpoint',
  'web_identity_token_file',
] as const;

type ProfileKey = (typeof profileKeys)[number];

export interface Settings {
  /** The selected profile. */
  readonly profile: string;
  /** Whether the caller chose it by option, so that keys in the environment do not count. */
  readonly explicit: boolean;
  /** Profiles by name. The credentials file takes precedence over the configuration file. */
  readonly profiles: Readonly<Record<string, Section>>;
  /** Profiles of the credentials file alone. */
  readonly credentialsFile: Readonly<Record<string, Section>>;
  /** The sections `services NAME` and `sso-session NAME` of the configuration file. */
  readonly services: Readonly<Record<string, Section>>;
  readonly ssoSessions: Readonly<Record<string, Section>>;
}

/**
 * Reads the files and selects the profile: the option, AWS_DEFAULT_PROFILE, AWS_PROFILE, else `default`.
 * @throws ColdsnapError class `config`: the selected profile does not exist, or a file cannot be read or parsed
 */
export async function readSettings(option: string | undefined): Promise<Settings> {
  const paths = configFiles();
  const [config, credentialsFile] = await Promise.all([
    readSections(paths.config),
    readSections(paths.credentials),
  ]);
  const profiles = emptyRecord<Section>();
  const services = emptyRecord<Section>();
  const ssoSessions = emptyRecord<Section>();
  for (const [name, section] of Object.entries(config)) {
    const profile = name === 'default' ? name : nameOfSection('profile', name);
    const service = nameOfSection('services', name);
    const session = nameOfSection('sso-session', name);
    if (profile !== undefined) profiles[profile] = section;
    if (service !== undefined) services[service] = section;
    if (session !== undefined) ssoSessions[session] = section;
  }
  for (const [name, section] of Object.entries(credentialsFile)) {
    profiles[name] = { ...profiles[name], ...section };
  }
  const chosen = option ?? readVariable('AWS_DEFAULT_PROFILE') ?? readVariable('AWS_PROFILE');
  if (chosen !== undefined && profiles[chosen] === undefined) {
    throw profileNotFound(chosen, Object.keys(profiles), paths, config);
  }
  return {
    profile: chosen ?? 'default',
    explicit: option !== undefined,
    profiles,
    credentialsFile,
    services,
    ssoSessions,
  };
}

/** Where the files are. */
export interface ConfigFiles {
  readonly config: string;
  readonly credentials: string;
}

export function configFiles(): ConfigFiles {
  const pathOf = (path: string) => expandHome(expandVariables(path));
  return {
    config: pathOf(readVariable('AWS_CONFIG_FILE') ?? '~/.aws/config'),
    credentials: pathOf(readVariable('AWS_SHARED_CREDENTIALS_FILE') ?? '~/.aws/credentials'),
  };
}

/** A file that does not exist has no sections. */
async function readSections(path: string): Promise<Readonly<Record<string, Section>>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (/^(ENOENT|ENOTDIR)$/.test((cause as NodeJS.ErrnoException).code ?? '')) return emptyRecord();
    throw fileUnreadable('AWS configuration file', path, cause);
  }
  try {
    return parseIni(text);
  } catch (error) {
    throw error instanceof IniError ? configFileInvalid(path, error.line, error.message) : error;
  }
}

/** A key of the selected profile; undefined when it is absent or empty. */
export function profileKey(settings: Settings, key: ProfileKey): string | undefined {
  return settings.profiles[settings.profile]?.[key] || undefined;
}

/**
 * A switch, from the variable or else from the profile.
 * @throws ColdsnapError class `config` for anything but true and false
 */
export function readSwitch(settings: Settings, variable: Variable, key?: ProfileKey): boolean {
  const fromEnvironment = readVariable(variable);
  const value = fromEnvironment ?? (key === undefined ? undefined : profileKey(settings, key));
  if (value === undefined) return false;
  const lower = value.toLowerCase();
  if (lower !== 'true' && lower !== 'false') {
    throw badSetting(
      fromEnvironment === undefined ? `${key} of profile "${settings.profile}"` : variable,
      value,
    );
  }
  return lower === 'true';
}

/** `~` at the start stands for the home directory, as in botocore. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homeDirectory(), path.slice(1)) : path;
}

/** `$NAME` and `${NAME}`, as in botocore; those that are not set stay. */
function expandVariables(path: string): string {
  return path.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (all, name, braced) => process.env[name ?? braced] ?? all);
}
