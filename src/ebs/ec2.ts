/**
 * What EC2 knows of snapshots and the EBS direct APIs do not: states, deletion, and which snapshots there are. The SDK
 * client for it takes longer to load than everything else together, so it is loaded only when it is used.
 */
import type { CallOptions } from './api.ts';
import type { Deadlines, SdkClient, ServiceOptions } from './client-options.ts';
import { type RetryNotice, RetryPolicy } from './retry.ts';

/** `recoverable` and `recovering`: in the Recycle Bin, and coming back from it. */
export const snapshotStatuses = ['pending', 'completed', 'error', 'recoverable', 'recovering'] as const;
export type SnapshotStatus = (typeof snapshotStatuses)[number];

export interface SnapshotState {
  readonly snapshotId: string;
  readonly state: SnapshotStatus;
  /** Why the state is `error`. */
  readonly stateMessage?: string;
  /** 0 … 100, where EC2 tells it. */
  readonly progressPercent?: number;
  readonly volumeSizeGiB: number;
  readonly encrypted: boolean;
  readonly kmsKeyId?: string;
  readonly startTime: Date;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface SnapshotQuery {
  /** Only snapshots with this tag, whatever its value. */
  readonly tagKey: string;
  readonly states: readonly SnapshotStatus[];
}

export interface DeleteOptions extends CallOptions {
  /** The snapshot was begun moments ago: EC2 may not know it yet, and is asked again for up to 2 minutes. */
  readonly justStarted?: boolean;
}

/**
 * The EC2 side of snapshots. Every method rejects with a ColdsnapError, after retries where they can help.
 */
export interface SnapshotStates {
  /** Resolves with undefined when EC2 does not know the snapshot, which for a new one may change within minutes. */
  describe(snapshotId: string, options?: CallOptions): Promise<SnapshotState | undefined>;
  /**
   * Deletes a snapshot, whatever its state.
   * @throws ColdsnapError code `SNAPSHOT_NOT_FOUND` when there is none; not when a repeated request finds it gone
   */
  delete(snapshotId: string, options?: DeleteOptions): Promise<void>;
  /** The account's own snapshots that answer the query, in no order. */
  list(query: SnapshotQuery, options?: CallOptions): AsyncIterable<SnapshotState>;
}

export interface OpenEc2Options extends ServiceOptions {
  /** Your own client, with its region, credentials and endpoint; it stays yours and open. */
  ec2Client?: SdkClient | undefined;
  retryForMs?: number | undefined;
  deadlines?: Partial<Deadlines> | undefined;
  onRetry: (notice: RetryNotice) => void;
}

/** An open connection to EC2. */
export interface OpenEc2 {
  readonly states: SnapshotStates;
  /** Drops idle connections; requests in flight must have ended. */
  close(): void;
}

/**
 * Connects to EC2.
 * @throws ColdsnapError class `config` when region or credentials cannot be had
 */
export async function openEc2(options: OpenEc2Options): Promise<OpenEc2> {
  const { connectEc2, SdkSnapshotStates } = await import('./ec2-sdk.ts');
  const client = await connectEc2(options);
  const policy = new RetryPolicy({
    retryForMs: options.retryForMs,
    onRetry: options.onRetry,
    refreshCredentials: async () => {
      await client.config.credentials({ forceRefresh: true });
    },
  });
  return {
    states: new SdkSnapshotStates(client, policy),
    close: () => {
      if (options.ec2Client === undefined) client.destroy();
    },
  };
}
