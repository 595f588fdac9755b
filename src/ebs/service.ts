/** The service of one region and account, for one call of the library: connected on first use, closed at its end. */
import type { EBSClient } from '@aws-sdk/client-ebs';
import { abortable, deadline } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import { formatDuration } from '../text.ts';
import type { EbsDirectApi } from './api.ts';
import { BlockReader } from './block-reader.ts';
import type { Deadlines, SdkClient, ServiceOptions } from './client-options.ts';
import { checkDeadlines, checkIdentity, connectEbs } from './connect.ts';
import { type OpenEc2, openEc2, type SnapshotStates } from './ec2.ts';
import { FastBlockApi } from './fast/fast-api.ts';
import { serviceEndpoint } from './fast/origin.ts';
import { withConstantSizes } from './list/constant-sizes.ts';
import { Pacer, withPacing } from './pacing.ts';
import { DEFAULT_RETRY_FOR_MS, type RetryNotice, RetryPolicy } from './retry.ts';
import { withRetries } from './retrying-api.ts';
import { SdkEbsApi } from './sdk-api.ts';

export interface ServiceSettings extends ServiceOptions {
  /** Your own client, with its region, credentials and endpoint; it stays yours and open. */
  readonly ebsClient?: SdkClient | undefined;
  /** The same for EC2. */
  readonly ec2Client?: SdkClient | undefined;
  /** Default `fast`; with your own client `sdk`, so that it is used as you made it. */
  readonly transport?: 'fast' | 'sdk' | undefined;
  readonly retryForMs?: number | undefined;
  readonly deadlines?: Partial<Deadlines> | undefined;
  /** Most payload bytes per second. */
  readonly bytesPerSecond?: number | undefined;
  /** Names the service in errors, where a run uses two. */
  readonly side?: 'source' | 'destination' | undefined;
}

/** Tells one service from another: snapshot IDs mean something only there. */
export interface ServiceIdentity {
  /** `aws` and the partition's domain for AWS's own endpoints, else the URL. */
  readonly endpoint: string;
  readonly region: string;
  /** Where the credentials name it. */
  readonly account?: string;
}

export function isSameService(one: ServiceIdentity, other: ServiceIdentity): boolean {
  const account = one.account === undefined || other.account === undefined || one.account === other.account;
  return account && one.endpoint === other.endpoint && one.region === other.region;
}

/** The EBS direct APIs, connected. */
export interface EbsConnection {
  /** With retries. */
  readonly api: EbsDirectApi;
  readonly identity: ServiceIdentity;
  /** Tells the pace that requests keep now. */
  readonly pacer: Pacer;
  /** Reads blocks of a snapshot, with retries that include the caller's own checks. */
  reader(snapshotId: string, signal: AbortSignal): BlockReader;
}

/** A request may be silent for this long, however short the retry time is. */
const MIN_DEADLINE_MS = 10_000;

/** Lists, starts and completions go beside the block requests. */
const SPARE_CONNECTIONS = 4;

export class Service {
  readonly #settings: ServiceSettings & { readonly deadlines: Deadlines };
  /** The retry time; a request that hangs from the start must not last longer either. */
  readonly #limitMs: number;
  readonly #workers: number;
  readonly #onRetry: (notice: RetryNotice) => void;
  readonly #closed = new AbortController();
  #region: string | undefined;
  #ebs: Promise<EbsConnection> | undefined;
  #ec2: Promise<OpenEc2> | undefined;

  /** @param workers most block requests in flight */
  constructor(settings: ServiceSettings, workers: number, onRetry: (notice: RetryNotice) => void) {
    this.#limitMs = Math.max(settings.retryForMs ?? DEFAULT_RETRY_FOR_MS, MIN_DEADLINE_MS);
    const { connectMs, idleMs } = checkDeadlines(settings.deadlines);
    const deadlines = {
      connectMs: Math.min(connectMs, this.#limitMs),
      idleMs: Math.min(idleMs, this.#limitMs),
    };
    this.#settings = { ...settings, deadlines };
    this.#region = settings.region;
    this.#workers = workers;
    this.#onRetry = onRetry;
  }

  /**
   * Connects to the EBS direct APIs, or returns the connection.
   * @throws ColdsnapError class `config` when there is no region or no credentials, `gave-up` when they do not arrive
   */
  ebs(): Promise<EbsConnection> {
    this.#ebs ??= this.#withinLimit(this.#connectEbs());
    return this.#ebs;
  }

  /** The providers of region and credentials may hang. */
  async #withinLimit<T>(connection: Promise<T>): Promise<T> {
    const limit = deadline(this.#limitMs, this.#closed.signal, () => {
      const message = `no region and credentials within ${formatDuration(this.#limitMs)}`;
      return new ColdsnapError('gave-up', 'STALLED', message);
    });
    try {
      return await this.naming(() => abortable(connection, limit.signal));
    } finally {
      limit.end();
    }
  }

