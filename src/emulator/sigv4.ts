/** Verifies Signature Version 4. */

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ServiceError } from './errors.ts';
import type { Protocol } from './reply.ts';
import type { Settings } from './settings.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';
const SKEW_MS = 15 * 60_000;

interface SignedRequest {
  protocol: Protocol;
  operation: string;
  method: string;
  /** Path and query as received. */
  target: string;
  headers: IncomingHttpHeaders;
  /** Hex SHA-256 of the body. */
  bodyHash: () => string;
}

interface Authorization {
  accessKeyId: string;
  /** YYYYMMDD. */
  date: string;
  region: string;
  signedHeaders: string[];
  signature: string;
}

/** @throws ServiceError if the signature is missing, malformed, or (with known credentials) wrong */
export function checkSignature(settings: Settings, request: SignedRequest): void {
  const authorization = readAuthorization(settings, request);
  const timestamp = request.headers['x-amz-date'];
  if (
    typeof timestamp !== 'string' ||
    !/^\d{8}T\d{6}Z$/.test(timestamp) ||
    !timestamp.startsWith(authorization.date)
  ) {
    throw refusal(
      request.protocol,
      'incomplete',
      'x-amz-date is missing, malformed, or not on the date of the credential scope.',
    );
  }
  const mustBeSigned = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-amz-'),
  );
  for (const name of mustBeSigned) {
    if (!authorization.signedHeaders.includes(name)) {
      throw refusal(request.protocol, 'incomplete', `The header '${name}' must be signed.`);
    }
  }
  const payloadHash = checkPayloadHash(settings, request);
  if (settings.credentials === undefined) return;
  const known = settings.credentials.get(authorization.accessKeyId);
  if (known === undefined || request.headers['x-amz-security-token'] !== known.sessionToken) {
    throw refusal(request.protocol, 'unknown-key', 'The security token included in the request is invalid.');
  }
  const signedAt = Date.parse(timestamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!(Math.abs(settings.now() - signedAt) <= SKEW_MS)) {
    throw refusal(
      request.protocol,
      'expired',
      `Signature expired: ${timestamp} is too far from the server's time.`,
    );
  }
  const expected = sign(authorization, known.secretAccessKey, timestamp, request, payloadHash);
  if (!timingSafeEqual(Buffer.from(expected, 'hex'), Buffer.from(authorization.signature, 'hex'))) {
    throw refusal(
      request.protocol,
      'mismatch',
      'The request signature we calculated does not match the signature you provided.',
    );
  }
}

function readAuthorization(settings: Settings, request: SignedRequest): Authorization {
  const { authorization } = request.headers;
  if (authorization === undefined) throw refusal(request.protocol, 'missing', 'Missing Authentication Token');
  const match =
    /^AWS4-HMAC-SHA256 +Credential=([^/,\s]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request, *SignedHeaders=([a-z0-9;-]+), *Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (match === null) {
    throw refusal(
      request.protocol,
      'incomplete',
      'The Authorization header is not a well-formed SigV4 signature.',
    );
  }
  const [, accessKeyId, date, region, service, signedHeaders, signature] = match as unknown as string[];
  if (service !== request.protocol) {
    const message = `Credential should be scoped to the service '${request.protocol}', not '${service}'.`;
    throw refusal(request.protocol, 'scope', message);
  }
  if (settings.regionGiven && region !== settings.region) {
    throw refusal(
      request.protocol,
      'scope',
      `Credential should be scoped to the Region '${settings.region}', not '${region}'.`,
    );
  }
  const names = signedHeaders!.split(';');
  return {
    accessKeyId: accessKeyId!,
    date: date!,
    region: region!,
    signedHeaders: names,
    signature: signature!,
  };
}

/** Checks and returns the signed payload hash. */
function checkPayloadHash(settings: Settings, request: SignedRequest): string {
  const claimed = request.headers['x-amz-content-sha256'];
  if (claimed === undefined) return settings.credentials === undefined ? '' : request.bodyHash();
  if (typeof claimed !== 'string')
    throw refusal(request.protocol, 'payload', 'x-amz-content-sha256 was sent twice.');
  if (claimed === 'UNSIGNED-PAYLOAD' && request.operation === 'PutSnapshotBlock') return claimed;
  if (!/^[0-9a-f]{64}$/.test(claimed)) {
    throw refusal(request.protocol, 'payload', 'x-amz-content-sha256 must be a hex SHA-256.');
  }
  if (settings.credentials !== undefined && claimed !== request.bodyHash()) {
    throw refusal(request.protocol, 'payload', 'x-amz-content-sha256 does not match the body.');
  }
  return claimed;
}

function sign(
  authorization: Authorization,
  secret: string,
  timestamp: string,
  request: SignedRequest,
  payloadHash: string,
): string {
  const { date, region, signedHeaders } = authorization;
  const [path = '', query = ''] = splitTarget(request.target);
  const canonical = [
    request.method,
    path.split('/').map(encode).join('/'),
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${canonicalValue(request.headers, name)}`),
    '',
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
  const scope = `${date}/${region}/${request.protocol}/aws4_request`;
  const text = [ALGORITHM, timestamp, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const key = [date, region, request.protocol, 'aws4_request'].reduce<string | Buffer>(
    (last, part) => createHmac('sha256', last).update(part).digest(),
    `AWS4${secret}`,
  );
  return createHmac('sha256', key).update(text).digest('hex');
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?');
  return mark === -1 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}

function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((pair) => {
      const mark = pair.indexOf('=');
      const [name, value] = mark === -1 ? [pair, ''] : [pair.slice(0, mark), pair.slice(mark + 1)];
      return [encode(decode(name)), encode(decode(value))] as const;
    })
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function canonicalValue(headers: IncomingHttpHeaders, name: string): string {
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined;
  return [value ?? ''].flat().join(',').trim().replace(/ +/g, ' ');
}

type Refusal = 'missing' | 'incomplete' | 'scope' | 'unknown-key' | 'expired' | 'mismatch' | 'payload';

const refusals: Record<Protocol, Record<Refusal, [number, string]>> = {
  ebs: {
    missing: [403, 'MissingAuthenticationTokenException'],
    incomplete: [403, 'IncompleteSignatureException'],
    scope: [403, 'InvalidSignatureException'],
    'unknown-key': [403, 'UnrecognizedClientException'],
    expired: [403, 'InvalidSignatureException'],
    mismatch: [403, 'InvalidSignatureException'],
    payload: [403, 'InvalidSignatureException'],
  },
  ec2: {
    missing: [403, 'MissingAuthenticationToken'],
    incomplete: [400, 'IncompleteSignature'],
    scope: [401, 'AuthFailure'],
    'unknown-key': [401, 'AuthFailure'],
    expired: [400, 'RequestExpired'],
    mismatch: [403, 'SignatureDoesNotMatch'],
    payload: [403, 'SignatureDoesNotMatch'],
  },
};

function refusal(protocol: Protocol, kind: Refusal, message: string): ServiceError {
  const [status, code] = refusals[protocol][kind];
  return new ServiceError(status, code, message);
}
