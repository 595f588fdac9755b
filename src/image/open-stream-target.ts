/** Opens the targets that are written in order: stdout, FIFOs, /dev/null. */
import { type BigIntStats, constants, createWriteStream, fstatSync, readFileSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { abortedError } from '../cancel.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import { exactRealpath } from './exact-path.ts';
import { fifoOfOther, stdoutDiscards, streamClosed, targetIsTerminal } from './messages/targets.ts';
import { StreamTarget } from './stream-target.ts';

/** The device number of /dev/null. */
const nullDevice = 0x103;
/** How often to check whether a FIFO has a reader. */
const readerPollMs = 100;

/**
 * Opens stdout that is no block device. A pipe is opened a second time, without blocking: Node's own `process.stdout` writes to pipes
 * synchronously, and a slow reader would stop the network, the timers and Ctrl-C.
 * @throws ColdsnapError `TARGET_IS_TERMINAL`, `TARGET_NOT_SUPPORTED`
 */
export async function openStdout(path: string): Promise<StreamTarget> {
  const stdout = { path, label: 'stdout' };
  if (isatty(1)) throw targetIsTerminal(stdout);
  const info = fstatSync(1);
  if (mayBeClosed(info)) throw stdoutDiscards(path);
  if (info.isFIFO()) {
    try {
      const pipe = await Descriptor.open('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
      return new StreamTarget(path, pipeStream(pipe), { label: stdout.label, copies: false, end: true });
    } catch (error) {
      if (isErrno(error, 'ENXIO')) throw streamClosed(stdout, error);
      // No /proc, or a pipe that belongs to another user.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) throw localError(error, 'open stdout', path);
    }
  } else if (!info.isSocket()) {
    const stream = createWriteStream('', { fd: 1, autoClose: false });
    const options = {
      label: stdout.label,
      copies: false,
      end: true,
      ...(info.isFile() ? { syncFd: 1 } : {}),
    };
    return new StreamTarget(path, stream, options);
  }
  return new StreamTarget(path, process.stdout, { label: stdout.label, copies: false, end: false });
}

/** Node opens /dev/null for reading and writing where stdout is closed. A shell's redirection to it is for writing only. */
function mayBeClosed(stdout: Stats): boolean {
  if (!stdout.isCharacterDevice() || stdout.rdev !== nullDevice) return false;
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/fdinfo/1', 'utf8'))?.[1] ?? '';
    return (Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR)) === constants.O_RDWR;
  } catch {
    return false;
  }
}

function pipeStream(descriptor: Descriptor): Writable {
  return new Socket({ fd: descriptor.release(), readable: false, writable: true });
}

/**
 * Refuses what the kernel refuses shells (fs.protected_fifos): a FIFO that another user has made in /tmp, to get what is written
 * to a new file of that name.
 * @throws ColdsnapError `TARGET_NOT_SUPPORTED`
 */
export async function checkFifo(path: string, { uid }: BigIntStats): Promise<void> {
  const directory = await stat(dirname(await exactRealpath(path)));
  if ((directory.mode & constants.S_IWOTH) === 0) return;
  if (![process.geteuid?.(), directory.uid].includes(Number(uid))) throw fifoOfOther(path);
}

/**
 * Opens a FIFO; waits for its reader.
 * @throws ColdsnapError of class `aborted` when the signal fires before there is one
 */
export async function openFifo(path: string, signal: AbortSignal | undefined): Promise<StreamTarget> {
  for (;;) {
    if (signal?.aborted) throw abortedError(signal);
    try {
      // A blocking open() would hold a thread until there is a reader, and delay the exit of this process.
      const descriptor = await Descriptor.open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      return new StreamTarget(path, pipeStream(descriptor), { copies: false, end: true });
    } catch (error) {
      if (!isErrno(error, 'ENXIO')) throw localError(error, `open ${path}`, path);
    }
    await delay(readerPollMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
}

/** Opens a character device that takes any bytes, such as /dev/null. */
export async function openCharacterDevice(path: string): Promise<StreamTarget> {
  let descriptor: Descriptor;
  try {
    descriptor = await Descriptor.open(path, constants.O_WRONLY | constants.O_NOCTTY);
  } catch (error) {
    throw localError(error, `open ${path}`, path);
  }
  return new StreamTarget(path, createWriteStream('', { fd: descriptor.release() }), {
    copies: false,
    end: true,
  });
}
