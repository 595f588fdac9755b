import type { Readable } from 'node:stream';
import { abortedError } from '../cancel.ts';

/**
 * Copies a body into `buffer` and returns its length. A body that is longer than the buffer is destroyed as soon as that
 * shows; the length returned is then above the buffer's. Nothing is written once `signal` has fired: the buffer is the
 * caller's again.
 */
export function readBody(body: Readable, buffer: Uint8Array, signal?: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    let length = 0;
    const stop = () => {
      body.off('data', receive);
      body.destroy();
      reject(abortedError(signal as AbortSignal));
    };
    function receive(chunk: Buffer): void {
      if (length + chunk.length <= buffer.length) buffer.set(chunk, length);
      length += chunk.length;
      if (length > buffer.length) {
        body.destroy();
        resolve(length);
      }
    }
    body.on('data', receive);
    body.once('end', () => resolve(length));
    body.once('error', reject);
    body.once('close', () => {
      signal?.removeEventListener('abort', stop);
      reject(new Error('the body ended early'));
    });
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
