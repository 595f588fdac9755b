import type { Readable } from 'node:stream';

/**
 * Copies a body into `buffer` and returns its length. A body that is longer than the buffer is destroyed as soon as that
 * shows; the length returned is then above the buffer's.
 */
export function readBody(body: Readable, buffer: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    let length = 0;
    body.on('data', (chunk: Buffer) => {
      if (length + chunk.length <= buffer.length) buffer.set(chunk, length);
      length += chunk.length;
      if (length > buffer.length) {
        body.destroy();
        resolve(length);
      }
    });
    body.once('end', () => resolve(length));
    body.once('error', reject);
    body.once('close', () => reject(new Error('the body ended early')));
  });
}
