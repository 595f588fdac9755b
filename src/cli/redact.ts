/** Removes secrets from text before it is printed on stderr. */

/** Without blanks, so that a sentence about a token stays readable. */
const secretNames = [
  '(?:session|security|block|page|next|metadata|access|refresh|identity|id|auth|bearer)[-_]?token',
  'secret[-_]?(?:access[-_]?)?key',
  'client[-_]?secret',
  'x-amz-credential',
  'signature',
  'passphrase',
  'passw(?:or)?d',
].join('|');
/** Headers whose values contain blanks, commas and quotes. */
const secretHeaders = '(?:proxy-)?authorization|(?:set-)?cookie';

/** As JSON, also inside a JSON string, util.inspect, a query, XML, an ini file or a list of headers has it. */
const separator = String.raw`(?:(?:\\*["'\`]|%22)*\s*(?:=>|[:=>]|%3A|%3D)\s*|\\*["']\s*,\s*(?=\\*["']))`;
const quoted = String.raw`\\+"[\s\S]*?(?:\\+"|$)|\\+'[\s\S]*?(?:\\+'|$)|"(?:\\[\s\S]|[^"\\])*"?|'(?:\\[\s\S]|[^'\\])*'?|\`[^\`]*\`?`;
const namedSecret = new RegExp(
  String.raw`((?:${secretNames})${separator})(${quoted}|[^\s"',;&)}\]<]+)`,
  'gi',
);
const secretHeader = new RegExp(String.raw`((?:${secretHeaders})${separator})(${quoted}|[^\n<]+)`, 'gi');
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const queryString = /(\?)[\w.~%-]+=[^\s"'<>)]*/g;
const userInUrl = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s"'<>]*@/gi;
const accessKeyId = /\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g;

const placeholder = '[redacted]';
const secretVariables = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CONTAINER_AUTHORIZATION_TOKEN'];

/**
 * Replaces block and page tokens, credentials, URL query strings and user names in URLs. Secrets of the environment are
 * replaced wherever they occur, also when they are escaped.
 */
export function redact(text: string, env: Readonly<Record<string, string | undefined>> = {}): string {
  let clean = text;
  for (const name of secretVariables) {
    const value = env[name];
    // A short value ("test") would match ordinary words; no real secret is that short.
    if (value === undefined || value.length < 12) continue;
    for (const form of [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)])
      clean = clean.replaceAll(form, placeholder);
  }
  return clean
    .replace(privateKey, placeholder)
    .replace(secretHeader, `$1${placeholder}`)
    .replace(namedSecret, `$1${placeholder}`)
    .replace(queryString, `$1${placeholder}`)
    .replace(userInUrl, `$1${placeholder}@`)
    .replace(accessKeyId, placeholder);
}
