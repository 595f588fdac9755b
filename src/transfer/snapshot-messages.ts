/** Sentences about the end of a new snapshot. */
import { ColdsnapError } from '../errors.ts';

/** The reply to a completion was lost, and a repetition was refused, which does not tell whether the first one counted. */
export const completionUnknown = (snapshotId: string, refusal: ColdsnapError, reason: ColdsnapError) =>
  new ColdsnapError(
    'gave-up',
    'COMPLETION_UNKNOWN',
    `could not find out whether ${snapshotId} is completed: the reply was lost, a repetition was refused, and EC2 does not answer (${reason.message})`,
    { ...refusal, hint: 'Run it again to find out; nothing is sent twice.', cause: refusal },
  );
