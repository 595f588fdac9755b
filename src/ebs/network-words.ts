/** Words for the codes of failed connections, instead of the texts of Node and OpenSSL. */
import { describeErrno } from '../errno.ts';

const words: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired; check the clock',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet; check the clock',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed',
  EAI_AGAIN: 'the name servers do not answer',
  ECONNABORTED: 'the connection was closed',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was closed by the other side',
  EADDRNOTAVAIL: 'no local address for the connection',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'unknown host name',
  EPIPE: 'the connection was closed by the other side',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host',
  HPE_HEADER_OVERFLOW: 'the headers of the reply are too long',
  ETIMEDOUT: 'no answer in time',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate chain ends in an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'the certificate is from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the certificate is from an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate is from an unknown authority',
};

/** A description of a code of Node, OpenSSL or the system, without a full stop. */
export function describeNetworkCode(code: string): string {
  const known = words[code];
  if (known !== undefined) return known;
  if (code.startsWith('HPE_')) return `the reply is not valid HTTP (${code})`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
    return 'the other side does not speak TLS as expected';
  return code === '' ? 'no reason given' : describeErrno(code);
}

/** Whether a code says that a certificate was refused. */
export function isUntrusted(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|ERR_TLS/.test(code);
}

/** The remedy for a certificate that was refused. */
export function hintForCertificate(code: string): string {
  if (/HAS_EXPIRED|NOT_YET_VALID/.test(code))
    return 'If the clock of this machine is right, the certificate has to be renewed.';
  return /ALTNAME/.test(code)
    ? 'Check the host name. A proxy or a firewall may answer in its place.'
    : 'Set AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS to the certificate of the private CA.';
}
