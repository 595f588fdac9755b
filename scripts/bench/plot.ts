/** A small SVG line plot: panels side by side over one logarithmic axis of powers of two. */

export interface Series {
  name: string;
  /** [x, y], ascending in x. */
  points: [number, number][];
}

export interface Panel {
  title: string;
  series: Series[];
}

const PANEL = { width: 400, height: 260, left: 56, top: 44, right: 16, bottom: 52 };
const COLORS = ['#0b6e4f', '#c8553d', '#3d5a80', '#8a6d3b', '#6c3483'];
const DASHES = ['', '6 3', '2 3', '8 3 2 3', '1 2'];
const TICKS = 5;

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** The smallest step of 1, 2 or 5 times a power of ten that reaches `value` in TICKS steps. */
export function tickStep(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value / TICKS));
  const factor = [1, 2, 5, 10].find((one) => one * power * TICKS >= value) ?? 10;
  return factor * power;
}

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(content)}</text>`;
}

function panelSvg(panel: Panel, originX: number, xLabel: string): string {
  const { width, height, left, top, right, bottom } = PANEL;
  const xs = [...new Set(panel.series.flatMap((one) => one.points.map(([x]) => x)))].sort((a, b) => a - b);
  const most = Math.max(0, ...panel.series.flatMap((one) => one.points.map(([, y]) => y)));
  const step = tickStep(most);
  const yTop = step * TICKS;
  const low = Math.log2(xs[0] ?? 1);
  const span = Math.max(1, Math.log2(xs.at(-1) ?? 2) - low);
  const plotX = (x: number) => originX + left + ((Math.log2(x) - low) / span) * (width - left - right);
  const plotY = (y: number) => top + (1 - y / yTop) * (height - top - bottom);
  const out = [text(originX + left, top - 16, panel.title, 'font-weight="bold"')];
  for (let tick = 0; tick <= TICKS; tick++) {
    const y = plotY(tick * step);
    const from = originX + left;
    out.push(`<path d="M${from} ${y.toFixed(1)}H${originX + width - right}" stroke="#ddd"/>`);
    out.push(text(from - 8, y + 4, String(Number((tick * step).toPrecision(6))), 'text-anchor="end"'));
  }
  for (const x of xs) out.push(text(plotX(x), height - bottom + 18, String(x), 'text-anchor="middle"'));
  out.push(text(originX + (left + width - right) / 2, height - bottom + 38, xLabel, 'text-anchor="middle"'));
  for (const [index, one] of panel.series.entries()) {
    const color = COLORS[index % COLORS.length];
    const path = one.points.map(([x, y]) => `${plotX(x).toFixed(1)} ${plotY(y).toFixed(1)}`).join('L');
    const dash = DASHES[index % DASHES.length];
    out.push(
      `<path d="M${path}" fill="none" stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    );
    for (const [x, y] of one.points) {
      out.push(`<circle cx="${plotX(x).toFixed(1)}" cy="${plotY(y).toFixed(1)}" r="2.5" fill="${color}"/>`);
    }
  }
  return out.join('\n');
}

/** Renders the plot. Panels should have the same series, because they share one legend. */
export function plotSvg(panels: Panel[], xLabel: string): string {
  const width = panels.length * PANEL.width;
  const height = PANEL.height + 28;
  const names = panels[0]?.series.map((one) => one.name) ?? [];
  const legend = names.map((name, index) => {
    const x = PANEL.left + (index * (width - PANEL.left)) / Math.max(1, names.length);
    const y = PANEL.height + 8;
    const line = `stroke="${COLORS[index % COLORS.length]}" stroke-dasharray="${DASHES[index % DASHES.length]}"`;
    return `<path d="M${x.toFixed(1)} ${y}h24" ${line} stroke-width="2"/>${text(x + 30, y + 4, name)}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12"><title>CPU and throughput by number of workers</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...panels.map((panel, index) => panelSvg(panel, index * PANEL.width, xLabel)),
    ...legend,
    '</svg>',
    '',
  ].join('\n');
}
