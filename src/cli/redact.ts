/** Removes secrets from text before it is printed on stderr. */

/** Longest names first, so that a shorter one does not match part of a longer one. */
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

/** `name: value`, `"name": "value"`, `name=value`; the value of an authorization header contains blanks and commas. */
const namedSecret = new RegExp(
  String.raw`(["']?\b(?:${secretNames})["']?\s*[:=]\s*)("[^"]*"|'[^']*'|AWS4-HMAC-SHA256[^\n]*|Bearer \S+|[^\s"',;&)}\]]+)`,
  'gi',
);
const queryString = /(\?)[\w.~%-]+=[^\s"'<>)]*/g;
const userInUrl = /(\bhttps?:\/\/)[^\s/@"']+@/gi;
const accessKeyId = /\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g;

const placeholder = '[redacted]';
const secretVariables = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CONTAINER_AUTHORIZATION_TOKEN'];

/**
 * Replaces block and page tokens, credentials, URL query strings and user names in URLs. Secrets of the environment are
 * replaced wherever they occur.
 */
export function redact(text: string, env: Readonly<Record<string, string | undefined>> = {}): string {
  let clean = text;
  for (const name of secretVariables) {
    const value = env[name];
    // A short value ("test") would match ordinary words; no real secret is that short.
    if (value !== undefined && value.length >= 12) clean = clean.replaceAll(value, placeholder);
  }
  return clean
    .replace(namedSecret, (_whole, name: string) => name + placeholder)
    .replace(queryString, `$1${placeholder}`)
    .replace(userInUrl, `$1${placeholder}@`)
    .replace(accessKeyId, placeholder);
}
