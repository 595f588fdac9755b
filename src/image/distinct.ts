/** Checks that several targets share no bytes, before any is opened: a write to one must not be seen in another. */
import { type BigIntStats, constants } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { deviceNumber, type KernelFiles, kernelFiles } from './device/identity.ts';
import { fileMedium, Storage } from './device/storage.ts';
import { streamAmongTargets, targetsShareStorage } from './messages/targets.ts';
import { journalName, partialName, stdoutNames } from './names.ts';

interface Identity {
  readonly path: string;
  /** Names of the device or file, and of the files that a restore makes beside it. */
  readonly own: readonly string[];
  /** The same, and what shares storage with it. */
  readonly shared: ReadonlySet<string>;
}

/**
 * @throws ColdsnapError class `usage`: `SAME_TARGET` for the same file or device under any names, a partition and its disk, or
 *   devices that share storage; `SEVERAL_TARGETS` for a stream. Targets that cannot be used for other reasons pass.
 */
export async function checkDistinct(
  paths: readonly string[],
  files: KernelFiles = kernelFiles,
): Promise<void> {
  const storage = Storage.read(files);
  const earlier: Identity[] = [];
  for (const path of paths) {
    const identity = await identify(path, storage);
    const same = earlier.find((other) => overlap(identity, other) || overlap(other, identity));
    if (same !== undefined) throw targetsShareStorage(same.path, path);
    earlier.push(identity);
  }
}

const overlap = ({ own }: Identity, { shared }: Identity): boolean => own.some((name) => shared.has(name));

async function identify(path: string, storage: Storage): Promise<Identity> {
  if (stdoutNames.has(path)) throw streamAmongTargets(path);
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  if (info !== undefined && isStream(info)) throw streamAmongTargets(path);
  if (info?.isBlockDevice()) return identifyExisting(path, info, storage);
  const names = await namesOf(path);
  if (info === undefined) return { path, own: names, shared: new Set(names) };
  const { own, shared } = await identifyExisting(path, info, storage);
  return { path, own: [...names, ...own], shared: new Set([...names, ...shared]) };
}

async function identifyExisting(path: string, info: BigIntStats, storage: Storage): Promise<Identity> {
  if (info.isBlockDevice()) {
    const number = deviceNumber(info.rdev);
    const { devices, media } = await storage.sharing(number);
    // Whether ranges of one medium overlap is known of devices alone.
    return { path, own: [number], shared: new Set([number, ...media, ...devices.map((one) => one.number)]) };
  }
  const medium = fileMedium(info);
  const { devices } = await storage.sharing(medium);
  return { path, own: [medium], shared: new Set([medium, ...devices.map(({ number }) => number)]) };
}

/** Whether a write to one of two existing files or devices can be seen in the other. */
export async function shareStorage(one: string, other: string): Promise<boolean> {
  const storage = Storage.read(kernelFiles);
  const identities: Identity[] = [];
  for (const path of [one, other]) {
    const info = await stat(path, { bigint: true }).catch(() => undefined);
    if (info === undefined) return false;
    identities.push(await identifyExisting(path, info, storage));
  }
  const [first, second] = identities as [Identity, Identity];
  return overlap(first, second) || overlap(second, first);
}

function isStream(info: BigIntStats): boolean {
  const kind = Number(info.mode) & constants.S_IFMT;
  return ![constants.S_IFREG, constants.S_IFBLK, constants.S_IFDIR].includes(kind);
}

/** The names of a file and of those beside it: two targets may not have one in common. Empty where there is no directory. */
async function namesOf(path: string): Promise<string[]> {
  const file = await realpath(path).catch(() => path);
  const directory = await stat(dirname(file), { bigint: true }).catch(() => undefined);
  if (directory === undefined) return [];
  const name = basename(file);
  const all = [name, partialName(name), journalName(name)];
  return all.map((entry) => `name:${directory.dev}:${directory.ino}:${entry}`);
}
