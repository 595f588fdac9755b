/** The endpoint of block requests, as the SDK resolves it, if it can be reached without the SDK. */
import { type EBSClient, GetSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import { getEndpointFromInstructions } from '@smithy/core/endpoints';
import { proxyFor } from '../connect/proxy.ts';

export interface Origin {
  readonly secure: boolean;
  /** Host name or address; IPv6 addresses without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Host header. */
  readonly authority: string;
  /** Path before that of every request, without a trailing slash; usually empty. */
  readonly pathPrefix: string;
}

/** Paths that escaping, and therefore signing, does not change. */
const PLAIN_PATH = /^\/$|^(\/[\w.~-]+)+$/;

function endpointOf(client: EBSClient) {
  return getEndpointFromInstructions({}, GetSnapshotBlockCommand, { ...client.config });
}

/** The URL that requests go to. */
export async function serviceEndpoint(client: EBSClient): Promise<URL> {
  return (await endpointOf(client)).url;
}

/**
 * Resolves the endpoint with the client's own region, FIPS, dual-stack and endpoint settings.
 *
 * @returns undefined when only the SDK can reach the endpoint: through a proxy, with headers or authentication of its
 *   own, or under a path that needs escaping
 */
export async function directOrigin(client: EBSClient): Promise<Origin | undefined> {
  const endpoint = await endpointOf(client);
  const { url } = endpoint;
  if (Object.keys(endpoint.headers ?? {}).length > 0 || endpoint.properties?.authSchemes !== undefined) {
    return undefined;
  }
  if (!PLAIN_PATH.test(url.pathname) || url.search !== '' || url.username !== '') return undefined;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  if (proxyFor(url) !== undefined) return undefined;
  const secure = url.protocol === 'https:';
  return {
    secure,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    authority: url.host,
    pathPrefix: url.pathname === '/' ? '' : url.pathname,
  };
}
