/**
 * Block data over our own connections: the SDK's HTTP handler turns bodies into streams, which cost more than TLS. This
 * code understands only successful block replies. The SDK parses error replies that arrive complete. After any other
 * reply the connection is closed and the request repeated through the SDK. All other calls go to the SDK.
 *
 * A failure without a reply (no connection, lost, stalled) is not repeated through the SDK: a second client would wait
 * again and learn nothing more.
 */
import type { EBSClient } from '@aws-sdk/client-ebs';
import { abortedError } from '../../cancel.ts';
import type { CallOptions, EbsDirectApi, GetBlockRequest, PutBlockRequest, ReceivedBlock } from '../api.ts';
import { BoundedHandler } from '../bounded-handler.ts';
import { tlsContext } from '../connect/certificates.ts';
import type { Deadlines } from '../connect.ts';
import { ApiDecorator } from '../decorator.ts';
import { classify } from '../errors.ts';
import { withoutToken } from '../failure.ts';
import { checkBlockHeaders, checkBodyLength, checkStoredChecksum } from '../reply-checks.ts';
import { blockContext } from '../request-context.ts';
import type { TlsSettings } from '../tls-settings.ts';
import { BlockRequests } from './block-requests.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type ErrorReply, errorReply, throwError } from './error-reply.ts';
import type { ExchangeOptions } from './exchange.ts';
import { directOrigin } from './origin.ts';
import { MAX_HEAD_BYTES, type ReplyHead, UnsupportedReply } from './reply-head.ts';

interface FastBlockOptions {
  /** Most connections at a time; further requests wait for one. */
  readonly connections: number;
  readonly deadlines: Deadlines;
}

/** Signed requests and connections for one endpoint. */
interface Route {
  readonly requests: BlockRequests;
  readonly pool: ConnectionPool;
}

export class FastBlockApi extends ApiDecorator {
  readonly #client: EBSClient;
  readonly #options: FastBlockOptions;
  #route: Promise<Route | undefined> | undefined;

  /**
   * @param sdk serves all other calls, and repeats requests whose replies are not understood here
   * @param client source of the endpoint, region, credentials and clock
   */
  constructor(sdk: EbsDirectApi, client: EBSClient, options: FastBlockOptions) {
    super(sdk);
    this.#client = client;
    this.#options = options;
  }

  override async getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    const context = blockContext('GetSnapshotBlock', request);
    const signal = options?.signal;
    if (signal?.aborted) throw abortedError(signal);
    try {
      const route = await this.#findRoute();
      if (route !== undefined) {
        const head = await route.requests.get(request, signal);
        if (signal?.aborted) throw abortedError(signal);
        let received: ReceivedBlock | undefined;
        const accept = (reply: ReplyHead) => {
          const { status, contentLength, requestId } = reply;
          if (status !== 200 || contentLength > buffer.length) {
            throw new UnsupportedReply(`HTTP ${status} with ${contentLength} bytes`);
          }
          received = checkBlockHeaders(context, buffer.length, reply);
          checkBodyLength(context, contentLength, received, requestId);
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
    return super.getSnapshotBlock(request, buffer, options);
  }

  override async putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    const context = blockContext('PutSnapshotBlock', request);
    const signal = options?.signal;
    if (signal?.aborted) throw abortedError(signal);
    try {
      const route = await this.#findRoute();
      if (route !== undefined) {
        const { digest, data } = request;
        const checksum = Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('base64');
        const head = await route.requests.put(request, checksum, signal);
        if (signal?.aborted) throw abortedError(signal);
        const accept = ({ status, contentLength, checksum: stored, requestId }: ReplyHead) => {
          if (status !== 201 || contentLength > ignoredBody.length) {
            throw new UnsupportedReply(`HTTP ${status} with ${contentLength} bytes`);
          }
          checkStoredChecksum(context, checksum, stored, requestId);
          return ignoredBody.subarray(0, contentLength);
        };
        await this.#exchange(route, { head, payload: data, signal, accept });
        return;
      }
    } catch (error) {
      if (!(error instanceof UnsupportedReply)) throw classify(error, context, signal);
    }
    return super.putSnapshotBlock(request, options);
  }

  override close(): void {
    this.#route?.then(
      (route) => route?.pool.close(),
      () => {},
    );
    super.close();
  }

  /** Sends a request; an error reply is thrown as the SDK's exception. */
  async #exchange({ pool }: Route, options: ExchangeOptions): Promise<void> {
    let error: ErrorReply | undefined;
    const accept = (reply: ReplyHead) => {
      error = errorReply(reply);
      return error?.body ?? options.accept(reply);
    };
    await pool.request({ ...options, accept });
    if (error !== undefined) await throwError(this.#client, error);
  }

  /** The route, made on first use; undefined when only the SDK can reach the endpoint. */
  #findRoute(): Promise<Route | undefined> {
    this.#route ??= this.#makeRoute().catch((error: unknown) => {
      this.#route = undefined;
      throw error;
    });
    return this.#route;
  }

  async #makeRoute(): Promise<Route | undefined> {
    const origin = await directOrigin(this.#client);
    if (origin === undefined) return undefined;
    const { connections, deadlines } = this.#options;
    return {
      requests: new BlockRequests(this.#client, await this.#client.config.region(), origin),
      pool: new ConnectionPool(origin, connections, deadlines, () => this.#tls()),
    };
  }

  /** Those of the client, with the session of a request that the SDK has made, unless the caller made the client. */
  #tls(): TlsSettings {
    const { requestHandler } = this.#client.config;
    const ours = requestHandler instanceof BoundedHandler ? requestHandler.tls : undefined;
    return ours ?? { context: tlsContext(), session: undefined };
  }
}

/** Receives the bodies of replies to puts, which are not used. */
const ignoredBody = Buffer.allocUnsafe(MAX_HEAD_BYTES);
