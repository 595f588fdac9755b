/** Streams of the caller's may fail before they are opened as an image, which takes a while. */
import type { Stream } from 'node:stream';

/** Without a listener such an error would end the process. The image that is opened finds it. */
export function holdErrors(image: string | Stream): void {
  if (typeof image !== 'string' && typeof image.on === 'function') image.on('error', () => {});
}
