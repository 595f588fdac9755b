/** What is made of repeated measurements. */

/** The middle value; the mean of the middle two. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * The median of the ratios of the same rounds: what is slow in one round is so for both, and drops out. A round that one of
 * them has no value for is left out; undefined when none is left.
 */
export function pairedRatio(
  values: readonly (number | undefined)[],
  base: readonly (number | undefined)[] | undefined,
): number | undefined {
  const ratios: number[] = [];
  for (const [round, value] of values.entries()) {
    const other = base?.[round];
    if (value !== undefined && other !== undefined && other > 0) ratios.push(value / other);
  }
  return ratios.length === 0 ? undefined : median(ratios);
}
