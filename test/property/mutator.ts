/** Damages text at random, the same way for the same seed. */
export class Mutator {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995;
  }

  /** A whole number from 0 to `most` - 1 (mulberry32). */
  below(most: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % most;
  }

  /** One to four edits: text removed, repeated or moved, a part inserted, or one character replaced. */
  mutate(text: string, parts: readonly string[]): string {
    let result = text;
    for (let edits = 1 + this.below(4); edits > 0; edits--) result = this.#edit(result, parts);
    return result;
  }

  #edit(text: string, parts: readonly string[]): string {
    const from = this.below(text.length + 1);
    const to = Math.min(text.length, from + this.below(this.below(3) === 0 ? 40 : 4));
    const [before, part, after] = [text.slice(0, from), text.slice(from, to), text.slice(to)];
    switch (this.below(6)) {
      case 0:
        return before + after;
      case 1:
        return before + part + part + after;
      case 2:
        return before + after + part;
      case 3:
        return before + String.fromCharCode(this.below(256)) + text.slice(from + 1);
      case 4:
        return before + this.#pick(parts) + after;
      default:
        return before + this.#pick(parts) + text.slice(from);
    }
  }

  #pick(parts: readonly string[]): string {
    return parts[this.below(parts.length)] as string;
  }
}
