/** Runs one operation of the library with progress on stderr and signals that stop it. */
import { ColdsnapError } from '../../errors.ts';
import type { TransferListener } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { reportError } from '../report.ts';
import { listenForSignals } from '../signals.ts';
import { createRenderer } from './renderer.ts';
import { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** What the library takes to be watched and stopped. */
export interface Hooks {
  signal: AbortSignal;
  onEvent: TransferListener;
}

/**
 * @param title what is going on, in a few words, for the display before the first event
 * @param work calls the library with the hooks
 * @param summarize what to say after success
 * @throws what `work` throws; class `aborted`, with the signal's name as its code, when a signal has stopped it
 */
export async function withProgress<Result>(
  io: CommandIo,
  title: string,
  work: (hooks: Hooks) => Promise<Result>,
  summarize: (result: Result) => Summary,
): Promise<Result> {
  const status = new TransferStatus(title, io.clock);
  const renderer = await createRenderer(io, status);
  const interruption = listenForSignals(io, {
    onStop(signal) {
      renderer.print(`stopping (${signal}): letting go of what is in flight; a second signal leaves at once`);
    },
    onLeave(signal, reason) {
      renderer.close();
      reportError(io, new ColdsnapError('aborted', signal, reason));
    },
    onStatus() {
      renderer.showStatus();
    },
  });
  const { abortSignal } = interruption;
  try {
    const result = await work({
      signal: abortSignal,
      onEvent(event) {
        status.apply(event);
        renderer.handle(event);
      },
    });
    renderer.done(summarize(result));
    return result;
  } catch (error) {
    throw abortSignal.aborted ? interrupted(abortSignal, error) : error;
  } finally {
    interruption.dispose();
    renderer.close();
  }
}

/** After a signal everything fails in its own way; what counts is that the user stopped it. */
function interrupted(abortSignal: AbortSignal, error: unknown): unknown {
  const reason = abortSignal.reason as ColdsnapError;
  if (error === reason) return reason;
  // With --quiet nothing else names the snapshot that an upload leaves.
  const snapshotId = error instanceof ColdsnapError ? error.snapshotId : undefined;
  return new ColdsnapError(reason.class, reason.code, reason.message, { cause: error, snapshotId });
}
