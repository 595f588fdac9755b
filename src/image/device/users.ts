/**
 * Who uses a block device or a file, asked before either is overwritten and before a source is read: mounts, swap, holders,
 * loop devices, other paths to the same disk, and programs. Unreadable files only make the answer shorter; the
 * kernel's own refusal (O_EXCL) does not depend on it.
 */
import { stat } from 'node:fs/promises';
import { pause } from '../../cancel.ts';
import type { Descriptor } from '../descriptor.ts';
import { unknownClaim } from '../messages/devices.ts';
import { deviceNumber, type KernelFiles, kernelFiles } from './identity.ts';
import { devicesOf, type Mount, numberOfNode, readMounts, readSwaps } from './mounts.ts';
import { ancestors, findLockers, findOpeners } from './processes.ts';
import { type BlockDevice, fileMedium, namesIn, Storage, textOf } from './storage.ts';

const claimAttempts = 20;
/** Longest pause between them; of random length, so that two that wait for each other part. */
const claimPauseMs = 50;
/** Enough to act upon; a hypervisor may have hundreds. */
const maxNamed = 5;

interface UsersOptions {
  /** Only who may write: read-only mounts, holders and loop devices do not count unless something above them writes. */
  readonly writers?: boolean;
  /** Also programs that only read, this one included. */
  readonly readers?: boolean;
  /** Whether the device is this process's stdout, which the programs that started it have open too. */
  readonly stdout?: boolean;
  /** Where the kernel's files are; tests use other directories. */
  readonly files?: KernelFiles;
}

/**
 * Sentences about who uses a block device or anything that shares its storage, for example `mounted at /mnt (ext4)`.
 * Programs count when they have it open for writing. Empty when no user is known.
 */
export async function describeUsers(rdev: bigint, options: UsersOptions = {}): Promise<string[]> {
  const { files = kernelFiles } = options;
  const number = deviceNumber(rdev);
  const storage = Storage.read(files);
  const self = storage.device(number) ?? { number, name: number, directory: '', size: Infinity };
  return shorten(await usersOf({ self, storage, options, files }));
}

/**
 * Who may write a device that is about to be read. File systems and drivers that leave no trace where the others are looked
 * for (ZFS, an external journal, a disk that is exported) claim the device, which is seen in that it cannot be claimed.
 */
export async function describeWriters(device: Descriptor, rdev: bigint): Promise<string[]> {
  const writers = await describeUsers(rdev, { writers: true });
  if (writers.length > 0) return writers;
  if (await device.canBeClaimed()) return [];
  // Those that only read may hold the claim, too.
  const readers = await describeUsers(rdev);
  if (readers.length > 0) return [];
  for (let attempt = 1; attempt < claimAttempts; attempt++) {
    // Another upload of the same disk claims it for a moment, too.
    await pause(claimPauseMs * Math.random());
    if (await device.canBeClaimed()) return [];
  }
  return [unknownClaim];
}

/** The same for a regular file: also swap files, locks and mounts over the file's own name. */
export async function describeFileUsers(
  path: string,
  file: { readonly dev: bigint; readonly ino: bigint },
  options: UsersOptions = {},
): Promise<string[]> {
  const { files = kernelFiles } = options;
  const storage = Storage.read(files);
  const uses = await usersOf({ file, storage, options, files });
  for (const swap of readSwaps(files)) {
    const info = await stat(swap, { bigint: true }).catch(() => undefined);
    if (info?.isFile() && info.dev === file.dev && info.ino === file.ino) uses.push('used as swap');
  }
  const lockers = findLockers(file, files).filter((pid) => pid !== process.pid);
  for (const pid of lockers) uses.push(pid > 0 ? `locked by process ${pid}` : 'locked by a program');
  if (options.writers !== true) {
    const mounted = readMounts(files).some(({ directory }) => directory === path);
    if (mounted) uses.push('a mount point');
  }
  return shorten(uses);
}

interface Question {
  readonly self?: BlockDevice;
  readonly file?: { readonly dev: bigint; readonly ino: bigint };
  readonly storage: Storage;
  readonly options: UsersOptions;
  readonly files: KernelFiles;
}

