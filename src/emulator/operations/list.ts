import { invalidParameter, validation } from '../errors.ts';
import { lineage, nextBlock, nextDifference, related } from '../lineage.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { type ApiRequest, readableSnapshot, type Service, wholeNumber } from '../service.ts';
import type { Snapshot } from '../snapshot.ts';
import type { PagePosition } from '../tokens.ts';

const DEFAULT_RESULTS = 100;
const MAX_RESULTS = 10_000;

/** ListSnapshotBlocks: lists a snapshot's blocks, its ancestors' included, with a token for each. */
export function listSnapshotBlocks(service: Service, request: ApiRequest): Reply {
  const snapshot = readableSnapshot(service, request.snapshotId);
  const page = readPage(service, request, snapshot);
  const layers = lineage(snapshot);
  const blocks: number[] = [];
  let block = page.limit === 0 ? page.nextBlock : nextBlock(layers, page.nextBlock);
  for (; block !== -1 && blocks.length < page.limit; block = nextBlock(layers, block + 1)) blocks.push(block);
  const expiresAt = service.settings.now() + service.settings.blockTokenLifeMs;
  const tokens = service.tokens.mintBlockTokens(snapshot.id, blocks, expiresAt);
  const entries = blocks.map((index, at) => `{"BlockIndex":${index},"BlockToken":"${tokens[at]}"}`);
  return pageReply(service, snapshot, 'Blocks', entries, expiresAt, page, block);
}

/** ListChangedBlocks: lists the blocks that differ between two snapshots of one lineage. */
export function listChangedBlocks(service: Service, request: ApiRequest): Reply {
  const second = readableSnapshot(service, request.snapshotId);
  const firstId = request.query.get('firstSnapshotId');
  if (firstId === null) throw invalidParameter('firstSnapshotId is required.');
  const first = readableSnapshot(service, firstId);
  const firstLayers = lineage(first);
  const secondLayers = lineage(second);
  if (first === second || !related(firstLayers, secondLayers)) {
    const message = `The snapshots '${first.id}' and '${second.id}' are not of the same lineage.`;
    throw validation('UNRELATED_SNAPSHOTS', message);
  }
  const page = readPage(service, request, second, first);
  const expiresAt = service.settings.now() + service.settings.blockTokenLifeMs;
  const changes = [];
  let from = page.nextBlock;
  while (page.limit > 0) {
    const next = nextDifference(firstLayers, secondLayers, from);
    // A smaller second volume ends before the blocks that only the first has.
    const change = next !== undefined && next.block < second.volumeBlocks ? next : undefined;
    from = change === undefined ? -1 : change.block;
    if (change === undefined || changes.length === page.limit) break;
    changes.push(change);
    from = change.block + 1;
  }
  const blocks = changes.map((change) => change.block);
  const firstTokens = service.tokens.mintBlockTokens(first.id, blocks, expiresAt);
  const secondTokens = service.tokens.mintBlockTokens(second.id, blocks, expiresAt);
  const entries = changes.map((change, at) =>
    JSON.stringify({
      BlockIndex: change.block,
      ...(change.inFirst ? { FirstBlockToken: firstTokens[at] } : {}),
      ...(change.inSecond ? { SecondBlockToken: secondTokens[at] } : {}),
    }),
  );
  return pageReply(service, second, 'ChangedBlocks', entries, expiresAt, page, from);
}

interface Page extends PagePosition {
  /** Limit of entries on this page; 0 for an empty page. */
  limit: number;
}

/** Reads the page's parameters; a page token takes precedence over a starting index. */
function readPage(service: Service, request: ApiRequest, snapshot: Snapshot, first?: Snapshot): Page {
  const { query } = request;
  const { settings } = service;
  const scope = [request.operation, snapshot.id, first?.id].join(' ');
  const maxText = query.get('maxResults');
  const max =
    maxText === null ? DEFAULT_RESULTS : wholeNumber('maxResults', maxText, DEFAULT_RESULTS, MAX_RESULTS);
  const pageToken = query.get('pageToken');
  const startText = query.get('startingBlockIndex');
  let position: PagePosition;
  if (pageToken !== null) {
    const read = service.tokens.readPageToken(pageToken, scope, settings.now());
    if (read === 'expired') throw validation('INVALID_PAGE_TOKEN', 'The page token has expired.');
    if (read === 'invalid')
      throw validation('INVALID_PAGE_TOKEN', 'The page token is not valid for this listing.');
    position = read;
  } else {
    const volumeBlocks = Math.max(snapshot.volumeBlocks, first?.volumeBlocks ?? 0);
    const nextBlock =
      startText === null ? 0 : wholeNumber('startingBlockIndex', startText, 0, volumeBlocks - 1);
    position = { scope, nextBlock, emptyPages: settings.emptyPages };
  }
  const limit = position.emptyPages > 0 ? 0 : Math.min(max, settings.pageSize);
  return { ...position, limit };
}

/** Builds the reply. `next` is the first block after this page, or -1 on the last page. */
function pageReply(
  service: Service,
  snapshot: Snapshot,
  member: string,
  entries: string[],
  expiresAt: number,
  page: Page,
  next: number,
): Reply {
  const { settings, tokens } = service;
  const emptyPages = page.limit === 0 ? page.emptyPages - 1 : settings.emptyPages;
  const nextToken =
    next === -1
      ? null
      : tokens.mintPageToken(
          { scope: page.scope, nextBlock: next, emptyPages },
          settings.now() + settings.pageTokenLifeMs,
        );
  const rest = JSON.stringify({
    ExpiryTime: expiresAt / 1000,
    VolumeSize: snapshot.metadata.volumeSizeGiB,
    BlockSize: snapshot.metadata.blockSize,
    NextToken: nextToken,
  });
  return jsonReply(200, `{"${member}":[${entries.join(',')}],${rest.slice(1)}`);
}
