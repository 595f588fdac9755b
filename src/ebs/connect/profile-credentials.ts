/** Credentials of a profile: a role, a web identity, SSO, keys, a sign-in or a process, in the order of botocore. */
import { readFile } from 'node:fs/promises';
import type { Credentials } from './cached.ts';
import { environmentKeys, profileKeys } from './keys.ts';
import {
  fileUnreadable,
  mfaCodeNotString,
  mfaNeeded,
  noCredentials,
  profileInvalid,
  providerFailed,
} from './messages.ts';
import { fromProcess } from './process.ts';
import { expandHome, type Section, type Settings } from './settings.ts';
import { fromSignIn } from './sign-in.ts';
import { fromSso } from './sso.ts';
import { assumeRole, assumeRoleWithWebIdentity } from './sts.ts';
import { readVariable } from './variables.ts';

/** Asks the user for the code of an MFA device. */
type MfaCode = (serial: string) => Promise<string>;

export interface CredentialContext {
  readonly settings: Settings;
  readonly region: string;
  /** Undefined without a terminal to ask on. */
  readonly mfaCode: MfaCode | undefined;
  /** The SDK configuration of a client for credentials, with its proxy, certificates and endpoint. */
  clientConfigFor(service: 'sts' | 'sso' | 'sso_oidc'): Promise<object>;
}

/**
 * @returns undefined for a profile that has no credentials, only settings
 * @throws ColdsnapError class `config` for a profile that has some but is broken
 */
export async function fromProfile(
  name: string,
  context: CredentialContext,
): Promise<Credentials | undefined> {
  const { settings } = context;
  const section = settings.profiles[name] ?? {};
  if (section.role_arn && !section.web_identity_token_file) return fromRole(name, context, []);
  const fromEnvironment = settings.explicit ? undefined : environmentWebIdentity();
  return fromSection(name, context, fromEnvironment);
}

/** All kinds but a role, which is the only one that refers to another profile. */
async function fromSection(
  name: string,
  context: CredentialContext,
  webIdentity: WebIdentity | undefined,
): Promise<Credentials | undefined> {
  const { settings } = context;
  const section = settings.profiles[name] ?? {};
  const identity = webIdentity ?? profileWebIdentity(name, section);
  if (identity !== undefined) return fromWebIdentity(identity, context);
  if (hasSso(section)) return fromSso(name, section, context);
  const keys = profileKeys(name, settings.credentialsFile[name]);
  if (keys !== undefined) return keys;
  if (section.login_session) return fromSignIn(name, section.login_session, context);
  if (section.credential_process) return fromProcess(name, section.credential_process);
  return profileKeys(name, section);
}

/** @param visited the profiles that led here */
async function fromRole(
  name: string,
  context: CredentialContext,
  visited: readonly string[],
): Promise<Credentials> {
  const { settings, mfaCode } = context;
  const section = settings.profiles[name] ?? {};
  const {
    role_arn: roleArn = '',
    source_profile: source,
    credential_source: origin,
    mfa_serial: serial,
  } = section;
  if (source && origin) throw profileInvalid(name, 'has both source_profile and credential_source');
  if (!source && !origin) {
    throw profileInvalid(name, 'has role_arn, but neither source_profile nor credential_source');
  }
  const caller = source
    ? await fromSource(name, source, context, visited)
    : await fromNamedSource(name, origin ?? '', context);
  if (serial && mfaCode === undefined) throw mfaNeeded(name, serial);
  const code = serial && mfaCode ? await askForCode(mfaCode, serial) : undefined;
  const seconds = section.duration_seconds ? Number(section.duration_seconds) : undefined;
  if (seconds !== undefined && !Number.isInteger(seconds)) {
    throw profileInvalid(name, `has a duration_seconds that is not a number: "${section.duration_seconds}"`);
  }
  return assumeRole(context, caller, `profile "${name}"`, {
    RoleArn: roleArn,
    RoleSessionName: section.role_session_name || sessionName(),
    ExternalId: section.external_id || undefined,
    DurationSeconds: seconds,
    SerialNumber: serial || undefined,
    TokenCode: code,
  });
}

