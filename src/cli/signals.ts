/** Handles signals: the first one stops the transfer, the second ends the process. */
import { ColdsnapError } from '../errors.ts';
import type { Io } from './io.ts';
import { exitAfterTimeout, exitOnSecondSignal, stoppedBy } from './messages.ts';

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof stopSignals)[number];

/** A signal that is repeated sooner is the same one: `timeout` sends it to the process and to its group. */
const repeatedMs = 500;

/** Time to cancel requests and save the journal; the documentation promises it. */
const hardExitMs = 5000;

interface Interruption {
  /** Fires on the first signal; its reason is a ColdsnapError of class `aborted` with the signal's name as its code. */
  readonly abortSignal: AbortSignal;
  /** Stops listening and restores the default behavior. After a signal it does neither: the process is about to exit. */
  dispose(): void;
}

interface Reactions {
  /** Called on the first signal. */
  onStop(signal: StopSignal): void;
  /** Called before the process ends, to restore the terminal. */
  onExit(signal: StopSignal, reason: string): void;
  /** Called on SIGUSR2. */
  onStatus(): void;
  /** Called on SIGTSTP before the process stops, to restore the terminal. */
  onSuspend?(): void;
  /** Called when it continues. */
  onResume?(): void;
}

/** Listens for signals until `dispose` is called. */
export function listenForSignals(
  io: Pick<Io, 'signals' | 'clock' | 'endBy' | 'suspend'>,
  reactions: Reactions,
): Interruption {
  const controller = new AbortController();
  let cancelHardExit = () => {};
  let first: { signal: StopSignal; at: number } | undefined;

  const exit = (signal: StopSignal, reason: string) => {
    reactions.onExit(signal, reason);
    io.endBy(signal);
  };
  const stop = (signal: StopSignal) => {
    if (first !== undefined) {
      if (first.signal === signal && io.clock.now() - first.at < repeatedMs) return;
      exit(signal, exitOnSecondSignal(signal));
      return;
    }
    first = { signal, at: io.clock.now() };
    controller.abort(new ColdsnapError('aborted', signal, stoppedBy(signal)));
    cancelHardExit = io.clock.after(hardExitMs, () => {
      exit(signal, exitAfterTimeout(signal, hardExitMs));
    });
    reactions.onStop(signal);
  };

  const suspend = () => {
    reactions.onSuspend?.();
    // Uses the default action, which the kernel ignores if no shell could resume the process.
    io.signals.off('SIGTSTP', suspend);
    io.suspend();
    io.signals.on('SIGTSTP', suspend);
    reactions.onResume?.();
  };

  const listeners: [NodeJS.Signals, () => void][] = [
    ...stopSignals.map((signal): [NodeJS.Signals, () => void] => [signal, () => stop(signal)]),
    ['SIGUSR2', () => reactions.onStatus()],
    ['SIGTSTP', suspend],
  ];
  for (const [signal, listener] of listeners) io.signals.on(signal, listener);
  return {
    abortSignal: controller.signal,
    dispose() {
      cancelHardExit();
      // The process is about to exit. The same signal, repeated meanwhile, must not end it with another status.
      if (first !== undefined) return;
      for (const [signal, listener] of listeners) io.signals.off(signal, listener);
    },
  };
}
