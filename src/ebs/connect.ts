/** Makes the SDK clients, from options, environment and configuration files. The SDK's own retries are off. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { EBSClient } from '@aws-sdk/client-ebs';
import { ColdsnapError } from '../errors.ts';
import { version } from '../version.ts';
import { BoundedHandler } from './bounded-handler.ts';
import type { Deadlines, ServiceOptions } from './client-options.ts';
import { tlsContext } from './connect/certificates.ts';
import { credentialProvider } from './connect/credentials.ts';
import { resolveEndpoint, type ServiceName } from './connect/endpoint.ts';
import { quietLogger } from './connect/logger.ts';
import { providerFailed } from './connect/messages.ts';
import { proxyConfigured } from './connect/proxy.ts';
import { resolveRegion } from './connect/region.ts';
import { profileKey, readSettings, readSwitch, type Settings } from './connect/settings.ts';
import { limitConnections } from './connect-limit.ts';
import { classify } from './errors.ts';
import { readFailure } from './failure.ts';
import { setCredentialProvider } from './sdk-call.ts';
import type { TlsSettings } from './tls-settings.ts';

export type { Deadlines, ServiceOptions };

const defaultDeadlines: Deadlines = { connectMs: 10_000, idleMs: 60_000 };
/** The longest time that a timer accepts; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Checks deadlines and adds the default ones.
 * @throws ColdsnapError class `usage` unless both are from 1 to 2,147,483,647 ms
 */
export function checkDeadlines(deadlines: Partial<Deadlines> = {}): Deadlines {
  const { connectMs = defaultDeadlines.connectMs, idleMs = defaultDeadlines.idleMs } = deadlines;
  const checked = { connectMs, idleMs };
  for (const [name, ms] of Object.entries(checked)) {
    if (ms >= 1 && ms <= MAX_TIMER_MS) continue;
    throw new ColdsnapError('usage', 'BAD_DEADLINE', `${name} must be from 1 to ${MAX_TIMER_MS}, not ${ms}`);
  }
  return checked;
}

/** Configures a client, except for region and credentials; clients that fetch credentials need no more. */
async function baseConfig(
  service: ServiceName,
  endpointOption: string | undefined,
  settings: Settings,
  connections: number,
  deadlines: Deadlines,
) {
  const endpoint = resolveEndpoint(service, endpointOption, settings);
  const caBundle = profileKey(settings, 'ca_bundle');
  const tls: TlsSettings | undefined = endpoint?.startsWith('http:')
    ? undefined
    : { context: tlsContext(caBundle), session: undefined };
  return {
    // The SDK would look for endpoints itself, in other profiles.
    ...(endpoint === undefined ? { ignoreConfiguredEndpointUrls: true } : { endpoint }),
    defaultsMode: 'standard' as const,
    retryMode: 'standard',
    useFipsEndpoint: readSwitch(settings, 'AWS_USE_FIPS_ENDPOINT', 'use_fips_endpoint'),
    useDualstackEndpoint: readSwitch(settings, 'AWS_USE_DUALSTACK_ENDPOINT', 'use_dualstack_endpoint'),
    userAgentAppId: `coldsnap-${version}`,
    logger: quietLogger,
    requestHandler: new BoundedHandler(
      {
        connectMs: deadlines.connectMs,
        socketTimeout: deadlines.idleMs,
        ...(await agents(connections, tls, deadlines.connectMs)),
      },
      tls,
    ),
  };
}

interface ConnectOptions extends ServiceOptions {
  /** Fires when nothing waits for the connection any more. */
  readonly closed?: AbortSignal | undefined;
}

/**
 * The configuration of the SDK client for a service.
 * @throws ColdsnapError class `config`: no region, no such profile, unreadable CA bundle; class `usage`: bad endpoint or region
 */
export async function clientConfig(
  options: ConnectOptions,
  endpoint: string | undefined,
  connections: number,
  deadlines: Deadlines,
  service: 'ebs' | 'ec2' = 'ebs',
) {
  const settings = await readSettings(options.profile);
  const region = resolveRegion(options.region, settings);
  const config = await baseConfig(service, endpoint, settings, connections, deadlines);
  const identity = {
    settings,
    region,
    mfaCode: options.mfaCode,
    clientConfigFor: (name: ServiceName) => baseConfig(name, undefined, settings, 1, deadlines),
  };
  const credentials = credentialProvider(identity, options.closed);
  // RetryPolicy retries requests together with their checks; a second policy below it would multiply the waiting.
  return { ...config, region, credentials, maxAttempts: 1 };
}

/**
 * Makes the EBS client, with region and credentials found before any request.
 *
 * @param connections most requests in flight at once
 * @throws ColdsnapError as {@link clientConfig}, and class `config` when no credentials are found
 */
export async function connectEbs(
  options: ConnectOptions,
  connections: number,
  deadlines: Deadlines = defaultDeadlines,
): Promise<EBSClient> {
  const endpoint = options.ebsEndpoint ?? options.endpoint;
  const config = await clientConfig(options, endpoint, connections, deadlines);
  await config.credentials();
  const client = new EBSClient(config);
  setCredentialProvider(client, config.credentials);
  return client;
}

/**
 * Checks that the caller's own client has a region and credentials, before anything is touched.
 * @throws ColdsnapError class `config`
 */
export async function checkIdentity(config: {
  region: () => Promise<string>;
  credentials: () => Promise<unknown>;
}): Promise<void> {
  await askClient('region', config.region);
  const credentials = await askClient('credential', config.credentials);
  const { accessKeyId, secretAccessKey } = (credentials ?? {}) as Record<string, unknown>;
  // The SDK would reject them as it signs, which looks like a failure of the network.
  if (typeof accessKeyId !== 'string' || typeof secretAccessKey !== 'string')
    throw providerFailed("the client's credential provider", 'it gave no access key');
}

/** A provider is the caller's function, and may throw anything. */
async function askClient<T>(what: 'region' | 'credential', provider: () => Promise<T>): Promise<T> {
  try {
    return await provider();
  } catch (error) {
    const failure = classify(error, { operation: 'Connecting to AWS' });
    if (failure.class === 'config') throw failure;
    throw providerFailed(`the client's ${what} provider`, readFailure(error).message, { cause: error });
  }
}

async function agents(
  connections: number,
  tls: TlsSettings | undefined,
  connectMs: number,
): Promise<{ httpAgent: HttpAgent; httpsAgent: HttpsAgent }> {
  const settings = {
    keepAlive: true,
    maxSockets: connections,
    // Takes precedence over NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    ...(tls === undefined ? {} : { secureContext: tls.context }),
  };
  const direct = {
    httpAgent: limitConnections(new HttpAgent(settings), connectMs),
    httpsAgent: limitConnections(new HttpsAgent(settings), connectMs, tls),
  };
  if (!proxyConfigured()) return direct;
  const { ProxySwitch } = await import('./connect/proxy-agent.ts');
  return {
    // For plain HTTP each request opens a connection, see the agent.
    httpAgent: new ProxySwitch({ ...settings, keepAlive: false }, direct.httpAgent, connectMs),
    httpsAgent: new ProxySwitch(settings, direct.httpsAgent, connectMs) as unknown as HttpsAgent,
  };
}
