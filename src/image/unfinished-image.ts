/** Recognizes what an interrupted restore has left: a partial file, or a device whose start is still staged. */
import type { BigIntStats } from 'node:fs';
import type { Descriptor } from './descriptor.ts';
import { deviceIdentity } from './device/identity.ts';
import { exactRealpath } from './exact-path.ts';
import { journalName, partialName } from './names.ts';
import { PartialFile } from './partial-file.ts';
import { isBetween, isMarked } from './partial-mark.ts';
import { journalPath, stateFile } from './state-files.ts';
import type { ImageTarget } from './target.ts';

interface RestoreLocation {
  readonly path: string;
  readonly identity: string;
}

export interface UnfinishedImage {
  /** Where a restore onto it keeps its journal, and the identity that it names; undefined where that is unknown. */
  readonly journal: RestoreLocation | undefined;
  /** Whether it has the mark of a partial file, which a finished image does not have. */
  readonly marked: boolean;
  /** That of the partial file, which the journal names; undefined for a device, which begins with zeros until it is whole. */
  readonly inode: string | undefined;
}

/** Where the journal of a restore to this file is. */
export function fileRestore(file: string): RestoreLocation {
  const identity = `file:${file}`;
  return { path: journalPath(journalName(file), identity), identity };
}

/** Where the journal of a restore to the device of this identity is. */
export const deviceRestore = (identity: string): RestoreLocation => ({
  path: stateFile(identity, 'coldsnap-progress'),
  identity,
});

export async function unfinishedImage(
  descriptor: Descriptor,
  stats: BigIntStats,
  sizeBytes: number,
): Promise<UnfinishedImage | undefined> {
  if (stats.isBlockDevice()) {
    const journal = deviceRestore(await deviceIdentity(stats.rdev, sizeBytes));
    return { journal, marked: false, inode: undefined };
  }
  const ino = Number(stats.ino);
  const marked = await descriptor.use(
    `examine ${descriptor.path}`,
    async (fd) => isMarked(fd, ino) || isBetween(fd, ino),
  );
  const real = await exactRealpath(descriptor.path).catch(() => '');
  const suffix = partialName('');
  const journal = real.endsWith(suffix) ? fileRestore(real.slice(0, -suffix.length)) : undefined;
  return marked || journal !== undefined ? { journal, marked, inode: String(ino) } : undefined;
}

/** @throws ColdsnapError `TARGET_BUSY` while another run is writing the partial file of this target, if it has one */
export async function checkIdle({ path, resumable }: Pick<ImageTarget, 'path' | 'resumable'>): Promise<void> {
  const { partialPath } = resumable ?? {};
  if (partialPath !== undefined) await (await PartialFile.adopt(path, partialPath))?.close();
}
