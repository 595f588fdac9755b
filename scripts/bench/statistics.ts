/** Statistics over repeated measurements. */

/** The middle value, or the mean of the middle two; NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * The median of the ratios within each round, so that a slow round affects both sides alike. Rounds without both values
 * are skipped; undefined if none remains.
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
