/**
 * Makes the SDK clients: region, credentials, profile and endpoint by the SDK's own chains, its retries off, and
 * connections as a data centre needs them (proxy, private CA).
 */
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { EBSClient } from '@aws-sdk/client-ebs';
import { ColdsnapError } from '../errors.ts';
import { version } from '../version.ts';
import { BoundedHandler } from './bounded-handler.ts';
import type { Deadlines, ServiceOptions } from './client-options.ts';
import { classify } from './errors.ts';

export type { Deadlines, ServiceOptions };

export const defaultDeadlines: Deadlines = { connectMs: 10_000, idleMs: 60_000 };
/** The longest time that a timer takes; what is longer would end at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The deadlines to keep, with what is left out as it is by default.
 * @throws ColdsnapError class `usage` unless both are from 1 to 2,147,483,647 ms
 */
export function checkDeadlines(deadlines: Partial<Deadlines> = {}): Deadlines {
  const checked = { ...defaultDeadlines, ...deadlines };
  for (const [name, ms] of Object.entries(checked)) {
    if (ms >= 1 && ms <= MAX_TIMER_MS) continue;
    throw new ColdsnapError(
      'usage',
      'BAD_DEADLINE',
      `${name} must be from 1 to ${MAX_TIMER_MS}, and not ${ms}`,
    );
  }
  return checked;
}

/** What every client of this program is configured with. */
export async function clientConfig(
  options: ServiceOptions,
  endpoint: string | undefined,
  connections: number,
  deadlines: Deadlines,
) {
  return {
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
    ...(endpoint === undefined ? {} : { endpoint: checkEndpoint(endpoint) }),
    // Our own policy retries around request, body and checks; a second one underneath would multiply the waiting.
    maxAttempts: 1,
    userAgentAppId: `coldsnap-${version}`,
    requestHandler: new BoundedHandler({
      connectionTimeout: deadlines.connectMs,
      socketTimeout: deadlines.idleMs,
      ...(await agents(connections)),
    }),
  };
}

/**
 * Makes the EBS client and finds out, before any request, whether region and credentials can be had.
 *
 * @param connections most requests in flight at once
 * @throws ColdsnapError class `config`: no region, no credentials, unreadable CA bundle; class `usage`: bad endpoint URL
 */
export async function connectEbs(
  options: ServiceOptions,
  connections: number,
  deadlines: Deadlines = defaultDeadlines,
): Promise<EBSClient> {
  const endpoint = options.ebsEndpoint ?? options.endpoint;
  const client = new EBSClient(await clientConfig(options, endpoint, connections, deadlines));
  await checkIdentity(client.config, options.profile);
  return client;
}

/**
 * Region and credentials come from chains that can end with nothing; better to hear it before anything is touched.
 *
 * @param profile the one that was named, if any: it is what was wrong then
 */
export async function checkIdentity(
  config: { region: () => Promise<string>; credentials: () => Promise<unknown> },
  profile?: string,
): Promise<void> {
  const context = { operation: 'Connecting to AWS' };
  try {
    await config.region();
    await config.credentials();
  } catch (error) {
    const failure = classify(error, context);
    if (profile === undefined || failure.code !== 'NO_CREDENTIALS') throw failure;
    throw failure.reclassified('config', `${failure.message} (profile "${profile}")`);
  }
}

function checkEndpoint(endpoint: string): string {
  const protocol = URL.canParse(endpoint) ? new URL(endpoint).protocol : '';
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new ColdsnapError('usage', 'BAD_ENDPOINT', `"${endpoint}" is not an endpoint URL`, {
      hint: 'Write it in full, for example https://ebs.eu-west-1.amazonaws.com.',
    });
  }
  // The SDK would put its own slash after a path's last one.
  return endpoint.replace(/\/+$/, '');
}

/** Whether HTTPS requests leave through a proxy, by the variables that curl and the AWS CLI read. */
export function proxyInUse(): boolean {
  return ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'].some(
    (name) => process.env[name],
  );
}

/** Whether requests to this URL leave through a proxy: the variables name one, and NO_PROXY does not except the host. */
export async function behindProxy(url: URL): Promise<boolean> {
  if (!proxyInUse()) return false;
  const { getProxyForUrl } = await import('proxy-from-env');
  return getProxyForUrl(url.href) !== '';
}

/** Made contexts, by what they were made of. */
const contexts = new Map<string, SecureContext>();

/**
 * What all TLS connections share: Node's certificate authorities with NODE_EXTRA_CA_CERTS, and those of AWS_CA_BUNDLE.
 * Reading a bundle costs 50 ms, so it is done once and not for each connection.
 * @throws ColdsnapError class `config`, code `CA_BUNDLE_UNREADABLE`
 */
export function tlsContext(): SecureContext {
  const bundle = process.env.AWS_CA_BUNDLE ?? '';
  const extra = process.env.NODE_EXTRA_CA_CERTS ?? '';
  const key = `${bundle}\n${extra}`;
  const made = contexts.get(key);
  if (made !== undefined) return made;
  const context = createSecureContext(bundle === '' ? {} : { ca: certificateAuthorities(bundle, extra) });
  contexts.set(key, context);
  return context;
}

function certificateAuthorities(bundle: string, extra: string): string[] {
  const authorities = [...rootCertificates, readAuthorities('AWS_CA_BUNDLE', bundle)];
  // Node adds these to its own list only, and that one is replaced here.
  if (extra !== '' && extra !== bundle) authorities.push(readAuthorities('NODE_EXTRA_CA_CERTS', extra));
  return authorities;
}

function readAuthorities(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ColdsnapError(
      'config',
      'CA_BUNDLE_UNREADABLE',
      `${variable} names ${path}, which cannot be read`,
      { path, cause },
    );
  }
}

async function agents(connections: number): Promise<{ httpAgent: HttpAgent; httpsAgent: HttpsAgent }> {
  const settings = {
    keepAlive: true,
    maxSockets: connections,
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
    secureContext: tlsContext(),
  };
  const direct = { httpAgent: new HttpAgent(settings), httpsAgent: new HttpsAgent(settings) };
  if (!proxyInUse()) return direct;
  const { ProxyAgent } = await import('proxy-agent');
  const tunnels = new ProxyAgent({ ...settings, ...direct });
  // A proxy for plain HTTP is told the whole URL, which the agent forgets on a connection that it uses again.
  const forwards = new ProxyAgent({ ...settings, ...direct, keepAlive: false });
  return { httpAgent: forwards as unknown as HttpAgent, httpsAgent: tunnels as unknown as HttpsAgent };
}
