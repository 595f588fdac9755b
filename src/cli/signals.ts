/** Handles signals: the first one stops the transfer, the second ends the process. */
import { ColdsnapError } from '../errors.ts';
import type { Io } from './io.ts';
import { exitAfterTimeout, exitOnSecondSignal, stoppedBy } from './messages.ts';

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof stopSignals)[number];

/** Time to cancel requests and save the journal; the documentation promises it. */
const hardExitMs = 5000;

export interface Interruption {
  /** Fires on the first signal; its reason is a ColdsnapError of class `aborted` with the signal's name as its code. */
  readonly abortSignal: AbortSignal;
  /** Stops listening and restores the default behavior. */
  dispose(): void;
}

interface Reactions {
  /** Called on the first signal. */
  onStop(signal: StopSignal): void;
  /** Called before the process ends, to restore the terminal. */
  onExit(signal: StopSignal, reason: string): void;
  /** Called on SIGUSR2. */
  onStatus(): void;
}

/** Listens for signals until `dispose` is called. */
export function listenForSignals(
  io: Pick<Io, 'signals' | 'clock' | 'endBy'>,
  reactions: Reactions,
): Interruption {
  const controller = new AbortController();
  let cancelHardExit = () => {};

  const exit = (signal: StopSignal, reason: string) => {
    reactions.onExit(signal, reason);
    io.endBy(signal);
  };
  const stop = (signal: StopSignal) => {
    if (controller.signal.aborted) {
      exit(signal, exitOnSecondSignal(signal));
      return;
    }
    controller.abort(new ColdsnapError('aborted', signal, stoppedBy(signal)));
    cancelHardExit = io.clock.after(hardExitMs, () => {
      exit(signal, exitAfterTimeout(signal, hardExitMs));
    });
    reactions.onStop(signal);
  };

  const listeners: [NodeJS.Signals, () => void][] = [
    ...stopSignals.map((signal): [NodeJS.Signals, () => void] => [signal, () => stop(signal)]),
    ['SIGUSR2', () => reactions.onStatus()],
  ];
  for (const [signal, listener] of listeners) io.signals.on(signal, listener);
  return {
    abortSignal: controller.signal,
    dispose() {
      cancelHardExit();
      for (const [signal, listener] of listeners) io.signals.off(signal, listener);
    },
  };
}
