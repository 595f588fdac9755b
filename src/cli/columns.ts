/** Prints tables for people and for `cut`: columns aligned with spaces, the first one without any. */
import { sanitize } from '../text.ts';

/** One line per row. Control characters, which a terminal would interpret, are replaced. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map((cell) => sanitize(cell)));
  const widths = clean.reduce<number[]>(
    (all, row) => row.map((cell, column) => Math.max(all[column] ?? 0, cell.length)),
    [],
  );
  return clean
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
