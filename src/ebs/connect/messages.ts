/** The errors of region, credentials, endpoint and certificates. */
import type { ErrorCode } from '../../error-codes.ts';
import { ColdsnapError, type ErrorClass, type ErrorDetails } from '../../errors.ts';
import { sanitize, withoutUser } from '../../text.ts';
import { readFailure } from '../failure.ts';
import { describeNetworkCode, hintForCertificate, isUntrusted } from '../network-words.ts';
import type { ConfigFiles } from './settings.ts';

/** Profiles that a message lists at most. */
const MAX_NAMES = 20;

export function configError(code: ErrorCode, message: string, details: ErrorDetails = {}): ColdsnapError {
  return new ColdsnapError('config', code, message, details);
}

/** @param sections names in the configuration file, of which some may be misspelled profiles */
export function profileNotFound(
  name: string,
  existing: readonly string[],
  files: ConfigFiles,
  sections: Readonly<Record<string, unknown>>,
): ColdsnapError {
  const problem = `the profile "${sanitize(name, 64)}" does not exist in ${files.config} or ${files.credentials}`;
  return configError('PROFILE_NOT_FOUND', problem, {
    profile: name,
    hint: misspelledSection(name, existing, files, sections) ?? existingProfiles(existing),
  });
}

/** The two files name profiles differently, which is easily confused. */
function misspelledSection(
  name: string,
  existing: readonly string[],
  files: ConfigFiles,
  sections: Readonly<Record<string, unknown>>,
): string | undefined {
  const shown = sanitize(name, 64);
  const quoted = /^[\w./:@+-]+$/.test(name) ? shown : `"${shown}"`;
  for (const written of [name, `profile ${name}`]) {
    if (written in sections) {
      return `Write [profile ${quoted}] instead of [${sanitize(written, 80)}] in ${files.config}.`;
    }
  }
  if (!existing.includes(`profile ${name}`)) return undefined;
  return `Write [${shown}] instead of [profile ${shown}] in ${files.credentials}.`;
}

function existingProfiles(existing: readonly string[]): string {
  if (existing.length === 0) return 'The AWS configuration files are missing or have no profile.';
  const names = existing.slice(0, MAX_NAMES).map((name) => sanitize(name, 64));
  return `Profiles that exist: ${names.join(', ')}${existing.length > MAX_NAMES ? ', …' : ''}.`;
}

export function profileInvalid(profile: string, problem: string): ColdsnapError {
  return configError('PROFILE_INVALID', `the profile "${profile}" ${problem}`, { profile });
}

export function servicesMissing(services: string, profile: string): ColdsnapError {
  return profileInvalid(profile, `names the services section "${services}", which does not exist`);
}

export function fileUnreadable(what: string, path: string, cause: unknown): ColdsnapError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  const problem = code === 'ENOENT' ? 'does not exist' : `cannot be read (${describeNetworkCode(code)})`;
  return configError('CREDENTIALS_FAILED', `the ${what} ${path} ${problem}`, { path, cause });
}

/** @param problem what the line does, without its text */
export function configFileInvalid(path: string, line: number, problem: string): ColdsnapError {
  return configError('CONFIG_FILE_INVALID', `line ${line} of ${path} ${sanitize(problem, 200)}`, {
    hint: 'Correct the line, or point AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE to other files.',
    path,
  });
}

export function badSetting(origin: string, value: string): ColdsnapError {
  return configError('BAD_SETTING', `${origin} must be true or false, not "${sanitize(value, 64)}"`);
}

export function badCount(origin: string, value: string): ColdsnapError {
  return configError('BAD_SETTING', `${origin} must be a whole number from 1, not "${sanitize(value, 64)}"`);
}

export function noRegion(profile: string): ColdsnapError {
  const problem = 'no region is set: not in AWS_REGION, AWS_DEFAULT_REGION or the profile';
  return configError('NO_REGION', `${problem} "${profile}"`, {
    hint: 'Set it in AWS_REGION or in the profile.',
  });
}

