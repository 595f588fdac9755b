/** The options and results of incremental uploads and of digest files. */

/** A digest file has the SHA-256 of each block of a snapshot, for the `base` of a later incremental upload. */
export interface DigestOptions {
  /**
   * Path of the digest file to write when the transfer succeeds: 64 KiB for each GiB of the volume that has data. An existing
   * digest file is replaced; another file is only with `force`. Not with `since`.
   */
  saveDigests?: string | undefined;
}

/** Options of an upload that sends only what differs from its parent. */
export interface IncrementalOptions {
  /**
   * Upload only the blocks that differ from `parentSnapshotId`, which is required. Default false: all blocks are uploaded.
   */
  incremental?: boolean | undefined;
  /**
   * With `incremental`: path of a digest file of the parent (see `saveDigests`), or of a raw image of it, of which 64
   * random blocks are compared with the parent first. Default: the parent's blocks are fetched from the service.
   */
  base?: string | undefined;
  /** With an image as `base`: do not compare it with the parent. Default false. */
  trustBase?: boolean | undefined;
  /** With an image as `base`: compare all of it with the parent. Default false. */
  verifyBase?: boolean | undefined;
}

/** Blocks that an incremental upload did not send, and the dollars that saved. */
export interface IncrementalResult {
  /** With `incremental`: blocks that were not sent, because the parent holds the same. */
  blocksSkipped?: number;
  /** With `incremental`: US dollars saved against sending all blocks, less what reading the parent's has cost. */
  dollarsSaved?: number;
}
