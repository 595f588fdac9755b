/** Failures without a reply of the service: no connection, a lost or stalled one, an untrusted certificate. */
import type { ColdsnapError } from '../errors.ts';
import { formatDuration } from '../text.ts';
import type { MakeError } from './errors.ts';
import type { Failure } from './failure.ts';
import { describeNetworkCode, hintForCertificate, isUntrusted } from './network-words.ts';

/** The endpoint is wrong or down; retried for a short time until the service has answered once. */
const unreachableCodes = new Set([
  'ENOTFOUND',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

/** By name, because those of Node.js may be of another realm. */
const faultNames = new Set(['TypeError', 'RangeError', 'ReferenceError']);

const lostCodes = new Set(['ECONNRESET', 'EPIPE']);

/** Whether the connection was lost or stalled, so that a reply may be incomplete. */
export function isBrokenOff({ name, code }: Failure): boolean {
  return name === 'TimeoutError' || lostCodes.has(code);
}

/** The class of a failure that is no reply of the service. */
export function classifyNetwork(failure: Failure, make: MakeError): ColdsnapError {
  const { name, message, code } = failure;
  if (/region is missing/i.test(message)) {
    return make('config', 'NO_REGION', 'needs a region', 'Set it in AWS_REGION or in the profile.');
  }
  const reason = describeNetworkCode(code);
  if (unreachableCodes.has(code)) {
    return make(
      'transient',
      'ENDPOINT_UNREACHABLE',
      `could not reach the endpoint${placeIn(message)}: ${reason}`,
      'Check the region, the endpoint and the network.',
    );
  }
  if (isUntrusted(code)) {
    const fact = `does not trust the endpoint: ${reason}`;
    return make('config', 'TLS_UNTRUSTED', fact, hintForCertificate(code));
  }
  if (isTlsMismatch(failure)) {
    const plain = /wrong version number|packet length too long/i.test(message);
    return make(
      'config',
      'TLS_MISMATCH',
      plain
        ? 'got an answer without TLS from the endpoint'
        : `could not agree on TLS with the endpoint (${tlsReason(code)})`,
      plain
        ? 'If the endpoint is meant to have no TLS, write its URL with http://.'
        : 'Check the endpoint, and any proxy or firewall before it.',
    );
  }
  // The SDK's handler names lost connections TimeoutError too.
  const stalled = name === 'TimeoutError' && !lostCodes.has(code);
  if (stalled || code === 'ETIMEDOUT') {
    return make('transient', 'STALLED', `stalled: ${code === '' ? describeTimeout(message) : reason}`);
  }
  if (faultNames.has(name)) {
    return make(
      'permanent',
      'INTERNAL_ERROR',
      `failed with an internal error: ${message}`,
      'This is a bug in coldsnap; please report it.',
    );
  }
  const cause = code === '' && message !== '' ? message : reason;
  return make('transient', 'CONNECTION_LOST', `lost its connection: ${cause}`);
}

/** The host or address that Node's texts end in. */
function placeIn(message: string): string {
  const [, place] = /\bE[A-Z_]+ ([\w.:[\]-]+)/.exec(message) ?? [];
  return place === undefined ? '' : ` ${place}`;
}

/** A TLS handshake that fails the same way every time, unlike damage on the way. */
function isTlsMismatch({ code, message }: Failure): boolean {
  if (code !== 'EPROTO' && !code.startsWith('ERR_SSL_')) return false;
  return !/bad.record.mac|decryption.failed/i.test(`${code} ${message}`);
}

/** `ERR_SSL_NO_SHARED_CIPHER` as `no shared cipher`. */
function tlsReason(code: string): string {
  return code
    .replace(/^ERR_SSL_/, '')
    .replaceAll('_', ' ')
    .toLowerCase();
}

/** Describes a timeout without the package and the settings that the SDK's texts name. */
function describeTimeout(message: string): string {
  const [, ms] = /^@smithy\/.*? (\d+) ms\b/.exec(message) ?? [];
  if (ms === undefined) return message;
  const what = message.includes('establish a connection') ? 'no connection' : 'no data';
  return `${what} within ${formatDuration(Number(ms))}`;
}
