/** The options and the result of a copy. */
import type { SnapshotTag } from '../ebs/api.ts';
import type { SdkClient } from '../ebs/client-options.ts';
import type { TransferProgress } from './events.ts';
import type { CheckpointOptions, TransferOptions, WaitConditions } from './options.ts';

/**
 * Where the copy goes. Region and profile that are not given are those options of the source; without a region, that of the
 * environment, or of the destination's profile. The source's endpoints and clients are
 * used for the destination, too, only if no endpoint and no client is given here, and no other region and profile.
 */
export interface CopyDestination {
  region?: string | undefined;
  profile?: string | undefined;
  /** Endpoint URL for both services; a service's own endpoint wins. */
  endpoint?: string | undefined;
  ebsEndpoint?: string | undefined;
  ec2Endpoint?: string | undefined;
  /** Your own `EBSClient`, instead of region, profile and endpoint; it is used as it is and stays open. */
  ebsClient?: SdkClient | undefined;
  /** Your own `EC2Client`. */
  ec2Client?: SdkClient | undefined;
}

/** Region, profile, endpoints and clients are those of the source; other options are for both sides. */
export interface CopyOptions extends TransferOptions, CheckpointOptions {
  snapshotId: string;
  /** Region, profile and endpoints of the destination. Default: the source's. */
  to?: CopyDestination | undefined;
  /** At most 255 characters. Default: the source's, if EC2 may be asked for it. */
  description?: string | undefined;
  /** At most 50, with those of the source; keys of at most 127 characters, values of at most 255. */
  tags?: readonly SnapshotTag[] | undefined;
  /** Also the source's tags, except those of AWS and coldsnap; `tags` take precedence. Default false. */
  copyTags?: boolean | undefined;
  /** Encrypt with this KMS key of the destination (ID, alias or ARN). Not together with `parentSnapshotId`. */
  kmsKeyId?: string | undefined;
  /** Encrypt with the default key of the destination. Not together with `parentSnapshotId`. */
  encrypted?: boolean | undefined;
  /** With `parentSnapshotId`: send only what has changed since this snapshot, a relative of the source. */
  since?: string | undefined;
  /**
   * With `since`: the copy of that snapshot at the destination, which becomes the parent. Only the sizes of their volumes are
   * compared, where the parent may be listed.
   */
  parentSnapshotId?: string | undefined;
  /**
   * Send no zeros for blocks that the source does not list. Default false: they are sent where the copy is encrypted and
   * the source is not, or may not be, because a block that is in no encrypted snapshot reads as random data.
   */
  skipUnlisted?: boolean | undefined;
  /** Wait until the copy is usable; `true` uses the default conditions. Default false. */
  wait?: boolean | WaitConditions | undefined;
  /**
   * Called with the result, and awaited, before the journal is removed. The ID of the copy is not lost if the
   * process is killed: until this has stored it, the same call gives the same result without sending anything again.
   */
  onResult?: ((result: CopyResult) => void | Promise<void>) | undefined;
}

/** `bytesSkipped` are blocks that the source does not list, or that have not changed. */
export interface CopyResult extends TransferProgress {
  source: { snapshotId: string; region: string };
  /** The copy. */
  snapshotId: string;
  /** The region of the copy. */
  region: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** The last known state of the copy: `pending` or `completed`. */
  status: string;
  /** Blocks that were not sent: `bytesSkipped` in blocks. */
  blocksSkipped: number;
  /** Blocks that were sent as zeros though the source does not list them. */
  zerosSent: number;
}
