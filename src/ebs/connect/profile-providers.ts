/** The SDK's providers for SSO, sign-in and external processes. Their errors become ours, and their log is dropped. */
import { ColdsnapError } from '../../errors.ts';
import { readFailure } from '../failure.ts';
import type { Credentials } from './cached.ts';
import { checkExpiry } from './keys.ts';
import { quietLogger } from './logger.ts';
import { profileInvalid, providerFailed, providerUnreachable, ssoLoginNeeded } from './messages.ts';
import type { CredentialContext } from './profile-credentials.ts';
import type { Section } from './settings.ts';
import { describeUnreachable } from './unreachable.ts';

const logger = quietLogger;

/** IAM Identity Center, with the token that `aws sso login` stored. */
export async function fromSso(
  profile: string,
  section: Section,
  { settings, clientConfigFor }: CredentialContext,
): Promise<Credentials> {
  const session = section.sso_session;
  const sessionSection = session ? settings.ssoSessions[session] : undefined;
  if (session && sessionSection === undefined) {
    throw profileInvalid(profile, `names the sso-session "${session}", which does not exist`);
  }
  const all = { ...section, ...sessionSection };
  const needed = ['sso_start_url', 'sso_region', 'sso_account_id', 'sso_role_name'];
  const missing = needed.filter((key) => !all[key]);
  if (missing.length > 0) throw profileInvalid(profile, `is for SSO but has no ${missing.join(', ')}`);
  const region = all.sso_region ?? '';
  const [{ fromSSO }, { SSOClient }] = await Promise.all([
    import('@aws-sdk/credential-provider-sso'),
    import('@aws-sdk/nested-clients/sso'),
  ]);
  const ssoClient = new SSOClient({ ...(await clientConfigFor('sso')), region });
  const clientConfig = await clientConfigFor('sso_oidc');
  try {
    return await fromSSO({
      ...settings.files,
      ignoreCache: true,
      profile,
      ssoClient,
      clientConfig,
      logger,
    })();
  } catch (error) {
    const cause = causeOf(error);
    const unreachable = describeUnreachable(cause);
    const provider = `SSO of profile "${profile}"`;
    if (unreachable !== undefined) throw providerUnreachable(provider, unreachable, cause);
    const { name, message } = readFailure(cause);
    if (/forbidden|no access/i.test(`${name} ${message}`)) {
      const role = `role ${section.sso_role_name} in account ${section.sso_account_id}`;
      throw providerFailed(provider, `the ${role} was refused: ${message}`, {
        profile,
        hint: 'Check sso_account_id and sso_role_name, and the assignment in IAM Identity Center.',
      });
    }
    throw ssoLoginNeeded(
      profile,
      /expired|UnauthorizedException/i.test(`${name} ${message}`)
        ? 'has expired'
        : 'does not exist or cannot be used',
      error,
    );
  }
}

/** `aws login`. */
export async function fromSignIn(
  profile: string,
  { settings, region, clientConfigFor }: CredentialContext,
): Promise<Credentials> {
  const { fromLoginCredentials } = await import('@aws-sdk/credential-provider-login');
  const clientConfig = { ...(await clientConfigFor('sso_oidc')), region };
  try {
    return await fromLoginCredentials({
      ...settings.files,
      ignoreCache: true,
      profile,
      clientConfig,
      logger,
    })();
  } catch (error) {
    throw providerFailed(`the sign-in of profile "${profile}"`, readFailure(error).message, {
      profile,
      hint: `Sign in with "aws login" for profile ${profile}.`,
    });
  }
}

/** `credential_process`. */
export async function fromProcess(profile: string, { settings }: CredentialContext): Promise<Credentials> {
  const provider = `credential_process of profile "${profile}"`;
  const { fromProcess: run } = await import('@aws-sdk/credential-provider-process');
  let credentials: Credentials;
  try {
    credentials = await run({ ...settings.files, ignoreCache: true, profile, logger })();
  } catch (error) {
    throw providerFailed(provider, processReason(error as Error), { profile });
  }
  if (Number.isNaN(credentials.expiration?.getTime())) {
    throw providerFailed(provider, 'it returned an Expiration that is not a time', { profile });
  }
  return checkExpiry(provider, credentials);
}

/** The last line that the process wrote to stderr. Node's text repeats the command line, which may have secrets. */
function processReason({ message }: Error): string {
  const [first = '', ...rest] = message.trim().split('\n');
  if (!first.startsWith('Command failed'))
    return first.replace(/^.*?credential_process (did|returned)/, 'it $1');
  const last = rest.filter((line) => line.trim() !== '').at(-1);
  return last?.trim() ?? 'the process ended with an error';
}

/** The SDK wraps the error of a request as the text of another. */
function causeOf(error: unknown): unknown {
  const { message } = error as { message?: unknown };
  if (error instanceof ColdsnapError || typeof message !== 'object') return error;
  return message;
}
