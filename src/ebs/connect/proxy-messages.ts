/** The errors of proxies. */
import { ColdsnapError } from '../../errors.ts';
import { describeNetworkCode, hintForCertificate, isUntrusted } from '../network-words.ts';
import { configError } from './messages.ts';
import type { ProxySettings } from './proxy.ts';

/** The value is not shown because it may have a password. */
export function badProxy(variable: string, problem: string): ColdsnapError {
  return configError('BAD_PROXY', `the proxy in ${variable} ${problem}`, {
    hint: 'Write it as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT.',
  });
}

/** @param reason for a cause without a code */
export function proxyUnreachable(
  { name, variable }: ProxySettings,
  cause: unknown,
  reason = 'no reason given',
): ColdsnapError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  if (isUntrusted(code)) {
    const message = `does not trust the proxy ${name} (${variable}): ${describeNetworkCode(code)}`;
    return configError('TLS_UNTRUSTED', message, { hint: hintForCertificate(code), cause });
  }
  return new ColdsnapError(
    'transient',
    'PROXY_UNREACHABLE',
    `could not connect through the proxy ${name} (${variable}): ${code === '' ? reason : describeNetworkCode(code)}`,
    { hint: `Check ${variable}, or list the host in NO_PROXY.`, cause },
  );
}

/** The error for a reply of an HTTP proxy. */
export function proxyRefused(proxy: ProxySettings, httpStatus: number): ColdsnapError {
  if (httpStatus === 407) return proxyLoginRefused(proxy, httpStatus);
  const reason = `HTTP ${httpStatus}`;
  return httpStatus < 500 ? proxyForbids(proxy, reason, httpStatus) : proxyFailed(proxy, reason, httpStatus);
}

export function proxyLoginRefused(
  { name, variable, scheme, hasLogin }: ProxySettings,
  httpStatus?: number,
): ColdsnapError {
  const status = httpStatus === undefined ? '' : ` (HTTP ${httpStatus})`;
  const does = hasLogin ? 'does not accept the user and password' : 'asks for a user and password';
  return configError('PROXY_REFUSED', `the proxy ${name} (${variable}) ${does}${status}`, {
    hint: `${hasLogin ? 'Check' : 'Add'} them: ${variable}=${scheme}://USER:PASSWORD@HOST:PORT`,
    httpStatus,
  });
}

export function proxyForbids(
  { name, variable }: ProxySettings,
  reason: string,
  httpStatus?: number,
): ColdsnapError {
  return configError('PROXY_REFUSED', `the proxy ${name} (${variable}) refused the connection (${reason})`, {
    hint: 'Allow the endpoint in the proxy, or list the host in NO_PROXY.',
    httpStatus,
  });
}

export function proxyFailed(
  { name, variable }: ProxySettings,
  reason: string,
  httpStatus?: number,
): ColdsnapError {
  const message = `the proxy ${name} (${variable}) could not reach the endpoint (${reason})`;
  return new ColdsnapError('transient', 'PROXY_UNREACHABLE', message, {
    hint: 'Check the region, the endpoint and the proxy.',
    httpStatus,
  });
}
