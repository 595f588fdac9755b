/** The checkpoint file of coldsnap 0.12: `{"snapshot_id": …, "completed_blocks": […]}`. */
import { isCount } from './schema.ts';

export interface LegacyCheckpoint {
  readonly snapshotId: string;
  /** Indexes alone, without sizes or proofs. */
  readonly blocks: readonly number[];
}

/** The checkpoint in a file's content; undefined when it is something else. */
export function legacyCheckpoint(content: unknown): LegacyCheckpoint | undefined {
  const file = content as { snapshot_id?: unknown; completed_blocks?: unknown } | null;
  if (typeof file !== 'object' || file === null || typeof file.snapshot_id !== 'string') return undefined;
  if (!Array.isArray(file.completed_blocks) || !file.completed_blocks.every(isCount)) return undefined;
  return { snapshotId: file.snapshot_id, blocks: file.completed_blocks };
}
