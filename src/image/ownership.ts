/** Owner and permissions of a restored file. */
import { type BigIntStats, constants, fchmod, fchown } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { copyAccessList } from '../native/index.ts';
import { newFileMode } from './create-file.ts';
import type { Descriptor } from './descriptor.ts';
import { isErrno } from './errno.ts';

const fchmodFd = promisify(fchmod);
const fchownFd = promisify(fchown);
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * As cp and qemu-img do: a new file gets 0666 without the umask's bits, or what the directory's default access control
 * list permits; one that replaces another keeps its permissions and its owner, where this process may set them.
 * @param file the path of the file that is replaced
 */
export async function setOwnerAndMode(
  descriptor: Descriptor,
  file: string,
  replaced: BigIntStats | undefined,
): Promise<void> {
  await descriptor.use(`set the permissions of ${descriptor.path}`, async (fd) => {
    if (replaced === undefined) {
      // process.umask() sets the umask to 0 for a moment, also for files that other threads make.
      return ifPermitted(fchmodFd(fd, newFileMode(dirname(descriptor.path)) ?? 0o666 & ~process.umask()));
    }
    if (process.geteuid?.() === 0)
      await ifPermitted(fchownFd(fd, Number(replaced.uid), Number(replaced.gid)));
    const list = await takeAccessList(fd, file, replaced);
    // With a list, the bits of the group are the most that the list permits, not what the group may do.
    const bits = list === 'unknown' ? 0o707 : 0o777;
    if (list !== 'taken') await ifPermitted(fchmodFd(fd, Number(replaced.mode) & bits));
  });
}

/** Gives a file the access control list of the one that it replaces, with the permissions in it. */
async function takeAccessList(
  fd: number,
  file: string,
  { dev, ino }: BigIntStats,
): Promise<'taken' | 'none' | 'unknown'> {
  const source = await open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
  try {
    const found = await source?.stat({ bigint: true });
    if (source === undefined || found?.dev !== dev || found.ino !== ino) return 'unknown';
    return copyAccessList(source.fd, fd) ? 'taken' : 'none';
  } catch {
    return 'unknown';
  } finally {
    await source?.close();
  }
}

/** Gives a file back to this process alone, after {@link setOwnerAndMode}. */
export async function takeBack(descriptor: Descriptor): Promise<void> {
  await descriptor.use(`set the permissions of ${descriptor.path}`, async (fd) => {
    if (process.geteuid?.() === 0) await ifPermitted(fchownFd(fd, 0, process.getegid?.() ?? 0));
    await ifPermitted(fchmodFd(fd, 0o600));
  });
}

/**
 * The image is whole, with any owner. FAT has one owner and mode for all files, an NFS server may take root for nobody, a
 * user namespace may not have the owner, and Node's permission model permits neither call.
 */
async function ifPermitted(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!isErrno(error, 'EPERM', 'EACCES', 'EINVAL', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP')) throw error;
  }
}
