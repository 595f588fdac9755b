/** Prints ranges on stdout while they arrive, in pieces of some size, so that memory does not depend on their number. */
import type { ByteRange } from '../transfer/options.ts';
import type { CommandIo } from './io.ts';
import { printResult, toJson } from './output.ts';

/** Characters that are printed at once. */
const PIECE = 65_536;

export class RangeOutput {
  readonly #io: CommandIo;
  readonly #format: 'lines' | 'json';
  #text = '';
  #count = 0;

  constructor(io: CommandIo) {
    this.#io = io;
    this.#format = io.settings.json ? 'json' : 'lines';
  }

  /** The environment without a progress display where that would draw on the same terminal. */
  progressIo(): CommandIo {
    if (this.#io.stdout.isTTY !== true) return this.#io;
    return { ...this.#io, settings: { ...this.#io.settings, progress: 'none' } };
  }

  /** @param kind put before the range, if there are several kinds */
  async add({ start, end }: ByteRange, kind?: string): Promise<void> {
    if (this.#format === 'lines') this.#text += `${kind === undefined ? '' : `${kind} `}${start}-${end}\n`;
    else {
      this.#text += this.#count === 0 ? '{"ranges":[' : ',';
      this.#text += toJson({ ...(kind === undefined ? {} : { kind }), start, end });
    }
    this.#count++;
    if (this.#text.length >= PIECE) await this.#flush();
  }

  /** @param document what a JSON document says besides the ranges */
  async end(document: object): Promise<void> {
    if (this.#format === 'json') {
      if (this.#count === 0) this.#text = '{"ranges":[';
      this.#text += `],${toJson(document).slice(1)}\n`;
    }
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (text !== '') await printResult(this.#io, text);
  }
}