async function askForCode(mfaCode: MfaCode, serial: string): Promise<string> {
  const code: unknown = await mfaCode(serial);
  if (typeof code !== 'string') throw mfaCodeNotString(code);
  return code.trim();
}

async function fromSource(
  name: string,
  source: string,
  context: CredentialContext,
  visited: readonly string[],
): Promise<Credentials> {
  const { profiles } = context.settings;
  const section = profiles[source];
  if (section === undefined) {
    throw profileInvalid(name, `names the source_profile "${source}", which does not exist`);
  }
  const hasKeys = 'aws_access_key_id' in section || 'aws_secret_access_key' in section;
  if (visited.includes(source) || (source === name && !hasKeys)) {
    throw profileInvalid(name, `is its own source: ${[...visited, name, source].join(' → ')}`);
  }
  // A source with keys is not a role, and may be this profile itself.
  if (!hasKeys && section.role_arn && !section.web_identity_token_file) {
    return fromRole(source, context, [...visited, name]);
  }
  const found = await fromSection(source, context, undefined);
  if (found === undefined) {
    throw profileInvalid(name, `names the source_profile "${source}", which has no credentials`);
  }
  return found;
}

async function fromNamedSource(
  name: string,
  source: string,
  { settings }: CredentialContext,
): Promise<Credentials> {
  const { fromContainer, fromInstance } = await import('./metadata.ts');
  const nothing = () => profileInvalid(name, `has credential_source ${source}, which has no credentials`);
  switch (source) {
    case 'Environment': {
      const found = environmentKeys();
      if (found === undefined) throw nothing();
      return found;
    }
    case 'EcsContainer': {
      const found = await fromContainer();
      if (found === undefined) throw nothing();
      return found;
    }
    case 'Ec2InstanceMetadata': {
      const found = await fromInstance(settings);
      if (typeof found === 'string')
        throw noCredentials([`profile "${name}" uses the instance's role`, found]);
      return found;
    }
    default:
      throw profileInvalid(
        name,
        `has the unknown credential_source "${source}" (it must be Environment, EcsContainer or Ec2InstanceMetadata)`,
      );
  }
}

interface WebIdentity {
  readonly origin: string;
  readonly tokenFile: string;
  readonly roleArn: string;
  readonly sessionName: string | undefined;
}

function environmentWebIdentity(): WebIdentity | undefined {
  const tokenFile = readVariable('AWS_WEB_IDENTITY_TOKEN_FILE');
  if (tokenFile === undefined) return undefined;
  const roleArn = readVariable('AWS_ROLE_ARN');
  if (roleArn === undefined) throw noCredentials(['AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN']);
  return {
    origin: 'AWS_WEB_IDENTITY_TOKEN_FILE',
    tokenFile,
    roleArn,
    sessionName: readVariable('AWS_ROLE_SESSION_NAME'),
  };
}

function profileWebIdentity(name: string, section: Section): WebIdentity | undefined {
  const { web_identity_token_file: tokenFile, role_arn: roleArn, role_session_name: session } = section;
  if (!tokenFile) return undefined;
  if (!roleArn) throw profileInvalid(name, 'has web_identity_token_file but no role_arn');
  return { origin: `profile "${name}"`, tokenFile, roleArn, sessionName: session || undefined };
}

async function fromWebIdentity(identity: WebIdentity, context: CredentialContext): Promise<Credentials> {
  const path = expandHome(identity.tokenFile);
  const what = `web identity token file (${identity.origin})`;
  const token = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnreadable(what, path, error);
  });
  if (token.trim() === '') throw providerFailed(`the ${what} ${path}`, 'it is empty');
  return assumeRoleWithWebIdentity(context, identity.origin, {
    RoleArn: identity.roleArn,
    RoleSessionName: identity.sessionName ?? sessionName(),
    WebIdentityToken: token.trim(),
  });
}

/** The same keys as in botocore: a start URL alone is for other programs. */
function hasSso(section: Section): boolean {
  return Boolean(section.sso_account_id || section.sso_role_name);
}

function sessionName(): string {
  return `coldsnap-${Date.now()}`;
}
