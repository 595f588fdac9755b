/**
 * Block data without the SDK's HTTP handler, whose stream bodies cost more than TLS does. It understands exactly one thing,
 * a block sent or taken as it should be. An error that arrives whole is given to the SDK to be parsed and named; any other
 * reply closes the connection, and the request is made again through the SDK. Everything that is not about blocks goes to
 * the SDK anyway.
 *
 * Failures that have no reply to parse (no connection, connection lost, nothing moving) are not repeated there: another
 * client would learn nothing more, and wait a second time.
 */
import type { EBSClient } from '@aws-sdk/client-ebs';
import { abortedError } from '../../cancel.ts';
import type {
  BlockPage,
  CallOptions,
  ChangedBlockPage,
  CompleteRequest,
  EbsDirectApi,
  GetBlockRequest,
  ListBlocksRequest,
  ListChangedBlocksRequest,
  PutBlockRequest,
  ReceivedBlock,
  StartedSnapshot,
  StartRequest,
} from '../api.ts';
import type { Deadlines } from '../connect.ts';
import { classify, withoutToken } from '../errors.ts';
import { badBlock, checkBlockHeaders } from '../sdk-api.ts';
import { BlockRequests } from './block-requests.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type ErrorReply, errorReply, throwError } from './error-reply.ts';
import type { ExchangeOptions } from './exchange.ts';
import { directOrigin } from './origin.ts';
import { MAX_HEAD_BYTES, type ReplyHead, UnsupportedReply } from './reply-head.ts';

export interface FastBlockOptions {
  /** Most connections at a time; requests beyond wait. */
  readonly connections: number;
  readonly deadlines: Deadlines;
}

interface Route {
  readonly requests: BlockRequests;
  readonly pool: ConnectionPool;
}

export class FastBlockApi implements EbsDirectApi {
  readonly #fallback: EbsDirectApi;
  readonly #client: EBSClient;
  readonly #options: FastBlockOptions;
  #route: Promise<Route | undefined> | undefined;

  /**
   * @param fallback serves everything else; closed together with this
   * @param client whose endpoint, region, credentials and clock are used
   */
  constructor(fallback: EbsDirectApi, client: EBSClient, options: FastBlockOptions) {
    this.#fallback = fallback;
    this.#client = client;
    this.#options = options;
  }

  async getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    const context = {
      operation: 'GetSnapshotBlock',
      snapshotId: request.snapshotId,
      block: request.blockIndex,
    };
    const signal = options?.signal;
    if (signal?.aborted) throw abortedError(signal);
    try {
      const route = await this.#ready();
      if (route !== undefined) {
        const head = await route.requests.get(request);
        if (signal?.aborted) throw abortedError(signal);
        let received: ReceivedBlock | undefined;
        const accept = (reply: ReplyHead) => {
          const { status, contentLength, requestId } = reply;
          if (status !== 200 || contentLength > buffer.length) {
            throw new UnsupportedReply(`HTTP ${status} with ${contentLength} bytes`);
          }
          received = checkBlockHeaders(context, buffer.length, reply);
          if (contentLength !== received.dataLength) {
            throw badBlock(
              context,
              `has ${contentLength} bytes where its header says ${received.dataLength}`,
              requestId,
            );
          }
          return contentLength === buffer.length ? buffer : buffer.subarray(0, contentLength);
        };
        await this.#exchange(route, { head, signal, accept });
        return received as unknown as ReceivedBlock;
      }
    } catch (error) {
      if (!(error instanceof UnsupportedReply)) {
        throw classify(withoutToken(error, request.blockToken), context, signal);
      }
    }
    return this.#fallback.getSnapshotBlock(request, buffer, options);
  }

  async putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    const context = {
      operation: 'PutSnapshotBlock',
      snapshotId: request.snapshotId,
      block: request.blockIndex,
    };
    const signal = options?.signal;
    if (signal?.aborted) throw abortedError(signal);
    try {
      const route = await this.#ready();
      if (route !== undefined) {
        const { digest, data } = request;
        const checksum = Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('base64');
        const head = await route.requests.put(request, checksum);
        if (signal?.aborted) throw abortedError(signal);
        const accept = ({ status, contentLength, checksum: stored, requestId }: ReplyHead) => {
          if (status !== 201 || contentLength > sink.length) {
            throw new UnsupportedReply(`HTTP ${status} with ${contentLength} bytes`);
          }
          if (stored !== undefined && stored !== checksum) {
            throw badBlock(context, 'was stored with another checksum', requestId);
          }
          return sink.subarray(0, contentLength);
        };
        await this.#exchange(route, { head, payload: data, signal, accept });
        return;
      }
    } catch (error) {
      if (!(error instanceof UnsupportedReply)) throw classify(error, context, signal);
    }
    return this.#fallback.putSnapshotBlock(request, options);
  }

  listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    return this.#fallback.listSnapshotBlocks(request, options);
  }

  listChangedBlocks(request: ListChangedBlocksRequest, options?: CallOptions): Promise<ChangedBlockPage> {
    return this.#fallback.listChangedBlocks(request, options);
  }

  startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    return this.#fallback.startSnapshot(request, options);
  }

  completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    return this.#fallback.completeSnapshot(request, options);
  }

  close(): void {
    this.#route?.then(
      (route) => route?.pool.close(),
      () => {},
    );
    this.#fallback.close();
  }

  /** Makes a request; has the SDK throw the error that comes as its reply. */
  async #exchange({ pool }: Route, options: ExchangeOptions): Promise<void> {
    let error: ErrorReply | undefined;
    const accept = (reply: ReplyHead) => {
      error = errorReply(reply);
      return error?.body ?? options.accept(reply);
    };
    await pool.request({ ...options, accept });
    if (error !== undefined) await throwError(this.#client, error);
  }

  /** Where requests go and how they are signed; undefined when only the SDK can reach the endpoint. */
  #ready(): Promise<Route | undefined> {
    this.#route ??= this.#findRoute().catch((error: unknown) => {
      this.#route = undefined;
      throw error;
    });
    return this.#route;
  }

  async #findRoute(): Promise<Route | undefined> {
    const origin = await directOrigin(this.#client);
    if (origin === undefined) return undefined;
    const { connections, deadlines } = this.#options;
    return {
      requests: new BlockRequests(this.#client, await this.#client.config.region(), origin),
      pool: new ConnectionPool(origin, connections, deadlines),
    };
  }
}

/** Bodies of replies that say nothing more than their heads, `{}`, go where nobody looks. */
const sink = Buffer.allocUnsafe(MAX_HEAD_BYTES);
