/** Connections through a proxy. Loaded only when a variable names one. */
import type { ClientRequest, Agent as HttpAgent } from 'node:http';
import type { AgentOptions, Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, TLSSocket } from 'node:tls';
import { Agent, type AgentConnectOpts } from 'agent-base';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { afterRunning } from '../../clock.ts';
import { limitConnection } from '../connect-limit.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';
import { proxyRefused, proxyUnreachable } from './proxy-messages.ts';
import { connectSocks } from './socks.ts';

type Open = (
  proxy: ProxySettings,
  request: ClientRequest,
  options: AgentConnectOpts,
  settings: AgentOptions & { signal: AbortSignal },
) => Promise<Socket>;

/** Sends each request directly or through the proxy of its URL. */
export class ProxySwitch extends Agent {
  readonly #settings: AgentOptions;
  readonly #direct: HttpAgent | HttpsAgent;
  readonly #connectMs: number;
  /** Connections that are being made. */
  readonly #pending = new Set<AbortController>();

  /** @param connectMs milliseconds to connect to the proxy and through it, and again for TLS with the service */
  constructor(settings: AgentOptions, direct: HttpAgent | HttpsAgent, connectMs: number) {
    super(settings);
    this.#settings = settings;
    this.#direct = direct;
    this.#connectMs = connectMs;
  }

  override async connect(request: ClientRequest, options: AgentConnectOpts): Promise<HttpAgent | Socket> {
    const { secureEndpoint, host = '', port } = options;
    const authority = host.includes(':') ? `[${host}]` : host;
    const proxy = proxyFor(new URL(`${secureEndpoint ? 'https' : 'http'}://${authority}:${port}`));
    if (proxy === undefined) return this.#direct;
    const pending = new AbortController();
    const { signal } = pending;
    const cancel = afterRunning(this.#connectMs, () => pending.abort());
    this.#pending.add(pending);
    try {
      const open = proxy.scheme.startsWith('socks') ? openSocks : secureEndpoint ? openTunnel : forward;
      const socket = await open(proxy, request, options, { ...this.#settings, signal });
      return socket instanceof TLSSocket ? limitConnection(socket, this.#connectMs) : socket;
    } catch (error) {
      throw signal.aborted ? proxyUnreachable(proxy, { code: 'ETIMEDOUT' }) : error;
    } finally {
      cancel();
      this.#pending.delete(pending);
    }
  }

  override destroy(): void {
    for (const pending of this.#pending) pending.abort();
    super.destroy();
  }
}

/** HTTPS through CONNECT. */
const openTunnel: Open = async (proxy, request, options, settings) => {
  let status = 200;
  request.once('proxyConnect', (reply: { statusCode: number }) => {
    status = reply.statusCode;
  });
  const agent = new HttpsProxyAgent(proxy.href, settings);
  const socket = await attribute(proxy, agent.connect(request, checked(options)));
  if (status === 200) return socket;
  // The package would pass on the proxy's reply as the service's.
  socket.destroy();
  throw proxyRefused(proxy, status);
};

/** Plain HTTP: the proxy gets the full URL, but only on a new connection. */
const forward: Open = (proxy, request, options, settings) => {
  // A proxy that rejects the request replies for itself.
  request.prependOnceListener('response', (reply) => {
    if (reply.statusCode === 407) request.destroy(proxyRefused(proxy, reply.statusCode));
  });
  const agent = new HttpProxyAgent(proxy.href, { ...settings, keepAlive: false });
  // The type names parts of the request that Node does not document.
  const rewritten = request as Parameters<typeof agent.connect>[0];
  return attribute(proxy, agent.connect(rewritten, options));
};

const openSocks: Open = async (proxy, _request, options, { signal }) => {
  const { host = '', port, secureEndpoint } = options;
  const socket = await connectSocks(proxy, { host, port: Number(port) }, signal);
  return secureEndpoint ? connectTls({ ...checked(options), socket }) : socket;
};

/** Without this, the certificate of an endpoint with an address is checked against the name of the proxy. */
function checked<O extends AgentConnectOpts>(options: O): O {
  const { host = '' } = options;
  return {
    ...options,
    checkServerIdentity: (_name: string, certificate) => checkServerIdentity(host, certificate),
  };
}

async function attribute(proxy: ProxySettings, connecting: Promise<Socket>): Promise<Socket> {
  try {
    return await connecting;
  } catch (error) {
    throw proxyUnreachable(proxy, error);
  }
}