/** @param given whether the caller gave it, rather than the environment or the profile */
export function badRegion(
  origin: string,
  region: string,
  ofZone: string | undefined,
  given: boolean,
): ColdsnapError {
  const hint =
    ofZone === undefined
      ? 'A region has lower-case letters, digits and hyphens, for example eu-west-1.'
      : `That is an availability zone; its region is ${ofZone}.`;
  const message = `${origin} is malformed: "${sanitize(region, 64)}"`;
  return new ColdsnapError(given ? 'usage' : 'config', 'BAD_REGION', message, { hint });
}

const endpointHint = 'Write it in full, for example https://ebs.eu-west-1.amazonaws.com.';

export function badEndpoint(endpoint: string): ColdsnapError {
  const message = `"${sanitize(withoutUser(endpoint))}" is not an endpoint URL`;
  return new ColdsnapError('usage', 'BAD_ENDPOINT', message, { hint: endpointHint });
}

export function badConfiguredEndpoint(origin: string, endpoint: string): ColdsnapError {
  const text = sanitize(withoutUser(endpoint));
  const hint = /^[\w.-]+(:\d+)?(\/|$)/.test(text)
    ? `Add the scheme: http://${text} or https://${text}.`
    : endpointHint;
  return configError('BAD_ENDPOINT', `${origin} is not a URL with http:// or https://: "${text}"`, { hint });
}

export function caBundleUnreadable(
  origin: string,
  path: string,
  problem: string,
  cause?: unknown,
): ColdsnapError {
  return configError('CA_BUNDLE_UNREADABLE', `${origin} names ${path}, which ${problem}`, { path, cause });
}

/** @param reasons what each provider found, in their order */
export function noCredentials(reasons: readonly string[]): ColdsnapError {
  return configError('NO_CREDENTIALS', `found no credentials: ${reasons.join('; ')}`, {
    hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or attach an instance role.',
  });
}

/** A provider that is configured but failed. */
export function providerFailed(provider: string, reason: string, details: ErrorDetails = {}): ColdsnapError {
  return configError('CREDENTIALS_FAILED', `${provider} failed: ${sanitize(reason)}`, details);
}

/** As {@link providerFailed}, for a failure that may not occur the next time. */
export function providerUnreachable(provider: string, reason: string, cause: unknown): ColdsnapError {
  const { code } = readFailure(cause);
  const hint = isUntrusted(code)
    ? hintForCertificate(code)
    : 'Check the network, then run the same command again.';
  return providerFailed(provider, reason, { cause, hint });
}

export function ssoLoginNeeded(profile: string, reason: string, cause: unknown): ColdsnapError {
  return configError('SSO_LOGIN_NEEDED', `the SSO session of profile "${profile}" ${reason}`, {
    hint: `Sign in with "aws sso login" for profile ${profile}.`,
    profile,
    cause,
  });
}

export function mfaNeeded(profile: string, serial: string): ColdsnapError {
  return configError(
    'MFA_NEEDED',
    `the profile "${profile}" needs a code of the MFA device ${sanitize(serial)}, and there is no terminal to ask on`,
    {
      hint: 'Run it on a terminal, or get a session first with "aws sts get-session-token" and put its keys in the environment.',
      profile,
    },
  );
}

export function mfaCodeNotString(code: unknown): ColdsnapError {
  return new ColdsnapError(
    'usage',
    'BAD_OPTION',
    `mfaCode must give a string, but gave a value of type ${typeof code}`,
  );
}

export function roleRefused(
  role: string,
  origin: string,
  reason: string,
  details: ErrorDetails,
): ColdsnapError {
  return configError(
    'ROLE_REFUSED',
    `AWS STS refused the role ${sanitize(role)} (${origin}): ${sanitize(reason)}`,
    details,
  );
}

export function credentialsExpired(provider: string, when: Date): ColdsnapError {
  const message = `${provider} returned credentials that expired at ${when.toISOString()}`;
  return configError('CREDENTIALS_EXPIRED', message, {
    hint: 'Renew them, and check the clock of this machine.',
  });
}

/** A failed renewal while the transfer runs: it may succeed later. */
export function renewalFailed(error: ColdsnapError): ColdsnapError {
  const errorClass: ErrorClass = error.cause === undefined ? error.class : 'transient';
  return error.reclassified(errorClass, `could not renew the credentials: ${error.message}`);
}
