/** Connections through a proxy. Loaded only when a variable names one. */
import type { ClientRequest, Agent as HttpAgent } from 'node:http';
import type { AgentOptions, Agent as HttpsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import { Agent, type AgentConnectOpts } from 'agent-base';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import { limitHandshakes } from '../handshake-limit.ts';
import { proxyRefused, proxyUnreachable } from './messages.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';

/** Sends each request directly or through the proxy of its URL. */
export class ProxySwitch extends Agent {
  readonly #settings: AgentOptions;
  readonly #direct: HttpAgent | HttpsAgent;
  readonly #agents = new Map<string, Agent>();

  readonly #connectMs: number;

  /** @param connectMs milliseconds to establish a TLS connection through the proxy */
  constructor(settings: AgentOptions, direct: HttpAgent | HttpsAgent, connectMs: number) {
    super(settings);
    this.#connectMs = connectMs;
    this.#settings = settings;
    this.#direct = direct;
  }

  override async connect(_request: ClientRequest, options: AgentConnectOpts): Promise<HttpAgent | Duplex> {
    const { secureEndpoint, host = '', port } = options;
    const authority = host.includes(':') ? `[${host}]` : host;
    const proxy = proxyFor(new URL(`${secureEndpoint ? 'https' : 'http'}://${authority}:${port}`));
    if (proxy === undefined) return this.#direct;
    const key = `${secureEndpoint} ${proxy.href}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = limitHandshakes(this.#makeAgent(proxy, secureEndpoint), this.#connectMs);
      this.#agents.set(key, agent);
    }
    return agent;
  }

  #makeAgent(proxy: ProxySettings, secure: boolean): Agent {
    if (proxy.scheme.startsWith('socks')) return new Socks(proxy, this.#settings);
    return secure ? new Tunnel(proxy, this.#settings) : new Forward(proxy, this.#settings);
  }

  override destroy(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    super.destroy();
  }
}

/** HTTPS through CONNECT. */
class Tunnel extends HttpsProxyAgent<string> {
  readonly #proxy: ProxySettings;

  constructor(proxy: ProxySettings, settings: AgentOptions) {
    super(proxy.href, settings);
    this.#proxy = proxy;
  }

  override async connect(...[request, options]: Parameters<HttpsProxyAgent<string>['connect']>) {
    let status = 200;
    request.once('proxyConnect', (reply: { statusCode: number }) => {
      status = reply.statusCode;
    });
    const socket = await attribute(this.#proxy, () => super.connect(request, options));
    if (status === 200) return socket;
    // The package would pass on the proxy's reply as the service's.
    socket.destroy();
    throw proxyRefused(this.#proxy, status);
  }
}

/** Plain HTTP: the proxy gets the full URL, but only on a new connection. */
class Forward extends HttpProxyAgent<string> {
  readonly #proxy: ProxySettings;

  constructor(proxy: ProxySettings, settings: AgentOptions) {
    super(proxy.href, { ...settings, keepAlive: false });
    this.#proxy = proxy;
  }

  override async connect(...[request, options]: Parameters<HttpProxyAgent<string>['connect']>) {
    // A proxy that rejects the request replies for itself.
    request.prependOnceListener('response', (reply) => {
      if (reply.statusCode === 407) request.destroy(proxyRefused(this.#proxy, reply.statusCode));
    });
    return attribute(this.#proxy, () => super.connect(request, options));
  }
}

class Socks extends SocksProxyAgent {
  readonly #proxy: ProxySettings;

  constructor(proxy: ProxySettings, settings: AgentOptions) {
    super(proxy.href, settings);
    this.#proxy = proxy;
  }

  override async connect(...[request, options]: Parameters<SocksProxyAgent['connect']>) {
    return attribute(this.#proxy, () => super.connect(request, options));
  }
}

async function attribute<T>(proxy: ProxySettings, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (error) {
    throw proxyUnreachable(proxy, error);
  }
}
