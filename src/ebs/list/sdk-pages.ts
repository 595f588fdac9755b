/** Lists as the SDK has them: the position in the request, the page in the reply, and its entries. */
import type { EBSClient, ListChangedBlocksCommand, ListSnapshotBlocksCommand } from '@aws-sdk/client-ebs';
import { collectBody, HttpResponse } from '@smithy/core/protocols';
import type { ListPage, ListPosition } from '../api.ts';

/** The service's largest page. Its default of 100 would need more requests. */
const MAX_PAGE = 10_000;

export function position(request: ListPosition) {
  return {
    MaxResults: request.maxResults ?? MAX_PAGE,
    ...(request.pageToken === undefined ? {} : { NextToken: request.pageToken }),
    ...(request.startingBlockIndex === undefined ? {} : { StartingBlockIndex: request.startingBlockIndex }),
  };
}

export function listPage(reply: {
  $metadata: { requestId?: string | undefined };
  VolumeSize?: number | undefined;
  BlockSize?: number | undefined;
  NextToken?: string | undefined;
}): ListPage {
  return {
    volumeSizeGiB: reply.VolumeSize ?? Number.NaN,
    blockSize: reply.BlockSize ?? Number.NaN,
    requestId: reply.$metadata.requestId,
    // An empty token ends the list, as a missing one does. Other malformed tokens are rejected by the reader of the list.
    ...(reply.NextToken === undefined || reply.NextToken === '' ? {} : { nextToken: reply.NextToken }),
  };
}

/**
 * Has the entries of a reply taken out before the SDK converts them one by one. It gets the rest of the reply, and all of
 * one that is no list.
 * @param command is sent once
 * @returns the entries as the service sent them, null for what is absent; undefined where the SDK has them, if any
 */
export function rawEntries(
  command: ListSnapshotBlocksCommand | ListChangedBlocksCommand,
  client: EBSClient,
  member: 'Blocks' | 'ChangedBlocks',
): () => readonly unknown[] | undefined {
  let entries: readonly unknown[] | undefined;
  const { middlewareStack } = command as ListSnapshotBlocksCommand;
  middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { response } = result;
      if (!HttpResponse.isInstance(response) || response.statusCode !== 200) return result;
      const body = await collectBody(response.body, client.config).catch((error: object) => {
        // As the SDK names the reply, where no print of the error shows it.
        throw Object.defineProperty(error, '$response', { value: response });
      });
      response.body = body;
      const reply = parse(body);
      const found = reply?.[member];
      if (!Array.isArray(found)) return result;
      entries = found;
      response.body = Buffer.from(JSON.stringify({ ...reply, [member]: [] }));
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'rawEntries' },
  );
  return () => entries;
}

/** The reply; undefined where it is no JSON, which the SDK describes. */
function parse(body: Uint8Array): Record<string, unknown> | null | undefined {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString());
  } catch {
    return undefined;
  }
}
