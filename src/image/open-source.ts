/** Opens a source by the kind of file that its path refers to, and refuses unsuitable ones. */
import { constants } from 'node:fs';
import { Socket } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { Descriptor } from './descriptor.ts';
import { localError } from './errno.ts';
import { badOption } from './messages/common.ts';
import {
  holesNeedFile,
  sourceIsDirectory,
  sourceIsTerminal,
  sourceMissing,
  sourceNameEmpty,
  sourceNotSupported,
  sourceSizeUnknown,
} from './messages/sources.ts';
import { partialName } from './names.ts';
import type { ImageSource } from './source.ts';
import { statIfExists } from './stat.ts';
import { openStdin, type Watch, watchStdin } from './stdin-file.ts';
import { openStoredSource, type StoredSourceOptions } from './stored-source.ts';
import { StreamSource } from './stream-source.ts';
import { useStream } from './used-streams.ts';

const stdinNames: ReadonlySet<string> = new Set(['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']);

export interface OpenSourceOptions extends StoredSourceOptions {
  /** How many bytes a stream may give; needed for streams, of no effect otherwise. */
  readonly streamSize?: number | undefined;
  /** Only for checks: a stream of the caller's is neither read nor destroyed. */
  readonly peek?: boolean | undefined;
}

/**
 * Opens a source for an upload: a regular file or block device, read-only; a FIFO, stdin (`-`) or a Readable, with the
 * size declared. Symbolic links are followed.
 * @throws ColdsnapError of class `usage` or `local`
 */
export async function openSource(
  source: string | Readable,
  options: OpenSourceOptions = {},
): Promise<ImageSource> {
  if (typeof source !== 'string') {
    if (!isReadable(source)) throw badOption(options.role ?? 'source', 'a path or a stream to read', source);
    const open = () => {
      if (options.peek === true) return new PassThrough();
      useStream('source', source, options.role);
      return source;
    };
    return openStream({ path: 'stream', label: 'stream' }, open, options);
  }
  if (source === '') throw sourceNameEmpty();
  if (stdinNames.has(source)) {
    const stdin = { path: source, label: 'stdin' };
    if (isatty(0)) throw sourceIsTerminal(stdin);
    const watch = await watchStdin(stdin.label, options.force === true);
    return openStream(stdin, openStdin, options, watch);
  }
  const info = await statIfExists(source);
  if (info === undefined) {
    const partial = partialName(source);
    throw sourceMissing(source, (await statIfExists(partial))?.isFile() ? partial : undefined);
  }
  if (info.isDirectory()) throw sourceIsDirectory(source);
  if (info.isFIFO()) return openStream({ path: source, label: source }, () => openFifo(source), options);
  if (info.isCharacterDevice()) throw sourceNotSupported(source, 'a character device');
  if (info.isSocket()) throw sourceNotSupported(source, 'a socket');
  return openStoredSource(source, options);
}

function isReadable(stream: Readable): boolean {
  return typeof stream.on === 'function' && Symbol.asyncIterator in stream;
}

/** A blocking open() would hold a thread until there is a writer, and delay the exit of this process. */
async function openFifo(path: string): Promise<Readable> {
  try {
    const descriptor = await Descriptor.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return new Socket({ fd: descriptor.release(), readable: true, writable: false });
  } catch (error) {
    throw localError(error, `open ${path}`, path);
  }
}

async function openStream(
  named: { path: string; label: string },
  open: () => Readable | Promise<Readable>,
  options: OpenSourceOptions,
  watch?: Watch,
): Promise<ImageSource> {
  if (options.detectHoles || options.holesFromSidecar !== undefined) throw holesNeedFile(named);
  if (options.streamSize === undefined) throw sourceSizeUnknown(named);
  return new StreamSource(named, await open(), {
    sizeBytes: options.streamSize,
    signal: options.signal,
    raw: options.format === 'raw',
    watch,
  });
}
