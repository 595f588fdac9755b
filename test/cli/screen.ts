/** A terminal that follows what is written to it, as far as the display needs. */
export class Screen {
  readonly columns: number;
  /** Each line that did not fit while the cursor was hidden, as far as it fitted: lines that stay may wrap. */
  readonly wrapped: string[] = [];
  /** The screen each time it was drawn over. */
  readonly frames: string[] = [];
  cursorShown = true;
  cursorWasHidden = false;
  #rows: string[] = [''];
  #row = 0;
  #column = 0;
  /** Whether anything was printed since lines were last erased. */
  #printed = false;

  /** @param widthOf columns of a character */
  constructor(columns: number, widthOf: (character: string) => number) {
    this.columns = columns;
    this.#widthOf = widthOf;
  }
  readonly #widthOf: (character: string) => number;

  get text(): string {
    return this.#rows.map((row) => row.trimEnd()).join('\n');
  }

  write(output: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal obeys
    for (const [token, parameters = '', command] of output.matchAll(/\x1b\[([?\d;]*)([A-Za-z])|[\s\S]/gu)) {
      if (command !== undefined) this.#obey(parameters, command);
      else this.#print(token);
    }
  }

  #obey(parameters: string, command: string): void {
    const count = Number(parameters || 1);
    if (parameters === '?25') {
      this.cursorShown = command === 'h';
      if (!this.cursorShown) this.cursorWasHidden = true;
    } else if (command === 'A') this.#row = Math.max(0, this.#row - count);
    else if (command === 'G') this.#column = count - 1;
    else if (command === 'K') {
      // Lines are erased from the last one upwards.
      if (this.#printed) this.frames.push(this.text);
      this.#printed = false;
      this.#rows[this.#row] = '';
      if (this.#row === this.#rows.length - 1 && this.#row > 0) this.#rows.pop();
    }
  }

  get #here(): string {
    return this.#rows[this.#row] ?? '';
  }

  #print(character: string): void {
    this.#printed = true;
    if (character === '\r') this.#column = 0;
    else if (character === '\n') this.#newLine();
    else {
      const width = this.#widthOf(character);
      if (this.#column + width > this.columns) {
        if (!this.cursorShown) this.wrapped.push(this.#here);
        this.#newLine();
        this.#column = 0;
      }
      this.#rows[this.#row] =
        this.#here.slice(0, this.#column).padEnd(this.#column) +
        character +
        this.#here.slice(this.#column + 1);
      this.#column += width;
    }
  }

  #newLine(): void {
    this.#row++;
    this.#rows[this.#row] ??= '';
  }
}
