/** Messages about block devices. Each function returns the error to throw, or a notice. */
import { ColdsnapError } from '../../errors.ts';
import type { OldSignature } from '../device/old-signatures.ts';
import type { Notice } from '../target.ts';
import { formatSize, refused } from './common.ts';

export const targetReadOnly = (path: string) =>
  refused(
    'TARGET_READ_ONLY',
    `${path} is a read-only device`,
    path,
    `Make it writable (blockdev --setrw ${path}), or choose another device.`,
  );

export const deviceNoMedium = (path: string, role: 'target' | 'source') =>
  refused(
    role === 'target' ? 'TARGET_NO_MEDIUM' : 'SOURCE_NO_MEDIUM',
    `${path} has no medium (its size is 0)`,
    path,
    'Insert or attach one, or choose another device.',
  );

export const deviceChanged = (path: string, cause: unknown) =>
  new ColdsnapError(
    'refused',
    'DEVICE_CHANGED',
    `${path} was replaced by another device while it was being opened`,
    {
      path,
      cause,
      hint: 'Run again when the device names are stable; a name in /dev/disk/by-id does not change.',
    },
  );

export const deviceReplaced = (path: string) =>
  new ColdsnapError('local', 'DEVICE_REPLACED', `${path} no longer refers to the device that was written`, {
    path,
    hint: 'That device has all but the start and the end of the volume; run the same command again when the path refers to it again.',
  });

/** The kernel does not say whose claim it is. */
export const unknownClaim = 'another program or the kernel holds it exclusively';

export const deviceInUse = (path: string, by: readonly string[]) =>
  refused(
    'DEVICE_IN_USE',
    `${path} is in use: ${by.length === 0 ? unknownClaim : by.join('; ')}`,
    path,
    'Unmount or release it first; nothing overrides this.',
  );

export const targetNotBlank = (path: string, contents: string) =>
  refused(
    'TARGET_NOT_BLANK',
    `${path} is not blank: it holds ${contents}`,
    path,
    'Check that it is the right device, and allow overwriting it.',
  );

export const targetTooSmall = (path: string, sizeBytes: number, volumeSize: number) =>
  refused(
    'TARGET_TOO_SMALL',
    `${path} is too small: it has ${formatSize(sizeBytes)}, the snapshot's volume ${formatSize(volumeSize)}`,
    path,
    'Use a device at least as large as the volume.',
  );

export const oldPartitions = (path: string, by: readonly string[]): Notice => ({
  code: 'OLD_PARTITIONS',
  message: `${path} is restored, but the kernel still uses its old partitions: ${by.join('; ')}. Release them, then run "blockdev --rereadpt ${path}".`,
});

export const oldSignature = (path: string, { type, offset }: OldSignature): Notice => ({
  code: 'OLD_SIGNATURE',
  message: `${path} is larger than the volume and keeps an old ${type} signature beyond it, which blkid and mount may recognize; remove it with "wipefs --offset ${offset} ${path}"`,
});
