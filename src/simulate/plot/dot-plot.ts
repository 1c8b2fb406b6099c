import type { Scale } from './scale.ts';
import { escapeXml, OTHER_COLOUR, px, SERIES_COLOURS, STYLE } from './theme.ts';

export interface DotPlot {
  readonly title: string;
  readonly subtitle: string;
  /** From the left; each has one value for each series. */
  readonly rows: readonly { readonly label: string; readonly values: Readonly<Record<string, number>> }[];
  /** Drawn in this order, the last on top. */
  readonly series: readonly string[];
  readonly scale: (values: readonly number[], from: number, to: number) => Scale;
  readonly show: (value: number) => string;
}

const WIDTH = 860;
const LEFT = 190;
const RIGHT = 30;
const ROW = 30;
const TOP = 92;
const LEGEND_STEP = 205;

/** One line for each row, one mark for each series on it: a ring for Warmpath, a bar for the bound, dots for the others. */
export function dotPlot(plot: DotPlot): string {
  const { rows, series, show } = plot;
  const values = rows.flatMap((row) => series.map((name) => row.values[name] ?? 0));
  const scale = plot.scale(values, LEFT, WIDTH - RIGHT);
  const bottom = TOP + rows.length * ROW;
  const legendRows = Math.ceil(series.length / 4);
  const height = bottom + 44 + legendRows * 22;
  const body = [
    `<text class="title" x="16" y="28">${escapeXml(plot.title)}</text>`,
    `<text class="soft" x="16" y="48">${escapeXml(plot.subtitle)}</text>`,
    ...scale.ticks.map((tick) => axisLine(scale.at(tick), show(tick), bottom)),
    ...rows.flatMap((row, i) => rowMarks(row, TOP + (i + 0.5) * ROW, series, scale, show)),
    ...series.map((name, i) =>
      legend(name, 24 + (i % 4) * LEGEND_STEP, bottom + 34 + Math.floor(i / 4) * 22),
    ),
  ];
  return `${svgHead(WIDTH, height, plot.title)}\n${STYLE}\n<rect class="paper" width="${WIDTH}" height="${height}"/>\n${body.join('\n')}\n</svg>\n`;
}

export function svgHead(width: number, height: number, title: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`;
}

function axisLine(x: number, text: string, bottom: number): string {
  return `<line class="grid" x1="${px(x)}" y1="${TOP - 8}" x2="${px(x)}" y2="${bottom}"/><text class="soft" x="${px(x)}" y="${TOP - 14}" text-anchor="middle">${escapeXml(text)}</text>`;
}

function rowMarks(
  row: DotPlot['rows'][number],
  y: number,
  series: readonly string[],
  scale: Scale,
  show: (value: number) => string,
): string[] {
  const label = `<text x="${LEFT - 16}" y="${px(y + 4)}" text-anchor="end">${escapeXml(row.label)}</text>`;
  const line = `<line class="grid" x1="${LEFT}" y1="${px(y)}" x2="${WIDTH - RIGHT}" y2="${px(y)}"/>`;
  const marks = series.map((name) => {
    const value = row.values[name] ?? 0;
    return mark(name, scale.at(value), y, `${row.label}, ${name}: ${show(value)}`);
  });
  return [label, line, ...marks];
}

function mark(name: string, x: number, y: number, title: string): string {
  const colour = SERIES_COLOURS[name] ?? OTHER_COLOUR;
  const hover = `<title>${escapeXml(title)}</title>`;
  if (name === 'clairvoyant')
    return `<line x1="${px(x)}" y1="${px(y - 9)}" x2="${px(x)}" y2="${px(y + 9)}" style="stroke:${colour}" stroke-width="2.5">${hover}</line>`;
  if (name === 'warmpath')
    return `<circle cx="${px(x)}" cy="${px(y)}" r="7" style="fill:none;stroke:${colour}" stroke-width="3.5">${hover}</circle>`;
  return `<circle cx="${px(x)}" cy="${px(y)}" r="4.5" style="fill:${colour}" fill-opacity="0.85">${hover}</circle>`;
}

function legend(name: string, x: number, y: number): string {
  return `${mark(name, x, y - 4, name)}<text class="soft" x="${x + 14}" y="${y}">${escapeXml(name)}</text>`;
}
