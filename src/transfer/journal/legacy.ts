/** The checkpoint file of coldsnap 0.12: `{"snapshot_id": …, "completed_blocks": […]}`. It has no checksums. */
import { isCount } from './schema.ts';

export function isLegacyCheckpoint(content: unknown): boolean {
  const file = content as { snapshot_id?: unknown; completed_blocks?: unknown } | null;
  if (typeof file !== 'object' || file === null || typeof file.snapshot_id !== 'string') return false;
  return Array.isArray(file.completed_blocks) && file.completed_blocks.every(isCount);
}
