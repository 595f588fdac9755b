/** A stream carries one image: two calls that share it would each get, or write, a part of the bytes. */
import type { Readable, Writable } from 'node:stream';
import { streamUsed } from './messages/common.ts';

/** Apart, because the two directions of a Duplex are two streams. */
const used = { source: new WeakSet<object>(), target: new WeakSet<object>() };

/**
 * Marks a stream of the caller's as used, for good: a call that ends has read, ended or destroyed it.
 * @param name of the option, for the message
 * @throws ColdsnapError `BAD_OPTION` when another call was given the stream
 */
export function useStream(
  direction: keyof typeof used,
  stream: Readable | Writable,
  name: string = direction,
): void {
  if (used[direction].has(stream)) throw streamUsed(name);
  used[direction].add(stream);
}
