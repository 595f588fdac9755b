/** The AWS configuration files and the selected profile. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadSharedConfigFiles } from '@smithy/core/config';
import { homeDirectory } from '../../home.ts';
import { badSetting, fileUnreadable, profileNotFound } from './messages.ts';
import { readVariable, type Variable } from './variables.ts';

/** The keys of one section. Keys of a nested block have the name of the block and a dot before them. */
export type Section = Readonly<Record<string, string | undefined>>;

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
  readonly files: ConfigFiles;
}

/** Paths, in the form of the SDK's options. */
interface ConfigFiles {
  readonly configFilepath: string;
  readonly filepath: string;
}

/**
 * Reads the files and selects the profile: the option, AWS_DEFAULT_PROFILE, AWS_PROFILE, else `default`.
 * @throws ColdsnapError class `config`: the selected profile does not exist, or a file cannot be read
 */
export async function readSettings(option: string | undefined): Promise<Settings> {
  const files = configFiles();
  for (const path of Object.values(files)) checkReadable(path);
  const { configFile, credentialsFile } = await loadSharedConfigFiles({ ...files, ignoreCache: true });
  const profiles: Record<string, Section> = {};
  const services: Record<string, Section> = {};
  const ssoSessions: Record<string, Section> = {};
  for (const [name, section] of Object.entries(configFile)) {
    const [, kind, rest = ''] = /^(services|sso-session)\.(.*)$/.exec(name) ?? [];
    const sections = kind === 'services' ? services : kind === 'sso-session' ? ssoSessions : profiles;
    sections[kind === undefined ? name : rest] = section;
  }
  for (const [name, section] of Object.entries(credentialsFile)) {
    profiles[name] = { ...profiles[name], ...section };
  }
  const chosen = option ?? readVariable('AWS_DEFAULT_PROFILE') ?? readVariable('AWS_PROFILE');
  if (chosen !== undefined && profiles[chosen] === undefined) {
    throw profileNotFound(chosen, Object.keys(profiles), Object.values(files));
  }
  return {
    profile: chosen ?? 'default',
    explicit: option !== undefined,
    profiles,
    credentialsFile,
    services,
    ssoSessions,
    files,
  };
}

function configFiles(): ConfigFiles {
  return {
    configFilepath: expandHome(readVariable('AWS_CONFIG_FILE') ?? '~/.aws/config'),
    filepath: expandHome(readVariable('AWS_SHARED_CREDENTIALS_FILE') ?? '~/.aws/credentials'),
  };
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

/** The SDK reads a file that it may not open as an empty one. */
function checkReadable(path: string): void {
  if (!existsSync(path)) return;
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw fileUnreadable('AWS configuration file', path, cause);
  }
}
