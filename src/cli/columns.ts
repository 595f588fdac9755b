/** Prints tables for people and for `cut`: columns aligned with spaces, the first one without any. */
import { sanitize } from '../text.ts';

/** The least width of a column that is cut. */
const LEAST = 10;

/**
 * The same in lines of at most `columns` characters: the widest columns are cut, and the last ones dropped where even that is
 * too long.
 * @param whole columns at the beginning that are not cut
 */
export function fitColumns(rows: readonly (readonly string[])[], columns: number, whole: number): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => sanitize(row[column] ?? '').length)),
  );
  const most = [...widths];
  const least = widths.map((width, column) => (column < whole ? width : Math.min(width, LEAST)));
  while (most.length > 1 && total(least.slice(0, most.length)) > columns) most.pop();
  for (let excess = total(most) - columns; excess > 0; excess--) {
    const spare = most.map((width, column) => (width > least[column]! ? width : 0));
    const widest = spare.indexOf(Math.max(...spare));
    if (spare[widest] === 0) break;
    most[widest]!--;
  }
  const cut = (cell: string, width: number) => (cell.length > width ? `${cell.slice(0, width - 1)}…` : cell);
  return alignColumns(
    rows.map((row) => most.map((width, column) => cut(sanitize(row[column] ?? ''), width))),
  );
}

/** Characters of a line, with two between columns. */
const total = (widths: readonly number[]) => widths.reduce((sum, width) => sum + width + 2, -2);

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
