/** The subject of a request; part of every error and retry notice. */
export interface RequestContext {
  /** EBS or EC2 operation, for example `GetSnapshotBlock`. */
  readonly operation: string;
  readonly snapshotId?: string;
  /** Block index within the snapshot. */
  readonly block?: number;
  /** The service's, once there is a reply. */
  readonly requestId?: string | undefined;
}

/** The context of a request for one block. */
export function blockContext(
  operation: 'GetSnapshotBlock' | 'PutSnapshotBlock',
  { snapshotId, blockIndex }: { readonly snapshotId: string; readonly blockIndex: number },
): RequestContext {
  return { operation, snapshotId, block: blockIndex };
}
