import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import type { Origin } from './origin.ts';

/** TLS settings shared by all connections: a new context costs more than a handshake. */
export interface TlsSettings {
  readonly context: SecureContext;
  /** Session of an earlier connection, to resume. */
  session: Buffer | undefined;
}

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
  socket.on('session', (session: Buffer) => {
    tls.session = session;
  });
  return socket;
}
