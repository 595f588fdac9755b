/** What Ctrl-C and its relatives do: the first asks the transfer to stop, the second ends the process. */
import { ColdsnapError } from '../errors.ts';
import type { Io } from './io.ts';

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof stopSignals)[number];

/** Time to let go of what is in flight and to save the journal; CLI users were promised to be out by then. */
const hardExitMs = 5000;

export interface Interruption {
  /** Fires at the first signal; its reason is a ColdsnapError of class `aborted` whose code is the signal's name. */
  readonly abortSignal: AbortSignal;
  /** Stops listening; the signals do again what they do by default. */
  dispose(): void;
}

interface Reactions {
  /** The first signal has come. */
  onStop(signal: StopSignal): void;
  /** The process ends right after this returns: put the terminal in order. */
  onLeave(signal: StopSignal, reason: string): void;
  /** SIGUSR2: say how far it is. */
  onStatus(): void;
}

/** Listens for signals until disposed of. */
export function listenForSignals(
  io: Pick<Io, 'signals' | 'clock' | 'endBy'>,
  reactions: Reactions,
): Interruption {
  const controller = new AbortController();
  let cancelHardExit = () => {};

  const leave = (signal: StopSignal, reason: string) => {
    reactions.onLeave(signal, reason);
    io.endBy(signal);
  };
  const stop = (signal: StopSignal) => {
    if (controller.signal.aborted) {
      leave(signal, `stopped at once by a second signal (${signal})`);
      return;
    }
    controller.abort(new ColdsnapError('aborted', signal, `stopped by ${signal}`));
    cancelHardExit = io.clock.after(hardExitMs, () => {
      leave(signal, `did not stop within ${hardExitMs / 1000} s of ${signal}: leaving`);
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
