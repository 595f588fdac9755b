/**
 * Makes the SDK clients. Region, credentials, profile and endpoint come from the SDK's own chains; its retries are off;
 * connections support proxies and private CAs.
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

const defaultDeadlines: Deadlines = { connectMs: 10_000, idleMs: 60_000 };
/** The longest time that a timer accepts; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Checks deadlines and adds the default ones.
 * @throws ColdsnapError class `usage` unless both are from 1 to 2,147,483,647 ms
 */
export function checkDeadlines(deadlines: Partial<Deadlines> = {}): Deadlines {
  const checked = { ...defaultDeadlines, ...deadlines };
  for (const [name, ms] of Object.entries(checked)) {
    if (ms >= 1 && ms <= MAX_TIMER_MS) continue;
    throw new ColdsnapError('usage', 'BAD_DEADLINE', `${name} must be from 1 to ${MAX_TIMER_MS}, not ${ms}`);
  }
  return checked;
}

/** The configuration of every SDK client. */
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
    // RetryPolicy retries requests together with their checks; a second policy below it would multiply the waiting.
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
 * Makes the EBS client and checks for region and credentials before any request.
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
 * Checks that the SDK's chains provide a region and credentials, before anything is touched.
 *
 * @param profile the profile that the caller chose, named in the error
 * @throws ColdsnapError class `config`
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
  // The SDK adds its own slash after the path.
  return endpoint.replace(/\/+$/, '');
}

/** Whether a proxy is configured in the variables that curl and the AWS CLI read. */
function proxyInUse(): boolean {
  return ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'].some(
    (name) => process.env[name],
  );
}

/** Whether requests to this URL use a proxy: one is configured, and NO_PROXY does not exclude the host. */
export async function behindProxy(url: URL): Promise<boolean> {
  if (!proxyInUse()) return false;
  const { getProxyForUrl } = await import('proxy-from-env');
  return getProxyForUrl(url.href) !== '';
}

/** TLS contexts by the CA bundles they were made from. */
const contexts = new Map<string, SecureContext>();

/**
 * The TLS context of all connections. It trusts Node's certificate authorities and those in NODE_EXTRA_CA_CERTS and
 * AWS_CA_BUNDLE. Made once, because reading a bundle takes 50 ms.
 * @throws ColdsnapError class `config`, code `CA_BUNDLE_UNREADABLE`
 */
export function tlsContext(): SecureContext {
  const bundle = process.env.AWS_CA_BUNDLE ?? '';
  const extra = process.env.NODE_EXTRA_CA_CERTS ?? '';
  const key = `${bundle}\n${extra}`;
  const known = contexts.get(key);
  if (known !== undefined) return known;
  const context = createSecureContext(bundle === '' ? {} : { ca: certificateAuthorities(bundle, extra) });
  contexts.set(key, context);
  return context;
}

function certificateAuthorities(bundle: string, extra: string): string[] {
  const authorities = [...rootCertificates, readAuthorities('AWS_CA_BUNDLE', bundle)];
  // Node adds these only to its own list, which this one replaces.
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
    // Takes precedence over NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    secureContext: tlsContext(),
  };
  const direct = { httpAgent: new HttpAgent(settings), httpsAgent: new HttpsAgent(settings) };
  if (!proxyInUse()) return direct;
  const { ProxyAgent } = await import('proxy-agent');
  const tunnels = new ProxyAgent({ ...settings, ...direct });
  // For plain HTTP the agent sends the proxy the full URL, but only on a new connection.
  const forwards = new ProxyAgent({ ...settings, ...direct, keepAlive: false });
  return { httpAgent: forwards as unknown as HttpAgent, httpsAgent: tunnels as unknown as HttpsAgent };
}
