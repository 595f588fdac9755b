/** The layout of a disk, a partition or an image: partitions and formats, from its bytes alone. */
import { type Partition, readPartitionTable } from './partition-table.ts';
import { type Contents, type ReadBytes, recognize } from './signatures.ts';

export type { Contents, Partition };

/** A partition, with the format that begins in it if one is recognized. */
export interface DescribedPartition extends Partition {
  readonly contents?: Contents;
}

export interface DiskLayout {
  /** The kind of partition table; absent without one. */
  readonly table?: 'gpt' | 'dos';
  /** Ascending by number. */
  readonly partitions: readonly DescribedPartition[];
  /** The format of the whole where there is no partition table. */
  readonly contents?: Contents;
}

/** Reads the layout of a disk or image. Finds nothing in what cannot be read. */
export async function readLayout(read: ReadBytes): Promise<DiskLayout> {
  // A FAT or NTFS boot sector resembles a partition table.
  const contents = await recognize(read, 0);
  if (contents !== undefined) return { partitions: [], contents };
  const table = await readPartitionTable(read);
  if (table === undefined) return { partitions: [] };
  const partitions: DescribedPartition[] = [];
  for (const partition of table.partitions) {
    const found = await recognize(read, partition.start);
    partitions.push({ ...partition, ...(found === undefined ? {} : { contents: found }) });
  }
  return { table: table.type, partitions };
}

/** For example `ext4 "root"`, or `a partition table (gpt) with 2 partitions`; undefined where nothing is recognized. */
export function describeLayout({ table, partitions, contents }: DiskLayout): string | undefined {
  if (contents !== undefined) return describeFormat(contents);
  if (table === undefined) return undefined;
  const count = partitions.length === 1 ? '1 partition' : `${partitions.length} partitions`;
  return `a partition table (${table}) with ${count}`;
}

/** `ext4 "root"`, or `ext4` without a label. */
export function describeFormat({ type, label }: Contents): string {
  return label === undefined ? type : `${type} "${label}"`;
}
