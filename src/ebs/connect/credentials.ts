/** Finds credentials in the order of botocore. Every provider is loaded on first use. */
import { type CredentialProvider, type Credentials, cached } from './cached.ts';
import { environmentKeys } from './keys.ts';
import { noCredentials } from './messages.ts';
import type { CredentialContext } from './profile-credentials.ts';
import { readSettings, type Settings } from './settings.ts';
import { readVariable } from './variables.ts';

/** Providers by what their result depends on: the clients of EBS and EC2 share one, so that MFA is asked for once. */
const shared = new Map<string, CredentialProvider>();
/** A process that uses more accounts than this asks again. */
const MAX_SHARED = 8;

/**
 * The credentials of the caller, found on the first call and kept until they must be renewed.
 * @param closed fires when the caller has gone: an MFA code that never comes must not keep the next from asking
 */
export function credentialProvider(context: CredentialContext, closed?: AbortSignal): CredentialProvider {
  const { settings, region } = context;
  const environment = Object.entries(process.env).filter(([name]) => /^AWS_|^HOME$|_proxy$/i.test(name));
  const key = JSON.stringify([settings, region, environment.sort()]);
  const known = shared.get(key);
  if (known !== undefined) return known;
  let current: Settings | undefined = settings;
  const provider = cached(async () => {
    // The files may have changed by the time of a renewal.
    const { explicit, profile } = settings;
    const latest = current ?? (await readSettings(explicit ? profile : undefined));
    try {
      const credentials = await findCredentials({ ...context, settings: latest });
      current = undefined;
      return credentials;
    } catch (error) {
      // The next caller may be able to ask for an MFA code, or the user may have signed in.
      if (current !== undefined) shared.delete(key);
      throw error;
    }
  });
  if (shared.size >= MAX_SHARED) shared.clear();
  shared.set(key, provider);
  const forget = () => {
    if (current !== undefined && shared.get(key) === provider) shared.delete(key);
  };
  closed?.addEventListener('abort', forget, { once: true });
  return provider;
}

/**
 * Keys in the environment (unless the caller chose a profile by option), the profile, a container's endpoint, the
 * instance. A provider that is configured but fails ends the search: the next would be another identity.
 */
async function findCredentials(context: CredentialContext): Promise<Credentials> {
  const { settings } = context;
  const reasons: string[] = [];
  if (!settings.explicit) {
    const keys = environmentKeys();
    if (keys !== undefined) return keys;
    reasons.push('no keys in the environment');
  }
  if (settings.profiles[settings.profile] !== undefined || readVariable('AWS_WEB_IDENTITY_TOKEN_FILE')) {
    const { fromProfile } = await import('./profile-credentials.ts');
    const found = await fromProfile(settings.profile, context);
    if (found !== undefined) return found;
    reasons.push(`none in profile "${settings.profile}"`);
  } else {
    reasons.push('no profile');
  }
  const { fromContainer, fromInstance } = await import('./metadata.ts');
  const ofContainer = await fromContainer();
  if (ofContainer !== undefined) return ofContainer;
  const ofInstance = await fromInstance(settings);
  if (typeof ofInstance !== 'string') return ofInstance;
  throw noCredentials([...reasons, ofInstance]);
}
