/** Limits the time that a connection of the SDK's handler takes, TLS included; the handler itself limits TCP alone. */
import type { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { afterRunning } from '../clock.ts';
import { timeoutError } from './failure.ts';

type Connect = (...args: unknown[]) => unknown;

/**
 * Makes connections of the agent fail unless they are established within `ms` milliseconds, with the error that the SDK's
 * handler takes for a timeout.
 */
export function limitHandshakes<A extends Agent>(agent: A, ms: number): A {
  // A proxy agent has `connect`, which returns a promise of a socket; Node's agents have `createConnection`.
  const methods = agent as unknown as { connect?: Connect; createConnection: Connect };
  const name = methods.connect === undefined ? 'createConnection' : 'connect';
  const connect = methods[name] as Connect;
  methods[name] = (...args) => {
    const connection = connect.apply(agent, args);
    if (connection instanceof Promise) return connection.then((socket) => limited(socket, ms));
    return limited(connection, ms);
  };
  return agent;
}

function limited<S>(socket: S, ms: number): S {
  if (!(socket instanceof TLSSocket)) return socket;
  const stop = () => void (socket as Duplex).destroy(timeoutError(`no connection within ${ms / 1000} s`));
  const cancel = afterRunning(ms, stop);
  socket.once('secureConnect', cancel);
  socket.once('close', cancel);
  return socket;
}
