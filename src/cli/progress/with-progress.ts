/** Runs a library call with progress on stderr, stopped by signals. */
import { ColdsnapError } from '../../errors.ts';
import type { TransferListener } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { howFar, mfaQuestion, stopping } from '../messages.ts';
import { reportError } from '../report.ts';
import { listenForSignals } from '../signals.ts';
import { createRenderer } from './renderer.ts';
import { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** The library options that make a call observable and stoppable. */
export interface Hooks {
  signal: AbortSignal;
  onEvent: TransferListener;
  /** Absent without a terminal to ask on. */
  mfaCode?: (serial: string) => Promise<string>;
}

/**
 * @param title shown before the first event
 * @param work calls the library with the hooks
 * @param summarize the summary to print after success
 * @throws the error of `work`, or class `aborted` with the signal's name as its code if a signal stopped it
 */
export async function withProgress<Result>(
  io: CommandIo,
  title: string,
  work: (hooks: Hooks) => Promise<Result>,
  summarize: (result: Result) => Summary,
): Promise<Result> {
  const status = new TransferStatus(title, io.clock, io.settings.service.retryForMs);
  const renderer = await createRenderer(io, status);
  const interruption = listenForSignals(io, {
    onStop(signal) {
      renderer.print(stopping(signal));
    },
    onExit(signal, reason) {
      renderer.close();
      reportError(io, new ColdsnapError('aborted', signal, reason));
    },
    onStatus() {
      renderer.showStatus();
    },
    onSuspend() {
      if (renderer.open !== undefined) renderer.close();
    },
    onResume() {
      renderer.open?.().catch(() => {});
    },
  });
  const { abortSignal } = interruption;
  const { ask } = io;
  const mfaCode = async (serial: string): Promise<string> => {
    if (renderer.open !== undefined) renderer.close();
    const code = (await ask?.(mfaQuestion(serial), abortSignal)) ?? '';
    await renderer.open?.();
    return code;
  };
  try {
    const result = await work({
      signal: abortSignal,
      ...(ask === undefined || io.settings.json ? {} : { mfaCode }),
      onEvent(event) {
        status.apply(event);
        renderer.handle(event);
      },
    });
    renderer.done(summarize(result));
    return result;
  } catch (error) {
    const { latest } = status;
    if (latest !== undefined && latest.bytesDone > 0 && !isBrokenPipe(error)) renderer.print(howFar(latest));
    throw abortSignal.aborted ? interrupted(abortSignal, error) : error;
  } finally {
    interruption.dispose();
    renderer.close();
  }
}

/** The reader of stdout ended on purpose, so nothing is printed. */
const isBrokenPipe = (error: unknown) => (error as { code?: unknown } | null)?.code === 'EPIPE';

/** Any failure after a signal is reported as the signal. */
function interrupted(abortSignal: AbortSignal, error: unknown): unknown {
  const reason = abortSignal.reason as ColdsnapError;
  if (error === reason) return reason;
  // With --quiet nothing else names the snapshot of the interrupted upload.
  const snapshotId = error instanceof ColdsnapError ? error.snapshotId : undefined;
  return new ColdsnapError(reason.class, reason.code, reason.message, { cause: error, snapshotId });
}
