/**
 * Describes the contents of a device that is not blank, with util-linux where it is installed. Whether the device is blank
 * is decided elsewhere, from its bytes: a missing or mistaken program must not change the decision.
 */

import { partitionsOf } from './partitions.ts';
import type { Fields } from './programs.ts';
import { listIn, runForJson, textIn } from './programs.ts';

function withLabel(type: string, fields: Fields): string {
  const label = textIn(fields, 'label');
  return label === undefined ? type : `${type} "${label}"`;
}

const partitionTables: ReadonlySet<string> = new Set([
  'dos',
  'gpt',
  'PMBR',
  'bsd',
  'sun',
  'mac',
  'atari',
  'sgi',
]);

/** For example `ext4 "root"`, or `a partition table (gpt) with sdb1 (512M vfat "EFI"), sdb2 (9.5G ext4)`. */
export async function describeContents(path: string, rdev: bigint): Promise<string> {
  const signatures = await runForJson('wipefs', ['--no-act', '--json', path]);
  // Only lsblk lists partitions, and finds what is on a device without wipefs.
  const devices =
    signatures !== undefined && partitionsOf(rdev).length === 0
      ? undefined
      : await runForJson('lsblk', ['--json', '--output', 'NAME,SIZE,FSTYPE,LABEL', path]);
  const found = new Set<string>();
  const partitions = listIn(devices, 'blockdevices').flatMap((device) => listIn(device, 'children'));
  for (const signature of listIn(signatures, 'signatures')) {
    const type = textIn(signature, 'type');
    if (type === undefined || type === 'PMBR') continue;
    found.add(partitionTables.has(type) ? `a partition table (${type})` : withLabel(type, signature));
  }
  if (found.size === 0) {
    for (const device of listIn(devices, 'blockdevices')) {
      const type = textIn(device, 'fstype');
      if (type !== undefined) found.add(withLabel(type, device));
    }
  }
  const parts = partitions.map((partition) => {
    const type = textIn(partition, 'fstype');
    const details = [textIn(partition, 'size'), type === undefined ? undefined : withLabel(type, partition)];
    return `${textIn(partition, 'name') ?? 'a partition'} (${details.filter((detail) => detail !== undefined).join(' ')})`;
  });
  const listed = [...found].join(', ') || (parts.length > 0 ? 'partitions' : 'data of an unknown kind');
  return parts.length === 0 ? listed : `${listed} with ${parts.join(', ')}`;
}
