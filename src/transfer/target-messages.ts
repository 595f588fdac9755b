/** Errors of downloads to several targets. */
import { ColdsnapError } from '../errors.ts';

export const noTargets = () =>
  new ColdsnapError('usage', 'MISSING_ARGUMENT', 'no target is given', { hint: 'Name at least one.' });

export const oneJournalForSeveral = () =>
  new ColdsnapError('usage', 'SEVERAL_TARGETS', 'one journal cannot belong to several targets', {
    hint: 'Give no path for the journal: each target has its own.',
  });

export const digestsForSeveral = () =>
  new ColdsnapError('usage', 'SEVERAL_TARGETS', 'digests can be saved of a download to one target', {
    hint: 'Save them with the upload of the snapshot, or with a download to one target.',
  });

export const baseForSeveral = () =>
  new ColdsnapError('refused', 'SEVERAL_TARGETS', 'an incremental download has one target', {
    hint: 'Run it once for each target.',
  });
