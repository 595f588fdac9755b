/** Connections through a SOCKS proxy. */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { isIP, connect as netConnect, type Socket } from 'node:net';
import { SocksClient, SocksClientError } from 'socks';
import type { ProxySettings } from './proxy.ts';
import { proxyFailed, proxyForbids, proxyLoginRefused, proxyUnreachable } from './proxy-messages.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Versions 4 and 5 get an address, 4a and 5h the name: as in curl, for which "socks" is version 4. */
const namesArePassedOn = (scheme: string): boolean => scheme === 'socks4a' || scheme === 'socks5h';
const versionOf = (scheme: string): 4 | 5 => (scheme.startsWith('socks5') ? 5 : 4);

/**
 * Connects to a place through the proxy.
 * @param signal closes the connection; for use until it is made
 * @throws ColdsnapError `PROXY_REFUSED`, `PROXY_UNREACHABLE`
 */
export async function connectSocks(
  proxy: ProxySettings,
  { host, port }: Place,
  signal: AbortSignal,
): Promise<Socket> {
  const { hostname, port: proxyPort, username, password } = new URL(proxy.href);
  const type = versionOf(proxy.scheme);
  const socket = netConnect({ host: withoutBrackets(hostname), port: Number(proxyPort), signal });
  try {
    await once(socket, 'connect');
    const address = namesArePassedOn(proxy.scheme) || isIP(host) !== 0 ? host : await addressOf(host, type);
    await SocksClient.createConnection({
      command: 'connect',
      destination: { host: address, port },
      existing_socket: socket,
      proxy: {
        host: hostname,
        port: Number(proxyPort),
        type,
        userId: decodeURIComponent(username),
        password: decodeURIComponent(password),
      },
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw describe(proxy, error);
  }
}

/** Version 4 knows no addresses of IPv6. */
async function addressOf(host: string, version: 4 | 5): Promise<string> {
  const { address } = await lookup(host, version === 4 ? { family: 4 } : {});
  return address;
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** Meanings of the answers of a proxy, which the package has in its texts alone. */
const failures: Readonly<Record<string, string>> = {
  AddressNotSupported: 'kind of address not supported',
  ConnectionRefused: 'connection refused',
  HostUnreachable: 'no route to the host',
  NetworkUnreachable: 'no route to the network',
  TTLExpired: 'no answer in time',
};

function describe(proxy: ProxySettings, error: unknown): Error {
  if (!(error instanceof SocksClientError)) return proxyUnreachable(proxy, error);
  const { message } = error;
  if (/no accepted authentication|authentication failed|RejectedIdent/i.test(message)) {
    return proxyLoginRefused(proxy);
  }
  // An answer that the package does not know is "undefined" in its text.
  const [, answer = 'undefined'] = /rejected connection\W+(\w+)/i.exec(message) ?? [];
  if (answer !== 'undefined') {
    if (answer === 'NotAllowed') return proxyForbids(proxy, 'not allowed by its rules');
    return proxyFailed(proxy, failures[answer] ?? 'no reason given');
  }
  const closed = message === 'Socket closed';
  return proxyUnreachable(
    proxy,
    closed ? { code: 'ECONNRESET' } : error,
    'it does not answer as a SOCKS proxy',
  );
}
