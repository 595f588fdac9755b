/**
 * The coldsnap library: download and upload Amazon EBS snapshots through the EBS direct APIs.
 * @packageDocumentation
 */
export type { SnapshotTag } from './ebs/api.ts';
export type { ErrorCode, SystemErrorCode } from './error-codes.ts';
export { ColdsnapError, type ErrorClass, type ErrorDetails, type TargetFailure } from './errors.ts';
export { listDevices } from './image/device/list.ts';
export { readImageLayout } from './image/layout/open-layout.ts';
export { copySnapshot } from './transfer/copy.ts';
export { diffSnapshots } from './transfer/diff.ts';
export { downloadSnapshot } from './transfer/download.ts';
export { downloadToTargets } from './transfer/download-to-targets.ts';
export { estimateDownload } from './transfer/estimate.ts';
export { estimateCopy } from './transfer/estimate-copy.ts';
export { estimateDownloadToTargets } from './transfer/estimate-targets.ts';
export { estimateUpload } from './transfer/estimate-upload.ts';
export type { TransferEvent, TransferListener, TransferPhase, TransferProgress } from './transfer/events.ts';
export { snapshotInfo } from './transfer/info.ts';
export { listSnapshots } from './transfer/list.ts';
export type * from './transfer/options.ts';
export { deletePendingSnapshots, listPendingSnapshots } from './transfer/pending.ts';
export type * from './transfer/reports.ts';
export type * from './transfer/several-targets.ts';
export { uploadSnapshot } from './transfer/upload.ts';
export { verifySnapshot } from './transfer/verify.ts';
export { waitForSnapshot } from './transfer/wait.ts';
export type { WarningCode } from './warning-codes.ts';
