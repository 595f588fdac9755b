/** Reads an iterator ahead of its consumer, so that what is to come is known early. */

interface ReadAheadOptions<T> {
  /** Most items in memory. */
  readonly limit: number;
  /** Called for each item as soon as it is read. */
  readonly onItem: (item: T) => void;
  /** Called when the last item was read. */
  readonly onEnd: () => void;
}

/** Yields the items in order. A failure is thrown in its turn, after the items before it. */
export async function* readAhead<T>(
  source: AsyncGenerator<T, void, undefined>,
  { limit, onItem, onEnd }: ReadAheadOptions<T>,
): AsyncGenerator<T, void, undefined> {
  const items: Promise<IteratorResult<T, void>>[] = [];
  let stopped = false;
  let reading = false;

  const pump = async (): Promise<void> => {
    if (reading) return;
    reading = true;
    while (!stopped && items.length < limit) {
      const next = source.next();
      items.push(next);
      try {
        const result = await next;
        if (stopped) break;
        if (result.done) onEnd();
        else onItem(result.value);
        stopped = result.done === true;
      } catch {
        // Thrown when the consumer gets there.
        stopped = true;
      }
    }
    reading = false;
  };

  try {
    for (;;) {
      if (!stopped) void pump();
      // While the pump reads it has pushed a promise: its continuation runs before that of this function.
      const next = items.shift();
      if (next === undefined) return;
      const result = await next;
      if (result.done) return;
      yield result.value;
    }
  } finally {
    stopped = true;
    source.return().catch(() => {});
  }
}
