/**
 * Snapshot operations that only EC2 has: states, deletion and lists of snapshots. Its SDK client takes longer to load than
 * everything else together, so it is loaded on first use.
 */
import type { ColdsnapError } from '../errors.ts';
import type { CallOptions } from './api.ts';
import type { Deadlines, SdkClient, ServiceOptions } from './client-options.ts';
import { type RetryNotice, RetryPolicy } from './retry.ts';

/** EC2's states. `recoverable` is in the Recycle Bin, `recovering` is being restored from it. */
export const snapshotStatuses = ['pending', 'completed', 'error', 'recoverable', 'recovering'] as const;
export type SnapshotStatus = (typeof snapshotStatuses)[number];

export interface SnapshotState {
  readonly snapshotId: string;
  readonly state: SnapshotStatus;
  /** Why the state is `error`. */
  readonly stateMessage?: string;
  /** 0 … 100, if EC2 reports it. */
  readonly progressPercent?: number;
  readonly volumeSizeGiB: number;
  readonly encrypted: boolean;
  readonly kmsKeyId?: string;
  readonly startTime: Date;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** Which snapshots to list: those that match all of it. EC2 reads `*` and `?` in keys and values as wildcards. */
export interface SnapshotQuery {
  /** Tags that a snapshot must have; without a value, any value matches. */
  readonly tags?: readonly { readonly key: string; readonly value?: string | undefined }[] | undefined;
  readonly states?: readonly SnapshotStatus[] | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** The snapshot is new and EC2 may not find it yet: retry for up to 2 minutes. */
  readonly justStarted?: boolean;
}

/** Snapshots in EC2. Every method retries where that can help, then rejects with a ColdsnapError. */
export interface SnapshotStates {
  /** Resolves with undefined when EC2 does not find the snapshot; a new one may take minutes to appear. */
  describe(snapshotId: string, options?: CallOptions): Promise<SnapshotState | undefined>;
  /**
   * Deletes a snapshot in any state.
   * @throws ColdsnapError code `SNAPSHOT_NOT_FOUND` when it does not exist, unless an earlier attempt may have deleted it
   */
  delete(snapshotId: string, options?: DeleteOptions): Promise<void>;
  /** The account's own snapshots that match the query, in no particular order. */
  list(query: SnapshotQuery, options?: CallOptions): AsyncIterable<SnapshotState>;
}

export interface OpenEc2Options extends ServiceOptions {
  /** Your own client, with its region, credentials and endpoint; it stays yours and open. */
  ec2Client?: SdkClient | undefined;
  retryForMs?: number | undefined;
  deadlines?: Partial<Deadlines> | undefined;
  onRetry: (notice: RetryNotice) => void;
  /** Fires when nothing waits for the connection any more. */
  closed?: AbortSignal | undefined;
  /** Adds to the message of every failure which service it is of. */
  describe?: ((failure: ColdsnapError) => ColdsnapError) | undefined;
}

/** An open connection to EC2. */
export interface OpenEc2 {
  readonly states: SnapshotStates;
  /** Closes idle connections; requests in flight must have ended. */
  close(): void;
}

/**
 * Connects to EC2.
 * @throws ColdsnapError class `config` for missing region or credentials, class `usage` for bad options
 */
export async function openEc2(options: OpenEc2Options): Promise<OpenEc2> {
  const { connectEc2, SdkSnapshotStates } = await import('./ec2-sdk.ts');
  const client = await connectEc2(options);
  const policy = new RetryPolicy({
    retryForMs: options.retryForMs,
    onRetry: options.onRetry,
    describe: options.describe,
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
