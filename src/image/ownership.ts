/** Owner and permissions of a restored file. */
import { type BigIntStats, fchmod, fchown } from 'node:fs';
import { promisify } from 'node:util';
import type { Descriptor } from './descriptor.ts';

const fchmodFd = promisify(fchmod);
const fchownFd = promisify(fchown);

/**
 * As cp and qemu-img do: a new file gets 0666 without the umask's bits; one that replaces another keeps its permissions,
 * and its owner where this process may set it.
 */
export async function setOwnerAndMode(
  descriptor: Descriptor,
  replaced: BigIntStats | undefined,
): Promise<void> {
  await descriptor.use(`set the permissions of ${descriptor.path}`, async (fd) => {
    if (replaced !== undefined && process.geteuid?.() === 0)
      await fchownFd(fd, Number(replaced.uid), Number(replaced.gid));
    await fchmodFd(fd, replaced === undefined ? 0o666 & ~process.umask() : Number(replaced.mode) & 0o777);
  });
}

/** Gives a file back to this process alone, after {@link setOwnerAndMode}. */
export async function takeBack(descriptor: Descriptor): Promise<void> {
  await descriptor.use(`set the permissions of ${descriptor.path}`, async (fd) => {
    if (process.geteuid?.() === 0) await fchownFd(fd, 0, process.getegid?.() ?? 0);
    await fchmodFd(fd, 0o600);
  });
}
