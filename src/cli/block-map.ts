/** Draws which parts of a volume have data, on one line. */
import type { Io, Settings } from './io.ts';

/** Eight levels: nothing at all, some, … and everything. */
const unicodeLevels = [...' ▁▂▃▄▅▆█'];
const asciiLevels = [...' .:-=+*#'];

/** Columns without a terminal. */
const DEFAULT_COLUMNS = 80;

/** The columns of stdout. */
function terminalColumns({ stdout }: Pick<Io, 'stdout'>): number {
  // Serial consoles and some containers report a size of 0.
  return stdout.columns || DEFAULT_COLUMNS;
}

/** Cells of a map that fits on a line of the terminal, between two bars. */
export function mapCells(io: Pick<Io, 'stdout'>): number {
  return Math.max(1, terminalColumns(io) - 2);
}

/** @param shares how much of each part has data, 0 … 1 */
export function drawMap(shares: readonly number[], io: Pick<Io, 'env'> & { settings: Settings }): string {
  const levels = io.settings.color && isUtf8(io.env) ? unicodeLevels : asciiLevels;
  const most = levels.length - 1;
  // Only nothing at all is empty, and only everything is full.
  const cells = shares.map((share) => levels[share === 0 ? 0 : Math.max(1, Math.floor(share * most))]);
  return `|${cells.join('')}|`;
}

/** Whether the locale says so, in the order in which the C library looks. */
function isUtf8({ LC_ALL, LC_CTYPE, LANG }: Io['env']): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}
