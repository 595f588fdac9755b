/** Keys that are written down: in the environment or in a profile. */
import type { Credentials } from './cached.ts';
import { credentialsExpired, noCredentials, profileInvalid } from './messages.ts';
import type { Section } from './settings.ts';
import { readVariable } from './variables.ts';

/** @throws ColdsnapError when there is only half of a key */
export function environmentKeys(): Credentials | undefined {
  const accessKeyId = readVariable('AWS_ACCESS_KEY_ID');
  const secretAccessKey = readVariable('AWS_SECRET_ACCESS_KEY');
  // botocore looks further, too, when only the secret is set.
  if (accessKeyId === undefined) return undefined;
  if (secretAccessKey === undefined) {
    throw noCredentials(['AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY']);
  }
  const sessionToken = readVariable('AWS_SESSION_TOKEN') ?? readVariable('AWS_SECURITY_TOKEN');
  const expiry = readVariable('AWS_CREDENTIAL_EXPIRATION');
  const expiration = expiry === undefined ? undefined : new Date(expiry);
  if (expiration !== undefined && Number.isNaN(expiration.getTime())) {
    throw noCredentials([`AWS_CREDENTIAL_EXPIRATION is not a time: "${expiry}"`]);
  }
  return checkExpiry('the environment', {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration }),
  });
}

/** @throws ColdsnapError code `CREDENTIALS_EXPIRED` */
export function checkExpiry(provider: string, credentials: Credentials): Credentials {
  const { expiration } = credentials;
  if (expiration !== undefined && expiration.getTime() <= Date.now()) {
    throw credentialsExpired(provider, expiration);
  }
  return credentials;
}

/** @throws ColdsnapError code `PROFILE_INVALID` when there is only half of a key */
export function profileKeys(name: string, section: Section | undefined): Credentials | undefined {
  const accessKeyId = section?.aws_access_key_id;
  const secretAccessKey = section?.aws_secret_access_key;
  // A key that is written but empty counts: without it the next source would be another identity.
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (!accessKeyId && !secretAccessKey) throw profileInvalid(name, 'has an empty key');
  if (!accessKeyId) throw profileInvalid(name, 'has aws_secret_access_key but no aws_access_key_id');
  if (!secretAccessKey) throw profileInvalid(name, 'has aws_access_key_id but no aws_secret_access_key');
  const sessionToken = section?.aws_session_token || section?.aws_security_token;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}
