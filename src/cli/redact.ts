/** Keeps secrets out of everything that is printed. The last step before text reaches stderr. */

/** Longest names first, so that a longer name is not cut by a shorter one. */
const secretNames = [
  'x-amz-security-token',
  'x-amz-credential',
  'x-amz-signature',
  'aws_secret_access_key',
  'aws_session_token',
  'secretaccesskey',
  'secondblocktoken',
  'firstblocktoken',
  'authorization',
  'sessiontoken',
  'blocktoken',
  'pagetoken',
  'nexttoken',
  'password',
].join('|');

/** `name: value`, `"name": "value"`, `name=value`; an authorization header's value has blanks and commas in it. */
const namedSecret = new RegExp(
  String.raw`(["']?\b(?:${secretNames})["']?\s*[:=]\s*)("[^"]*"|'[^']*'|AWS4-HMAC-SHA256[^\n]*|Bearer \S+|[^\s"',;&)}\]]+)`,
  'gi',
);
const queryString = /(\?)[\w.~%-]+=[^\s"'<>)]*/g;
const userInUrl = /(\bhttps?:\/\/)[^\s/@"']+@/gi;
const accessKeyId = /\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g;

const mark = '[redacted]';
const secretVariables = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CONTAINER_AUTHORIZATION_TOKEN'];

/**
 * Returns the text without block and page tokens, credentials, URL query strings and user names in URLs.
 * The values of the environment's secrets are taken out wherever they stand.
 */
export function redact(text: string, env: Readonly<Record<string, string | undefined>> = {}): string {
  let clean = text;
  for (const name of secretVariables) {
    const value = env[name];
    // A very short value ("test") would turn ordinary words into marks; no real secret is that short.
    if (value !== undefined && value.length >= 12) clean = clean.replaceAll(value, mark);
  }
  return clean
    .replace(namedSecret, (_whole, name: string) => name + mark)
    .replace(queryString, `$1${mark}`)
    .replace(userInUrl, `$1${mark}@`)
    .replace(accessKeyId, mark);
}
