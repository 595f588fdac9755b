/** Refusals of a journal that the user names. */
import { ColdsnapError } from '../errors.ts';

export const checkpointNameEmpty = () =>
  new ColdsnapError('usage', 'BAD_OPTION', 'the name of the journal is empty');

export const checkpointNotOurs = (path: string) =>
  new ColdsnapError('usage', 'CHECKPOINT_NOT_OURS', `${path} exists and is not a journal of coldsnap`, {
    path,
    hint: 'Name a file that does not exist, or the journal of an earlier run.',
  });

export const checkpointOverFile = (path: string, file: string) =>
  new ColdsnapError('usage', 'CHECKPOINT_NOT_OURS', `the journal ${path} would replace ${file}`, { path });

/** @param kind of the journal: `download` or `upload` */
export const checkpointOfOther = (path: string, kind: string) =>
  new ColdsnapError(
    'usage',
    'CHECKPOINT_NOT_OURS',
    `${path} is the journal of a transfer of another kind (${kind})`,
    {
      path,
      hint: 'Name another file, or delete it if that transfer is not to be resumed.',
    },
  );

export const journalBusy = (path: string, lock: string) =>
  new ColdsnapError('refused', 'TARGET_BUSY', `another run uses the journal ${path} (it holds ${lock})`, {
    path,
    hint: 'Wait until it ends, or name another journal.',
  });
