/** The commands that follow a restore: mount a partition, look into an image, grow to a larger disk. */
import type { DescribedPartition, DiskLayout, ImageLayout, InfoResult } from '../transfer/reports.ts';
import { shellQuote } from './command-line.ts';
import { serviceWords } from './global-options.ts';
import type { ServiceSettings } from './io.ts';
import { formatBytes } from './progress/format.ts';

/** A command line, and what it does. */
export interface NextStep {
  readonly does: string;
  readonly lines: readonly string[];
}

/** File systems that can be mounted. */
const mountable: ReadonlySet<string> = new Set([
  'btrfs',
  'exfat',
  'ext2',
  'ext3',
  'ext4',
  'f2fs',
  'iso9660',
  'ntfs',
  'squashfs',
  'vfat',
  'xfs',
]);

/** The commands that grow a file system: in its partition, or while it is mounted at /mnt. */
const growing: Readonly<Record<string, (partition: string) => readonly string[]>> = {
  ext2: growExt,
  ext3: growExt,
  ext4: growExt,
  xfs: (partition) => [`sudo mount ${partition} /mnt`, 'sudo xfs_growfs /mnt'],
  btrfs: (partition) => [`sudo mount ${partition} /mnt`, 'sudo btrfs filesystem resize max /mnt'],
};

function growExt(partition: string): readonly string[] {
  return [`sudo e2fsck -f -p ${partition}`, `sudo resize2fs ${partition}`];
}

/** The device of a partition: its disk's name and number, with a p between two digits. */
export function partitionPath(disk: string, number: number): string {
  return `${disk}${/\d$/.test(disk) ? 'p' : ''}${number}`;
}

/** The largest partition that can be mounted, which usually has the root file system. */
function mainPartition({ partitions }: DiskLayout): DescribedPartition | undefined {
  const candidates = partitions.filter(({ contents }) => mountable.has(contents?.type ?? ''));
  return candidates.sort((one, other) => other.size - one.size)[0];
}

/** A device for examples. */
const exampleDisk = '/dev/nvme1n1';

/**
 * Steps before and after a restore of a snapshot, to a disk or to a file.
 * @param service where the snapshot was found
 */
export function stepsAfterInfo(
  { snapshotId, volumeSize, layout = { partitions: [] } }: InfoResult,
  service: ServiceSettings,
): NextStep[] {
  const download = ['coldsnap', 'download', ...serviceWords(service).map(shellQuote), snapshotId].join(' ');
  const file = `${snapshotId}.img`;
  const restored = { path: exampleDisk, layout, partitionsKnown: true };
  return [
    {
      does: `restore it to a disk of ${formatBytes(volumeSize)} or more, which "coldsnap devices" lists`,
      lines: [
        `sudo -E ${download} ${exampleDisk}`,
        ...stepsWithDisk({ ...restored, larger: false }).flatMap(({ lines }) => lines),
      ],
    },
    {
      does: 'restore it to a file',
      lines: [`${download} ${file}`, ...stepsWithFile(file, layout).flatMap(({ lines }) => lines)],
    },
    ...grow(exampleDisk, layout).map(({ does, lines }) => ({ does: `${does}, if that is larger`, lines })),
  ];
}

/** Steps after a restore to a file or disk. @param volumeSize bytes of the volume, which a disk may exceed */
export function stepsAfterDownload(image: ImageLayout, volumeSize: number): NextStep[] {
  const { path, sizeBytes, isDevice, partitionsKnown } = image;
  if (!isDevice) return stepsWithFile(path, image);
  return stepsWithDisk({ path, layout: image, partitionsKnown, larger: sizeBytes > volumeSize });
}

/** Steps for an image in a file. */
export function stepsWithFile(path: string, layout: DiskLayout): NextStep[] {
  const file = shellQuote(path.startsWith('-') ? `./${path}` : path);
  const does = 'look into the image';
  const main = mainPartition(layout);
  if (main !== undefined) {
    const options = `loop,offset=${main.start},sizelimit=${main.size}`;
    return [{ does, lines: [`sudo mount -o ${options} ${file} /mnt`] }];
  }
  if (mountable.has(layout.contents?.type ?? ''))
    return [{ does, lines: [`sudo mount -o loop ${file} /mnt`] }];
  if (layout.table === undefined) return [];
  return [{ does: 'attach the image', lines: [`sudo losetup --find --show --partscan ${file}`] }];
}

/** Where a disk has more room than the volume that was restored to it. */
interface RestoredDisk {
  readonly path: string;
  readonly layout: DiskLayout;
  /** Whether the disk is larger than the volume. */
  readonly larger: boolean;
  /** Whether the kernel has the partitions. */
  readonly partitionsKnown: boolean;
}

/** Steps for a disk. */
export function stepsWithDisk({ path, layout, larger, partitionsKnown }: RestoredDisk): NextStep[] {
  const disk = shellQuote(path);
  const steps: NextStep[] = [];
  if (layout.partitions.length > 0 && !partitionsKnown)
    steps.push({ does: 'have the kernel find the partitions', lines: [`sudo partx --update ${disk}`] });
  if (larger) steps.push(...grow(disk, layout));
  const main = mainPartition(layout);
  const whole = mountable.has(layout.contents?.type ?? '') ? disk : undefined;
  const device = main === undefined ? whole : partitionPath(disk, main.number);
  const mount = `sudo mount ${device} /mnt`;
  // Some file systems grow only while they are mounted.
  if (device !== undefined && !steps.some(({ lines }) => lines.includes(mount)))
    steps.push({ does: 'mount it', lines: [mount] });
  return steps;
}

/** The disk is larger than the volume: the backup GPT header belongs at its end, and the last partition can grow. */
function grow(disk: string, { table, partitions, contents }: DiskLayout): NextStep[] {
  if (table === undefined) {
    const lines = growing[contents?.type ?? '']?.(disk) ?? [];
    return lines.length === 0 ? [] : [{ does: 'grow it to the size of the disk', lines }];
  }
  const steps: NextStep[] = [];
  if (table === 'gpt')
    steps.push({
      does: 'move the backup GPT header to the end of the disk',
      lines: [`sudo sfdisk --relocate gpt-bak-std ${disk}`],
    });
  const last = [...partitions].sort((one, other) => other.start - one.start)[0];
  const fileSystem = growing[last?.contents?.type ?? ''];
  if (last === undefined || fileSystem === undefined) return steps;
  const partition = partitionPath(disk, last.number);
  const lines = [
    `echo ', +' | sudo sfdisk -N ${last.number} ${disk}`,
    `sudo partx --update ${disk}`,
    ...fileSystem(partition),
  ];
  return [...steps, { does: `grow partition ${last.number} to the end of the disk`, lines }];
}
