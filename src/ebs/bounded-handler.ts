/**
 * The SDK's HTTP handler with a limit on reply size, because the SDK collects whole replies in memory, and with shorter
 * deadlines for what is no block.
 */
import type { Agent as HttpAgent, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { pipeline, Transform, type TransformCallback } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { ColdsnapError } from '../errors.ts';
import { ownError } from './failure.ts';
import { limitBody, withinHeadLimit } from './reply-limits.ts';
import type { TlsSettings } from './tls-settings.ts';

/** The longest valid reply, a list of 10,000 changed blocks with two tokens each, has about 6 MiB. */
const MAX_REPLY_BYTES = 32 * 2 ** 20;

/** Lists, starts and completions are short; while one hangs, nothing else may be left to do. */
const MAX_QUICK_IDLE_MS = 20_000;
const BLOCK_PATH = /\/snapshots\/[^/]+\/blocks\/\d+$/;

interface BoundedHandlerOptions {
  /** Milliseconds in which the agents establish a connection or fail. */
  readonly connectMs: number;
  /** Milliseconds without data, for requests of a block; for all others at most 20 s. */
  readonly socketTimeout: number;
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

export class BoundedHandler extends NodeHttpHandler {
  /** The settings of its TLS connections; undefined for an endpoint without TLS. */
  readonly tls: TlsSettings | undefined;
  /** Handles all requests but those of a block, over the same connections. */
  readonly #quick: NodeHttpHandler;
  readonly #agents: readonly [HttpAgent, HttpsAgent];
  readonly #idleMs: number;
  readonly #connectMs: number;

  constructor(options: BoundedHandlerOptions, tls?: TlsSettings) {
    super(options);
    this.#agents = [options.httpAgent, options.httpsAgent];
    this.#idleMs = options.socketTimeout;
    this.#connectMs = options.connectMs;
    this.tls = tls;
    const socketTimeout = Math.min(options.socketTimeout, MAX_QUICK_IDLE_MS);
    this.#quick = new NodeHttpHandler({ ...options, socketTimeout });
  }

  /** Closes the connections. The SDK's handlers know their agents only after a request. */
  override destroy(): void {
    for (const agent of this.#agents) agent.destroy();
  }

  /** Like the SDK's, but a reply that is too long fails with class `permanent`, code `BAD_REPLY`, one that never ends as stalled. */
  override async handle(
    ...args: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    const [request, options] = args;
    const ofBlock = BLOCK_PATH.test(request.path);
    const idleMs = ofBlock ? this.#idleMs : Math.min(this.#idleMs, MAX_QUICK_IDLE_MS);
    const limit = {
      ms: idleMs + this.#connectMs,
      payloadBytes: request.body instanceof Uint8Array ? request.body.length : 0,
      signal: options?.abortSignal as AbortSignal | undefined,
    };
    const reply = await withinHeadLimit(limit, (abortSignal) =>
      ofBlock
        ? super.handle(request, { ...options, abortSignal })
        : this.#quick.handle(request, { ...options, abortSignal }),
    ).catch((error) => {
      throw ownError(error);
    });
    const { response } = reply;
    const body = response.body as IncomingMessage;
    limitBody(body, idleMs);
    const announced = response.headers['content-length'];
    if (announced === undefined) {
      const bounded = new Bounded();
      // The reader of `bounded` gets the errors of both streams.
      pipeline(body, bounded, () => {});
      response.body = bounded;
    } else if (Number(announced) > MAX_REPLY_BYTES) {
      body.destroy();
      throw tooLong();
    }
    return reply;
  }
}

class Bounded extends Transform {
  #length = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#length += chunk.length;
    if (this.#length > MAX_REPLY_BYTES) done(tooLong());
    else done(null, chunk);
  }
}

function tooLong(): ColdsnapError {
  return new ColdsnapError(
    'permanent',
    'BAD_REPLY',
    `a reply is longer than ${MAX_REPLY_BYTES / 2 ** 20} MiB`,
    {
      hint: 'Check that the endpoint URL belongs to the service.',
    },
  );
}
