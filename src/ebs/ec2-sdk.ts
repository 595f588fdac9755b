/** {@link SnapshotStates} through @aws-sdk/client-ec2. Only openEc2 imports this file, and only when EC2 is needed. */
import {
  DeleteSnapshotCommand,
  DescribeSnapshotsCommand,
  type DescribeSnapshotsRequest,
  type DescribeSnapshotsResult,
  EC2Client,
  type Filter,
  type Snapshot,
} from '@aws-sdk/client-ec2';
import { ColdsnapError } from '../errors.ts';
import { sanitize } from '../text.ts';
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
import type { RequestContext } from './request-context.ts';
import type { RetryPolicy } from './retry.ts';
import { callSdk } from './sdk-call.ts';

/** One for describing or listing, one for deleting. */
const CONNECTIONS = 2;
/** Characters; the longest description that EC2 accepts. */
const MAX_DESCRIPTION = 255;
/** Snapshots in EC2's largest page. */
const MAX_PAGE = 1_000;
/** More pages than any account needs. Empty pages are legal when filters apply. */
const MAX_PAGES = 1_000;

/**
 * The caller's client, or a new one; region and credentials are checked first.
 * @throws ColdsnapError class `config` for missing region or credentials, class `usage` for bad options
 */
export async function connectEc2(options: OpenEc2Options): Promise<EC2Client> {
  const endpoint = options.ec2Endpoint ?? options.endpoint;
  const deadlines = checkDeadlines(options.deadlines);
  const own = options.ec2Client as EC2Client | undefined;
  if (own === undefined) {
    const config = await clientConfig(options, endpoint, CONNECTIONS, deadlines, 'ec2');
    await config.credentials();
    return new EC2Client(config);
  }
  await checkIdentity(own.config);
  return own;
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
    const command = new DeleteSnapshotCommand({ SnapshotId: snapshotId });
    command.middlewareStack.add(rejectHtml(context), deserialize);
    // A request whose reply was lost may have deleted the snapshot; the retry then finds none.
    let mayBeDeleted = false;
    await this.#policy.run(context, options?.signal, async (signal) => {
      try {
        await callSdk(context, signal, this.#client, (http) => this.#client.send(command, http));
      } catch (error) {
        if (!isNotFound(error)) {
          mayBeDeleted ||= error instanceof ColdsnapError && error.class === 'transient';
          throw error;
        }
        if (mayBeDeleted) return;
        throw options?.justStarted ? error.reclassified('not-yet-visible') : error;
      }
    });
  }

  async *list(query: SnapshotQuery, options?: CallOptions): AsyncGenerator<SnapshotState, void, undefined> {
    const filters = filtersOf(query);
    let token: string | undefined;
    let pages = 0;
    do {
      const page = await this.#describePage(
        {
          OwnerIds: ['self'],
          ...(filters.length === 0 ? {} : { Filters: filters }),
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
          `DescribeSnapshots returned more than ${MAX_PAGES} pages, or more than ${MAX_PAGE} snapshots in a page`,
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
    const command = new DescribeSnapshotsCommand(input);
    command.middlewareStack.add(rejectHtml(context), deserialize);
    return this.#policy.run(context, options?.signal, (signal) =>
      callSdk(context, signal, this.#client, (http) => this.#client.send(command, http)),
    );
  }
}

function filtersOf({ tags = [], states }: SnapshotQuery): Filter[] {
  const filters: Filter[] = tags.map(({ key, value }) =>
    value === undefined ? { Name: 'tag-key', Values: [key] } : { Name: `tag:${key}`, Values: [value] },
  );
  if (states !== undefined) filters.push({ Name: 'status', Values: [...states] });
  return filters;
}

interface HttpReply {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Rejects HTML replies: the SDK finds nothing in a captive portal's page, which would look like success or an empty list. */
function rejectHtml(context: RequestContext) {
  return <A, R extends { response: unknown }>(next: (args: A) => Promise<R>) =>
    async (args: A): Promise<R> => {
      const result = await next(args);
      const { statusCode, headers } = result.response as HttpReply;
      if (statusCode < 300 && /\bhtml\b/i.test(headers['content-type'] ?? '')) {
        const message = `${context.operation} got a reply that is not from the service (an HTML page)`;
        throw new ColdsnapError('transient', 'BAD_REPLY', message, context);
      }
      return result;
    };
}

/** Around the SDK's own step, which reads the body: an unread one would keep its connection. */
const deserialize = { step: 'deserialize', priority: 'high', name: 'coldsnapRejectHtml' } as const;

function isNotFound(error: unknown): error is ColdsnapError {
  return error instanceof ColdsnapError && error.code === 'SNAPSHOT_NOT_FOUND';
}

function stateOf(snapshot: Snapshot): SnapshotState {
  const { SnapshotId, State, StateMessage, Progress, KmsKeyId } = snapshot;
  const percent = Number.parseInt(Progress ?? '', 10);
  return {
    snapshotId: sanitize(SnapshotId ?? '', 64),
    // Some emulators omit the state; without one, the snapshot is not known to be usable.
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
