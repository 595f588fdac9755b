/** Puts the layers of the service together, for everything that moves blocks. */
import type { EBSClient } from '@aws-sdk/client-ebs';
import type { EbsDirectApi } from './api.ts';
import type { Deadlines, SdkClient, ServiceOptions } from './client-options.ts';
import { checkDeadlines, checkIdentity, connectEbs } from './connect.ts';
import { FastBlockApi } from './fast/fast-api.ts';
import { Pacer, withPacing } from './pacing.ts';
import { type RetryNotice, RetryPolicy, withRetries } from './retry.ts';
import { SdkEbsApi } from './sdk-api.ts';

export interface OpenEbsOptions extends ServiceOptions {
  /** Your own client, with its region, credentials and endpoint; it stays yours and open. */
  ebsClient?: SdkClient | undefined;
  /** Default `fast`; with your own client `sdk`, so that it is used as you made it. */
  transport?: 'fast' | 'sdk' | undefined;
  retryForMs?: number | undefined;
  deadlines?: Partial<Deadlines> | undefined;
  /** Most payload bytes per second. */
  bytesPerSecond?: number | undefined;
  /** Most block requests in flight. */
  workers: number;
  onRetry: (notice: RetryNotice) => void;
}

/** An open connection to the service: the API with retries around it, and the policy for callers with checks of their own. */
export interface OpenEbs {
  readonly api: EbsDirectApi;
  /** The same without retries, for callers that hand what fails to `policy` together with checks of their own. */
  readonly once: EbsDirectApi;
  readonly policy: RetryPolicy;
  /** Tells the pace that requests keep now. */
  readonly pacer: Pacer;
  /** Drops idle connections; requests in flight must have ended. */
  close(): void;
}

/** Lists, starts and completions go beside the block requests. */
const SPARE_CONNECTIONS = 4;

/**
 * Connects to the EBS direct APIs.
 * @throws ColdsnapError class `config` when region or credentials cannot be had
 */
export async function openEbs(options: OpenEbsOptions): Promise<OpenEbs> {
  const { workers } = options;
  const deadlines = checkDeadlines(options.deadlines);
  const given = options.ebsClient as EBSClient | undefined;
  const client = given ?? (await connectEbs(options, workers + SPARE_CONNECTIONS, deadlines));
  if (given !== undefined) await checkIdentity(client.config);
  const policy = new RetryPolicy({
    retryForMs: options.retryForMs,
    onRetry: options.onRetry,
    refreshCredentials: async () => {
      await client.config.credentials({ forceRefresh: true });
    },
  });
  const sdk = new SdkEbsApi(client, { borrowed: options.ebsClient !== undefined });
  const transport = options.transport ?? (options.ebsClient === undefined ? 'fast' : 'sdk');
  const blocks =
    transport === 'fast' ? new FastBlockApi(sdk, client, { connections: workers, deadlines }) : sdk;
  const { idleMs } = deadlines;
  const pacer = new Pacer({ workers, bytesPerSecond: options.bytesPerSecond, idleMs });
  const once = withPacing(blocks, pacer);
  const api = withRetries(once, policy);
  return { api, once, policy, pacer, close: () => api.close() };
}