async function usersOf(question: Question): Promise<string[]> {
  const { self, file, storage, options, files } = question;
  const shared = await storage.sharing(file === undefined ? (self?.number ?? '') : fileMedium(file));
  const members = new Map(shared.devices.map((device) => [device.number, device]));
  if (self !== undefined) members.set(self.number, self);
  const prefix = (member: BlockDevice) => prefixFor(member, self);

  const uses: string[] = [];
  for (const [member, mount] of await mountsOf(members, files)) {
    if (options.writers === true && !mount.writable) continue;
    const where =
      mount.elsewhere === undefined ? '' : ` in the mount namespace of process ${mount.elsewhere}`;
    uses.push(`${prefix(member)}mounted at ${mount.directory} (${mount.fileSystem})${where}`);
  }
  for (const path of readSwaps(files)) {
    const member = members.get((await numberOfNode(path)) ?? '');
    if (member !== undefined) uses.push(`${prefix(member)}used as swap`);
  }
  if (options.writers !== true) uses.push(...(await claimsOn(members, question)));
  uses.push(...(await openersOf(members, shared.media, question)));
  return uses;
}

function prefixFor(member: BlockDevice, self: BlockDevice | undefined): string {
  if (member.number === self?.number) return '';
  if (self !== undefined && member.disk?.number === self.number) return `its partition ${member.name} is `;
  if (self !== undefined && self.disk?.number === member.number) return `its disk ${member.name} is `;
  return `${member.name}, which shares its storage, is `;
}

async function mountsOf(
  members: ReadonlyMap<string, BlockDevice>,
  files: KernelFiles,
): Promise<[BlockDevice, Mount][]> {
  const found: [BlockDevice, Mount][] = [];
  const here = new Set<string>();
  for (const mount of readMounts(files)) {
    // btrfs and similar file systems have a number of their own, but name the device.
    const [member] = (await devicesOf(mount, files)).flatMap((number) => members.get(number) ?? []);
    // Another namespace usually has copies of this one's mounts.
    if (member === undefined || (mount.elsewhere !== undefined && here.has(member.number))) continue;
    here.add(member.number);
    found.push([member, mount]);
  }
  return found;
}

/** Devices that are made of this storage: device mapper, md, and loop devices. */
async function claimsOn(
  members: ReadonlyMap<string, BlockDevice>,
  { self, storage }: Question,
): Promise<string[]> {
  const uses: string[] = [];
  const below = self === undefined ? new Set<string>() : await storage.below(self.number);
  for (const member of members.values()) {
    for (const holder of namesIn(`${member.directory}/holders`)) {
      const name = textOf(`${member.directory}/holders/${holder}/dm/name`).trim();
      uses.push(`${prefixFor(member, self)}held by ${holder}${name === '' ? '' : ` (${name})`}`);
    }
    const above = member.number !== self?.number && !below.has(member.number);
    if (above && member.backing !== undefined) uses.push(`attached to /dev/${member.name}`);
  }
  return uses;
}

async function openersOf(
  members: ReadonlyMap<string, BlockDevice>,
  media: readonly string[],
  { self, options, files }: Question,
): Promise<string[]> {
  const except = options.stdout === true ? ancestors(files) : new Set([process.pid]);
  const readers = options.readers === true;
  const openers = await findOpeners(files, { writable: !readers, except: readers ? new Set() : except });
  const mode = readers ? 'open' : 'open for writing';
  return openers.flatMap(({ pid, program, number, file }) => {
    const member = members.get(number ?? '');
    if (member !== undefined) return [`${prefixFor(member, self)}${mode} in ${program} (process ${pid})`];
    if (file === undefined || !media.includes(`file:${file}`)) return [];
    const subject = self === undefined ? '' : 'the file behind it is ';
    return [`${subject}${mode} in ${program} (process ${pid})`];
  });
}

function shorten(uses: readonly string[]): string[] {
  const distinct = [...new Set(uses)];
  if (distinct.length > maxNamed) distinct.splice(maxNamed, Infinity, `${distinct.length - maxNamed} more`);
  return distinct;
}