  /** Work whose failures are named as those of this service are. */
  async naming<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof ColdsnapError ? this.#describe(error) : error;
    }
  }

  /** `in the source region eu-west-1: …`; unchanged where there is only one service. */
  readonly #describe = (error: ColdsnapError): ColdsnapError => {
    const { side } = this.#settings;
    if (side === undefined || error.class === 'aborted') return error;
    // A malformed region is no place.
    const region = error.code === 'BAD_REGION' ? undefined : this.#region;
    const prefix = region === undefined ? `in the ${side}: ` : `in the ${side} region ${region}: `;
    if (error.message.startsWith(prefix)) return error;
    return error.reclassified(error.class, `${prefix}${error.message}`);
  };

  async #connectEbs(): Promise<EbsConnection> {
    const settings = this.#settings;
    const { deadlines } = settings;
    const own = settings.ebsClient as EBSClient | undefined;
    const connections = this.#workers + SPARE_CONNECTIONS;
    const closed = this.#closed.signal;
    const client = own ?? (await connectEbs({ ...settings, closed }, connections, deadlines));
    if (own !== undefined) await checkIdentity(own.config);
    this.#region = await client.config.region();
    const policy = new RetryPolicy({
      describe: this.#describe,
      retryForMs: settings.retryForMs,
      onRetry: this.#onRetry,
      refreshCredentials: async () => {
        await client.config.credentials({ forceRefresh: true });
      },
    });
    const sdk = new SdkEbsApi(client, { borrowed: own !== undefined });
    const transport = settings.transport ?? (own === undefined ? 'fast' : 'sdk');
    const blocks =
      transport === 'fast' ? new FastBlockApi(sdk, client, { connections: this.#workers, deadlines }) : sdk;
    const { bytesPerSecond } = settings;
    const pacer = new Pacer({ workers: this.#workers, bytesPerSecond, idleMs: deadlines.idleMs });
    const paced = withPacing(blocks, pacer);
    const api = withConstantSizes(withRetries(paced, policy));
    const reader = (snapshotId: string, signal: AbortSignal) =>
      new BlockReader({ list: api, get: paced, policy }, snapshotId, signal);
    return { api, identity: await identityOf(client), pacer, reader };
  }

  /**
   * Connects to EC2, or returns the connection.
   * @throws ColdsnapError class `config` when there is no region or no credentials, `gave-up` when they do not arrive
   */
  async ec2(): Promise<SnapshotStates> {
    this.#ec2 ??= this.#withinLimit(
      openEc2({
        ...this.#settings,
        onRetry: this.#onRetry,
        closed: this.#closed.signal,
        describe: this.#describe,
      }),
    );
    return (await this.#ec2).states;
  }

  /** The retry time. */
  get retryForMs(): number {
    return this.#settings.retryForMs ?? DEFAULT_RETRY_FOR_MS;
  }

  /** The same service for a request that is not retried for longer than `retryForMs`. */
  impatient(retryForMs: number): Service {
    const service = new Service({ ...this.#settings, retryForMs }, 1, () => {});
    service.#region = this.#region;
    return service;
  }

  /** Drops idle connections; requests in flight must have ended. */
  close(): void {
    this.#ebs?.then(({ api }) => api.close()).catch(() => {});
    this.#ec2?.then((ec2) => ec2.close()).catch(() => {});
    // A connection that is still being made is left behind, and its deadline with it.
    this.#closed.abort();
  }
}

async function identityOf(client: EBSClient): Promise<ServiceIdentity> {
  const [url, region, credentials] = await Promise.all([
    serviceEndpoint(client),
    client.config.region(),
    client.config.credentials(),
  ]);
  const aws = /\.(amazonaws\.com(?:\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)$/.exec(url.hostname);
  const { accountId } = credentials as { accountId?: string };
  return {
    endpoint: aws === null ? url.href : aws[1]?.endsWith('.cn') ? 'aws-cn' : 'aws',
    region,
    ...(accountId === undefined ? {} : { account: accountId }),
  };
}
