/** Every code of a warning, with its meaning. docs/errors.md is generated from this file, too (`npm run docs`). */

/** Codes of `warning` events: something the user should know; the run continues. */
export const warningCodes = {
  CHANGES_NOT_DETECTED: 'it cannot be detected whether the source device is written while it is read',
  CLIENT_SHARDS: '--client-shards has no effect',
  COPY_UNCHANGED: 'the copy is made where its source is, and does not differ from it',
  DOWNLOAD_UNFINISHED: 'a download failed or was stopped; the message says where it is kept for a later run',
  HOLES_PUT: 'the snapshot is encrypted, so holes are uploaded as zeros',
  JOURNALS_NOT_READ: 'the directory of journals cannot be read',
  JOURNAL_NOT_LOCKED: 'no lock could be taken on the journal',
  JOURNAL_NOT_REMOVED: 'the journal of a deleted snapshot could not be removed',
  JOURNAL_NOT_USED: 'the journal of an earlier run was ignored; the message says why',
  JOURNAL_NOT_WRITTEN: 'the journal could not be written; the run cannot be resumed',
  LARGER_THAN_VOLUME: 'the image is larger than the volume, and only the volume is compared',
  LAYOUT_NOT_READ: 'it could not be read which partitions and file systems a snapshot or image has',
  LIST_UNORDERED: 'the list of blocks is not in order, so all of it is read and sorted first',
  NOTHING_CHANGED: 'nothing differs from the parent, which is the result of the upload',
  NOT_CONFIRMED: 'it is unknown whether the service accepted a resumed upload',
  NOT_DESCRIBED: 'EC2 could not be asked for the state, encryption, description and tags of a snapshot',
  NOT_PROBED: 'the snapshot is completed, but it could not be checked that it is readable',
  OLD_PARTITIONS: 'the kernel still uses the old partitions of the restored device',
  OLD_SIGNATURE: 'the restored device is larger than the volume and keeps an old label at its end',
  OVERWRITING: 'the target holds data and is overwritten; the message says what',
  PARENT_NOT_CHECKED: 'a dry run may not list the parent, so it is unknown whether that exists',
  SNAPSHOT_DELETED: 'the snapshot of a failed upload was deleted',
  SNAPSHOT_LEFT: 'the snapshot of a failed upload was kept',
  SNAPSHOT_MAYBE_LEFT: 'a snapshot may exist whose ID never arrived',
  SNAPSHOT_NOT_YET_KNOWN: 'EC2 does not list the snapshot yet',
  SOURCE_IN_USE: 'the source device is mounted read-write or open for writing',
  SOURCE_UNFINISHED: 'the source, or the image to compare, holds an interrupted download',
  SOURCE_WRITTEN: 'the source device was written during the upload, which was allowed',
  SPACE_LOW: 'the file system of the target has less free space than is to be written',
  STALLED: 'nothing made progress for a while; the message says what the run waits for',
  TARGET_DROPPED: 'one of several targets failed; the message says why, and the others continue',
  TARGET_MODIFIED: 'the target was modified after an interruption; the modified part is restored again',
  UNLISTED_SENT: 'the copy is encrypted, so blocks that its source does not list are sent as zeros',
  UNLISTED_SKIPPED: 'the copy is encrypted, and what its source does not list reads as random data in it',
  ZEROS_OMITTED: 'blocks of zeros were not uploaded; the message says what that means',
} as const;

/** The code of a `warning` event. */
export type WarningCode = keyof typeof warningCodes;
