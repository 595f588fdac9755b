/** {@link SnapshotStates} through @aws-sdk/client-ec2. Only openEc2 imports this file, and only when EC2 is needed. */
import {
  DeleteSnapshotCommand,
  DescribeSnapshotsCommand,
  type DescribeSnapshotsRequest,
  type DescribeSnapshotsResult,
  EC2Client,
  type Snapshot,
} from '@aws-sdk/client-ec2';
import { abortedError, ColdsnapError, sanitize } from '../errors.ts';
import type { CallOptions } from './api.ts';
import { checkDeadlines, checkIdentity, clientConfig } from './connect.ts';
import type {
  DeleteOptions,
  OpenEc2Options,
  SnapshotQuery,
  SnapshotState,
  SnapshotStates,
  SnapshotStatus,
} from './ec2.ts';
import { classify, type RequestContext } from './errors.ts';
import type { RetryPolicy } from './retry.ts';

/** One question at a time, and a deletion beside it. */
const CONNECTIONS = 2;
/** The longest description that EC2 takes. */
const MAX_DESCRIPTION = 255;
/** The largest page EC2 gives. */
const MAX_PAGE = 1_000;
/** Empty pages are legal where filters apply; more pages than this hold more snapshots than an account has. */
const MAX_PAGES = 1_000;

/**
 * The caller's client, or one made from the options, with region and credentials known to be there.
 * @throws ColdsnapError class `config` or `usage`
 */
export async function connectEc2(options: OpenEc2Options): Promise<EC2Client> {
  const endpoint = options.ec2Endpoint ?? options.endpoint;
  const deadlines = checkDeadlines(options.deadlines);
  const client =
    (options.ec2Client as EC2Client | undefined) ??
    new EC2Client(await clientConfig(options, endpoint, CONNECTIONS, deadlines));
  await checkIdentity(client.config, options.profile);
  return client;
}

export class SdkSnapshotStates implements SnapshotStates {
  readonly #client: EC2Client;
  readonly #policy: RetryPolicy;

  constructor(client: EC2Client, policy: RetryPolicy) {
    this.#client = client;
    this.#policy = policy;
  }

  async describe(snapshotId: string, options?: CallOptions): Promise<SnapshotState | undefined> {
    try {
      const reply = await this.#describePage({ SnapshotIds: [snapshotId] }, snapshotId, options);
      const snapshot = reply.Snapshots?.find((candidate) => candidate.SnapshotId === snapshotId);
      return snapshot && stateOf(snapshot);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async delete(snapshotId: string, options?: DeleteOptions): Promise<void> {
    const context = { operation: 'DeleteSnapshot', snapshotId };
    // A reply that was lost may have been that of a deletion; then the repetition finds nothing.
    let mayBeGone = false;
    await this.#policy.run(context, options?.signal, async () => {
      try {
        await request(context, options, (http) => this.#client.send(deletion(snapshotId, context), http));
      } catch (error) {
        if (!isNotFound(error)) {
          mayBeGone ||= error instanceof ColdsnapError && error.class === 'transient';
          throw error;
        }
        if (mayBeGone) return;
        throw options?.justStarted ? error.reclassified('not-yet-visible') : error;
      }
    });
  }

  async *list(query: SnapshotQuery, options?: CallOptions): AsyncGenerator<SnapshotState, void, undefined> {
    let token: string | undefined;
    let pages = 0;
    do {
      const page = await this.#describePage(
        {
          OwnerIds: ['self'],
          Filters: [
            { Name: 'tag-key', Values: [query.tagKey] },
            { Name: 'status', Values: [...query.states] },
          ],
          MaxResults: MAX_PAGE,
          ...(token === undefined ? {} : { NextToken: token }),
        },
        undefined,
        options,
      );
      const snapshots = page.Snapshots ?? [];
      if (++pages > MAX_PAGES || snapshots.length > MAX_PAGE) {
        throw new ColdsnapError(
          'permanent',
          'BAD_LIST',
          `DescribeSnapshots has more than ${MAX_PAGES} pages, or pages with more than ${MAX_PAGE} snapshots`,
          { operation: 'DescribeSnapshots' },
        );
      }
      for (const snapshot of snapshots) yield stateOf(snapshot);
      token = page.NextToken || undefined;
    } while (token !== undefined);
  }

  #describePage(
    input: DescribeSnapshotsRequest,
    snapshotId: string | undefined,
    options: CallOptions | undefined,
  ): Promise<DescribeSnapshotsResult> {
    const context = { operation: 'DescribeSnapshots', ...(snapshotId === undefined ? {} : { snapshotId }) };
    return this.#policy.run(context, options?.signal, () =>
      request(context, options, (http) => this.#client.send(new DescribeSnapshotsCommand(input), http)),
    );
  }
}

async function request<T>(
  context: RequestContext,
  options: CallOptions | undefined,
  send: (http: { abortSignal?: AbortSignal }) => Promise<T>,
): Promise<T> {
  const signal = options?.signal;
  if (signal?.aborted) throw abortedError(signal);
  try {
    return await send(signal === undefined ? {} : { abortSignal: signal });
  } catch (error) {
    throw classify(error, context, signal);
  }
}

interface HttpReply {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** EC2's reply holds nothing that the SDK gives back, so any page of a proxy or a captive portal would pass for it. */
function deletion(snapshotId: string, context: RequestContext): DeleteSnapshotCommand {
  const command = new DeleteSnapshotCommand({ SnapshotId: snapshotId });
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { statusCode, headers } = result.response as HttpReply;
      if (statusCode < 300 && /\bhtml\b/i.test(headers['content-type'] ?? '')) {
        const what = "DeleteSnapshot got a reply that is not the service's (a page of HTML)";
        throw new ColdsnapError('transient', 'BAD_REPLY', what, context);
      }
      return result;
    },
    { step: 'deserialize', name: 'coldsnapExpectsNoPage' },
  );
  return command;
}

function isNotFound(error: unknown): error is ColdsnapError {
  return error instanceof ColdsnapError && error.code === 'SNAPSHOT_NOT_FOUND';
}

function stateOf(snapshot: Snapshot): SnapshotState {
  const { SnapshotId, State, StateMessage, Progress, KmsKeyId } = snapshot;
  const percent = Number.parseInt(Progress ?? '', 10);
  return {
    snapshotId: sanitize(SnapshotId ?? '', 64),
    // Some emulators leave it out; a snapshot without a state is not ready for anything.
    state: sanitize(State ?? 'pending', 64) as SnapshotStatus,
    ...(StateMessage ? { stateMessage: sanitize(StateMessage) } : {}),
    ...(percent >= 0 && percent <= 100 ? { progressPercent: percent } : {}),
    volumeSizeGiB: snapshot.VolumeSize ?? Number.NaN,
    encrypted: snapshot.Encrypted ?? false,
    ...(KmsKeyId === undefined ? {} : { kmsKeyId: KmsKeyId }),
    startTime: snapshot.StartTime ?? new Date(Number.NaN),
    description: snapshot.Description?.slice(0, MAX_DESCRIPTION) ?? '',
    tags: Object.fromEntries((snapshot.Tags ?? []).map(({ Key, Value }) => [Key ?? '', Value ?? ''])),
  };
}
