import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { keepSession, type TlsSettings } from '../tls-settings.ts';
import type { Origin } from './origin.ts';

/**
 * Opens a TCP or TLS connection to the origin.
 * @param tls undefined for plain TCP; its `session` is updated
 * @param onConnect called when the connection, TLS included, is established
 */
export function openSocket(
  origin: Origin,
  tls: TlsSettings | undefined,
  onread: OnReadOpts,
  onConnect: () => void,
): Socket {
  const { host, port } = origin;
  const options = { host, port, noDelay: true, onread };
  if (tls === undefined) return connectTcp(options, onConnect);
  const socket = connectTls(
    {
      ...options,
      secureContext: tls.context,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(tls.session === undefined ? {} : { session: tls.session }),
    },
    onConnect,
  );
  keepSession(socket, tls);
  return socket;
}
