/**
 * Finds who uses a block device, for the message about a refusal of the kernel (EBUSY). Anything that cannot be read here
 * only makes the message shorter.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { deviceNumber, type KernelFiles, kernelFiles } from './identity.ts';

/** Enough to act upon; a hypervisor may have hundreds. */
const maxNamed = 5;

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** The device number of a device node; undefined for anything else. */
async function numberOfNode(path: string): Promise<string | undefined> {
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info?.isBlockDevice() ? deviceNumber(info.rdev) : undefined;
}

/** The device and its partitions: device number → how to name it, and its directory in sysfs. */
async function family(number: string, files: KernelFiles) {
  const directory = `${files.sys}/dev/block/${number}`;
  const members = new Map([[number, { prefix: '', directory }]]);
  for (const name of await namesIn(directory)) {
    if ((await textOf(`${directory}/${name}/partition`)) === '') continue;
    const partition = (await textOf(`${directory}/${name}/dev`)).trim();
    members.set(partition, { prefix: `its partition ${name} is `, directory: `${directory}/${name}` });
  }
  return members;
}

/** mountinfo and swaps write spaces and the like as octal, for example `\040`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

interface Mount {
  number: string;
  directory: string;
  fileSystem: string;
  source: string;
}

function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    // 36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw
    const [before, after] = line.split(' - ', 2);
    const [, , number, , directory] = before?.split(' ') ?? [];
    const [fileSystem, source] = after?.split(' ') ?? [];
    if (number === undefined || directory === undefined || fileSystem === undefined || source === undefined)
      return [];
    return [{ number, directory: unescapeOctal(directory), fileSystem, source: unescapeOctal(source) }];
  });
}

/**
 * Sentences about who uses the device or a partition of it, for example `mounted at /mnt (ext4)`. Empty when that is
 * unknown, as for a mount in another namespace.
 */
export async function describeUsers(rdev: bigint, files: KernelFiles = kernelFiles): Promise<string[]> {
  const members = await family(deviceNumber(rdev), files);
  const uses: string[] = [];

  for (const mount of parseMountinfo(await textOf(`${files.proc}/self/mountinfo`))) {
    // btrfs and similar file systems have a number of their own, but name the device.
    const member =
      members.get(mount.number) ??
      (mount.source.startsWith('/') ? members.get((await numberOfNode(mount.source)) ?? '') : undefined);
    if (member !== undefined)
      uses.push(`${member.prefix}mounted at ${mount.directory} (${mount.fileSystem})`);
  }

  for (const line of (await textOf(`${files.proc}/swaps`)).split('\n').slice(1)) {
    const path = unescapeOctal(line.split(/\s/, 1)[0] ?? '');
    const member = path.startsWith('/') ? members.get((await numberOfNode(path)) ?? '') : undefined;
    if (member !== undefined) uses.push(`${member.prefix}used as swap`);
  }

  for (const { prefix, directory } of members.values()) {
    for (const holder of await namesIn(`${directory}/holders`)) {
      const name = (await textOf(`${directory}/holders/${holder}/dm/name`)).trim();
      uses.push(`${prefix}held by ${holder}${name === '' ? '' : ` (${name})`}`);
    }
  }

  if (uses.length === 0) uses.push(...(await processesWith(members, files)));
  if (uses.length > maxNamed) uses.splice(maxNamed, Infinity, `${uses.length - maxNamed} more`);
  return uses;
}

/** Programs that have the device open; one of them may hold the claim. Needs root for other users' programs. */
async function processesWith(
  members: ReadonlyMap<string, { prefix: string }>,
  files: KernelFiles,
): Promise<string[]> {
  const uses: string[] = [];
  for (const pid of await namesIn(files.proc)) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await namesIn(`${files.proc}/${pid}/fd`)) {
      const path = await readlink(`${files.proc}/${pid}/fd/${fd}`).catch(() => '');
      const member = path.startsWith('/dev/') ? members.get((await numberOfNode(path)) ?? '') : undefined;
      if (member === undefined) continue;
      // Not comm, which names a thread: Node.js 22 calls its first one MainThread.
      const program = basename((await textOf(`${files.proc}/${pid}/cmdline`)).split('\0', 1)[0] ?? '');
      uses.push(`${member.prefix}open in ${program === '' ? 'a program' : program} (process ${pid})`);
      break;
    }
  }
  return uses;
}
