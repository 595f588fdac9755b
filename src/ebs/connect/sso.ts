/**
 * IAM Identity Center, with the token that `aws sso login` stored. Not by the SDK's provider, which reads the profile by
 * its own parser: what that skips would be another identity.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { homeDirectory } from '../../home.ts';
import { readFailure } from '../failure.ts';
import type { Credentials } from './cached.ts';
import { profileInvalid, providerFailed, providerUnreachable, ssoLoginNeeded } from './messages.ts';
import type { CredentialContext } from './profile-credentials.ts';
import type { Section } from './settings.ts';
import { describeUnreachable } from './unreachable.ts';

/** A token is renewed this long before it expires. */
const EARLY_MS = 300_000;

interface Sso {
  readonly profile: string;
  readonly provider: string;
  /** Names the file of the token: the session, or without one the start URL. */
  readonly tokenName: string;
  readonly renewable: boolean;
  readonly region: string;
  readonly accountId: string;
  readonly roleName: string;
}

type Token = Readonly<Record<string, unknown>>;

export async function fromSso(
  profile: string,
  section: Section,
  context: CredentialContext,
): Promise<Credentials> {
  const sso = ssoOf(profile, section, context.settings.ssoSessions);
  const accessToken = await usableToken(sso, context);
  const { SSOClient, GetRoleCredentialsCommand } = await import('@aws-sdk/nested-clients/sso');
  const client = new SSOClient({ ...(await context.clientConfigFor('sso')), region: sso.region });
  const { accountId, roleName, provider } = sso;
  try {
    const reply = await client.send(new GetRoleCredentialsCommand({ accountId, roleName, accessToken }));
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = reply.roleCredentials ?? {};
    if (!accessKeyId || !secretAccessKey || !sessionToken || !expiration) {
      throw providerFailed(provider, 'the reply has no credentials', { profile });
    }
    return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(expiration), accountId };
  } catch (error) {
    const unreachable = describeUnreachable(error);
    if (unreachable !== undefined) throw providerUnreachable(provider, unreachable, error);
    const { name, message } = readFailure(error);
    if (/Unauthorized/i.test(name)) throw ssoLoginNeeded(profile, 'has expired', error);
    throw providerFailed(provider, `the role ${roleName} in account ${accountId} was refused: ${message}`, {
      profile,
      hint: 'Check sso_account_id and sso_role_name, and the assignment in IAM Identity Center.',
    });
  }
}

function ssoOf(profile: string, section: Section, sessions: Readonly<Record<string, Section>>): Sso {
  const session = section.sso_session;
  const ofSession = session ? sessions[session] : undefined;
  if (session && ofSession === undefined) {
    throw profileInvalid(profile, `names the sso-session "${session}", which does not exist`);
  }
  const differing = Object.keys(ofSession ?? {}).find(
    (key) => section[key] !== undefined && section[key] !== ofSession?.[key],
  );
  if (differing !== undefined) {
    throw profileInvalid(profile, `has another ${differing} than its sso-session "${session}"`);
  }
  const all = { ...section, ...ofSession };
  const needed = ['sso_start_url', 'sso_region', 'sso_account_id', 'sso_role_name'];
  const missing = needed.filter((key) => !all[key]);
  if (missing.length > 0) throw profileInvalid(profile, `is for SSO but has no ${missing.join(', ')}`);
  return {
    profile,
    provider: `SSO of profile "${profile}"`,
    tokenName: session || (all.sso_start_url ?? ''),
    renewable: Boolean(session),
    region: all.sso_region ?? '',
    accountId: all.sso_account_id ?? '',
    roleName: all.sso_role_name ?? '',
  };
}

/** The stored token, renewed if need be and possible. */
async function usableToken(sso: Sso, context: CredentialContext): Promise<string> {
  const path = tokenPath(sso.tokenName);
  const token = await readToken(path, sso.profile);
  const expires = new Date(String(token.expiresAt)).getTime();
  const current = String(token.accessToken);
  if (expires - Date.now() > EARLY_MS || (!sso.renewable && expires > Date.now())) return current;
  const { clientId, clientSecret, refreshToken } = token;
  if (!sso.renewable || !isText(clientId) || !isText(clientSecret) || !isText(refreshToken)) {
    if (expires > Date.now()) return current;
    throw ssoLoginNeeded(sso.profile, 'has expired', undefined);
  }
  const { SSOOIDCClient, CreateTokenCommand } = await import('@aws-sdk/nested-clients/sso-oidc');
  const client = new SSOOIDCClient({ ...(await context.clientConfigFor('sso_oidc')), region: sso.region });
  const request = { clientId, clientSecret, refreshToken, grantType: 'refresh_token' };
  try {
    const renewed = await client.send(new CreateTokenCommand(request));
    if (!renewed.accessToken || !renewed.expiresIn) throw new Error('the reply has no token');
    const expiresAt = new Date(Date.now() + renewed.expiresIn * 1000).toISOString();
    const { accessToken, refreshToken: next = refreshToken } = renewed;
    const stored = JSON.stringify({ ...token, accessToken, expiresAt, refreshToken: next }, null, 2);
    // Without the file the next command asks for a sign-in, which is no reason to fail this one.
    await writeFile(path, stored, { mode: 0o600 }).catch(() => {});
    return accessToken;
  } catch (error) {
    if (expires > Date.now()) return current;
    const unreachable = describeUnreachable(error);
    if (unreachable !== undefined) throw providerUnreachable(sso.provider, unreachable, error);
    throw ssoLoginNeeded(sso.profile, 'has expired', error);
  }
}

function tokenPath(name: string): string {
  const file = `${createHash('sha1').update(name).digest('hex')}.json`;
  return join(homeDirectory(), '.aws', 'sso', 'cache', file);
}

async function readToken(path: string, profile: string): Promise<Token> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw ssoLoginNeeded(
      profile,
      code === 'ENOENT' ? 'does not exist' : `cannot be read from ${path}`,
      error,
    );
  }
  try {
    const token = JSON.parse(text) as Token;
    if (isText(token.accessToken) && !Number.isNaN(new Date(String(token.expiresAt)).getTime())) return token;
  } catch {}
  throw ssoLoginNeeded(profile, `cannot be used: ${path} has no token`, undefined);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
