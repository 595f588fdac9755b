/** Sends a command with an AWS SDK client and turns its failure into a ColdsnapError. */
import { abortedError } from '../cancel.ts';
import type { CallOptions } from './api.ts';
import { classify } from './errors.ts';
import { withoutToken } from './failure.ts';
import type { RequestContext } from './request-context.ts';

/** Options of an SDK client's `send`. */
export interface SendOptions {
  abortSignal?: AbortSignal;
}

/**
 * @param token secret of the request, removed from the error
 * @throws ColdsnapError of any class; `aborted` without sending when the signal has fired already
 */
export async function callSdk<T>(
  context: RequestContext,
  options: CallOptions | undefined,
  send: (options: SendOptions) => Promise<T>,
  token?: string,
): Promise<T> {
  const signal = options?.signal;
  if (signal?.aborted) throw abortedError(signal);
  try {
    return await send(signal === undefined ? {} : { abortSignal: signal });
  } catch (error) {
    throw classify(withoutToken(error, token), context, signal);
  }
}
