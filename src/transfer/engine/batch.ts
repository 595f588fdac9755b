/**
 * Most items in a batch: as many blocks as the widest SHA-256 kernel takes at once. Narrower ones gain too: fewer thread-pool calls, and
 * longer ranges where neighbours are zeroed together.
 */
const MAX_SIZE = 16;
/**
 * How long a batch waits to be filled. At the service's 1,000 blocks a second that makes batches of about 8, which costs a
 * tenth less processor time than batches of 2; with 64 requests in flight the wait is not felt. A batch that is half full by
 * then waits once more: it will be full, and AVX-512 hashes 16 blocks in less time than SHA-NI 12. Others do not, because
 * where blocks are rarer the wait would be felt.
 */
const FILL_MS = 8;

/**
 * Gathers single items into batches: one call of the addon costs the same for one block as for many, and its SHA-256
 * hashes several blocks at once for little more than the price of one.
 */
export class Batcher<Item, Result> {
  readonly #run: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #size: number;
  #waiting: { item: Item; resolve: (result: Result) => void; reject: (error: unknown) => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param workers how many submit items, each one at a time. A quarter of them makes a full batch, so that the others
   *   have something to fetch meanwhile
   * @param run does the work; gives one result an item, in order
   */
  constructor(workers: number, run: (items: readonly Item[]) => Promise<readonly Result[]>) {
    this.#size = Math.min(Math.ceil(workers / 4), MAX_SIZE);
    this.#run = run;
  }

  /** Resolves with the item's result. */
  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#waiting.length >= this.#size) this.#flush();
      else this.#timer ??= setTimeout(() => this.#waited(), FILL_MS);
    });
  }

  #waited(): void {
    if (this.#waiting.length < MAX_SIZE / 2) this.#flush();
    else this.#timer = setTimeout(() => this.#flush(), FILL_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#run(batch.map((entry) => entry.item)).then(
      (results) => {
        for (const [at, entry] of batch.entries()) entry.resolve(results[at] as Result);
      },
      (error: unknown) => {
        for (const entry of batch) entry.reject(error);
      },
    );
  }
}
