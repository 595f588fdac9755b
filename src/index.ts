/**
 * The coldsnap library: download and upload Amazon EBS snapshots through the EBS direct APIs.
 * @packageDocumentation
 */
export type { SnapshotTag } from './ebs/api.ts';
export type { ErrorCode, SystemErrorCode, WarningCode } from './error-codes.ts';
export { ColdsnapError, type ErrorClass, type ErrorDetails } from './errors.ts';
export { downloadSnapshot } from './transfer/download.ts';
export type { TransferEvent, TransferListener, TransferPhase, TransferProgress } from './transfer/events.ts';
export { listSnapshots } from './transfer/list.ts';
export type * from './transfer/options.ts';
export { deletePendingSnapshots, listPendingSnapshots } from './transfer/pending.ts';
export { uploadSnapshot } from './transfer/upload.ts';
export { verifySnapshot } from './transfer/verify.ts';
export { waitForSnapshot } from './transfer/wait.ts';
