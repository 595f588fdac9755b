/** Failures without a reply of the service: no connection, a lost or stalled one, an untrusted certificate. */
import type { ColdsnapError } from '../errors.ts';
import type { MakeError } from './errors.ts';
import type { Failure } from './failure.ts';

/** The endpoint is wrong or down; retried for a short time until the service has answered once. */
const unreachableCodes = new Set([
  'ENOTFOUND',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

const lostCodes = new Set(['ECONNRESET', 'EPIPE']);

/** Whether the connection was lost or stalled, so that a reply may be incomplete. */
export function isBrokenOff({ name, code }: Failure): boolean {
  return name === 'TimeoutError' || lostCodes.has(code);
}

/** The class of a failure that is no reply of the service. */
export function classifyNetwork(failure: Failure, make: MakeError): ColdsnapError {
  const { name, message, code, thrown } = failure;
  if (/region is missing/i.test(message)) {
    return make('config', 'NO_REGION', 'needs a region', 'Set it in AWS_REGION or in the profile.');
  }
  if (unreachableCodes.has(code)) {
    return make(
      'transient',
      'ENDPOINT_UNREACHABLE',
      `could not reach the endpoint: ${message}`,
      'Check the region, the endpoint and the network.',
    );
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|ERR_TLS/.test(code)) {
    return make(
      'config',
      'TLS_UNTRUSTED',
      `does not trust the endpoint's certificate: ${message}`,
      'Set AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS to the certificate of the private CA.',
    );
  }
  // The SDK's handler names lost connections TimeoutError too.
  const stalled = name === 'TimeoutError' && !lostCodes.has(code);
  if (stalled || code === 'ETIMEDOUT') return make('transient', 'STALLED', `stalled: ${message}`);
  if (thrown instanceof TypeError || thrown instanceof RangeError || thrown instanceof ReferenceError) {
    return make(
      'permanent',
      'INTERNAL_ERROR',
      `failed with an internal error: ${message}`,
      'This is a bug in coldsnap; please report it.',
    );
  }
  return make('transient', 'CONNECTION_LOST', `lost its connection: ${message || code || 'no reason given'}`);
}
