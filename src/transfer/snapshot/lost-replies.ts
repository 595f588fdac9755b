/** Requests of an upload that may have counted, though their replies were lost. */
import type { RetryNotice } from '../../ebs/retry.ts';
import { mayHaveStarted } from './failed-upload.ts';

export class LostReplies {
  /** The service may have started a snapshot whose ID is not known. */
  start = false;
  /** An earlier request may have completed the snapshot. */
  completion = false;

  /** To be called with every retry of the service's. */
  readonly note = ({ operation, error }: RetryNotice): void => {
    if (operation === 'CompleteSnapshot') this.completion = true;
    if (operation === 'StartSnapshot' && mayHaveStarted(error)) this.start = true;
  };
}
