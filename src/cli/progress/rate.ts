/** A moving average of bytes per second. */
import type { Clock } from '../io.ts';

const windowMs = 10_000;
/** The shortest time between two samples. */
const sampleEveryMs = 250;

export class Rate {
  readonly #clock: Clock;
  #samples: { at: number; bytes: number }[] = [];
  #latest = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param bytes all bytes so far */
  add(bytes: number): void {
    this.#latest = bytes;
    const at = this.#clock.now();
    const last = this.#samples.at(-1);
    if (last && at - last.at < sampleEveryMs) return;
    this.#samples.push({ at, bytes });
    // Keep the newest sample outside the window: the window begins there.
    while (this.#samples.length > 2 && at - this.#samples[1]!.at >= windowMs) this.#samples.shift();
  }

  /** Bytes per second over the window; 0 before the second sample. */
  get perSecond(): number {
    const first = this.#samples[0];
    if (first === undefined) return 0;
    const elapsed = this.#clock.now() - first.at;
    return elapsed <= 0 ? 0 : ((this.#latest - first.bytes) * 1000) / elapsed;
  }
}
