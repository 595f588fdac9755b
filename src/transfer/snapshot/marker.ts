import type { SnapshotTag } from '../../ebs/api.ts';

/**
 * The mark of a snapshot that this tool began: every StartSnapshot carries it, so that an upload that was killed is
 * found again (`coldsnap pending`), from any machine. It stays on the snapshot after completion; what never completed is
 * told by the state.
 *
 * A tag and not words in the description: EC2 filters by tag, and the description is the user's (scripts look for it).
 * The value never changes, because a StartSnapshot that is repeated with its client token must have the same tags. Where
 * the 50 tags of a snapshot are the user's own, or tagging is not allowed, an upload goes without the mark; then its
 * journal alone finds it.
 */
export const UPLOAD_MARKER_TAG: SnapshotTag = { key: 'coldsnap:upload', value: 'true' };
