/** The session of `aws login`, by the SDK's provider. Its errors become ours, and its log is dropped. */
import { externalDataInterceptor } from '@smithy/core/config';
import { readFailure } from '../failure.ts';
import type { Credentials } from './cached.ts';
import { quietLogger } from './logger.ts';
import { providerFailed } from './messages.ts';
import type { CredentialContext } from './profile-credentials.ts';

/** The provider reads a file of profiles: this one, which exists in memory only, so that ours is the only parser. */
const MEMORY_FILE = 'coldsnap:sign-in';
const NO_FILE = '/dev/null';

/** @param session `login_session` of the profile */
export async function fromSignIn(
  profile: string,
  session: string,
  { region, clientConfigFor }: CredentialContext,
): Promise<Credentials> {
  const { fromLoginCredentials } = await import('@aws-sdk/credential-provider-login');
  const clientConfig = { ...(await clientConfigFor('sso_oidc')), region };
  externalDataInterceptor.interceptFile(MEMORY_FILE, `[profile one]\nlogin_session = ${session}\n`);
  try {
    return await fromLoginCredentials({
      configFilepath: MEMORY_FILE,
      filepath: NO_FILE,
      profile: 'one',
      clientConfig,
      logger: quietLogger,
    })();
  } catch (error) {
    throw providerFailed(`the sign-in of profile "${profile}"`, readFailure(error).message, {
      profile,
      hint: `Sign in with "aws login" for profile ${profile}.`,
    });
  }
}
