/** Limits the time that a connection of the SDK's handler takes, TLS included. The handler itself would limit TCP alone. */
import type { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { afterRunning } from '../clock.ts';
import { timeoutError } from './failure.ts';
import { keepSession, type TlsSettings } from './tls-settings.ts';

type Connect = (...args: unknown[]) => Duplex;

/**
 * Makes connections of one of Node's agents fail unless they are established within `ms` milliseconds, with the error that
 * the SDK's handler takes for a timeout. Their sessions are kept in `tls`.
 */
export function limitConnections<A extends Agent>(agent: A, ms: number, tls?: TlsSettings): A {
  // Not in the types of Node.
  const methods = agent as unknown as { createConnection: Connect };
  const connect = methods.createConnection;
  methods.createConnection = (...args) => {
    const socket = connect.apply(agent, args);
    if (tls !== undefined && socket instanceof TLSSocket) keepSession(socket, tls);
    return limitConnection(socket, ms);
  };
  return agent;
}

/** As {@link limitConnections}, for one connection that is being made. */
export function limitConnection<S extends Duplex>(socket: S, ms: number): S {
  const stop = () => void socket.destroy(timeoutError(`no connection within ${ms / 1000} s`));
  const cancel = afterRunning(ms, stop);
  socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', cancel);
  socket.once('close', cancel);
  return socket;
}
