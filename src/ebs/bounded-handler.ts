/** The SDK's HTTP handler with a limit on reply size, because the SDK collects whole replies in memory. */
import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { ColdsnapError } from '../errors.ts';

/** The longest valid reply, a list of 10,000 changed blocks with two tokens each, has about 6 MiB. */
const MAX_REPLY_BYTES = 32 * 2 ** 20;

export class BoundedHandler extends NodeHttpHandler {
  /** The context of its TLS connections; undefined for an endpoint without TLS. */
  readonly secureContext: SecureContext | undefined;

  constructor(options: NodeHttpHandlerOptions, secureContext?: SecureContext) {
    super(options);
    this.secureContext = secureContext;
  }

  /** Like the SDK's, but a reply that is too long fails with class `permanent`, code `BAD_REPLY`. */
  override async handle(
    ...args: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    const reply = await super.handle(...args);
    const { response } = reply;
    const body = response.body as Readable;
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
