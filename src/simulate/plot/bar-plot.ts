import { svgHead } from './dot-plot.ts';
import { escapeXml, OTHER_COLOUR, px, SERIES_COLOURS, STYLE } from './theme.ts';

export interface BarPlot {
  readonly title: string;
  readonly subtitle: string;
  readonly bars: readonly { readonly label: string; readonly value: number }[];
  readonly show: (value: number) => string;
}

const WIDTH = 860;
const LEFT = 150;
const RIGHT = 80;
const ROW = 28;
const TOP = 66;

/** Horizontal bars from 0; those that are much longer than most are cut off. */
export function barPlot({ title, subtitle, bars, show }: BarPlot): string {
  const top = topOf(bars.map(({ value }) => value));
  const height = TOP + bars.length * ROW + 14;
  const drawn = bars.map(({ label, value }, i) => {
    const y = TOP + i * ROW;
    const width = Math.min(1, value / top) * (WIDTH - LEFT - RIGHT);
    const text = value > top ? `… ${show(value)}` : show(value);
    return [
      `<text x="${LEFT - 12}" y="${y + 15}" text-anchor="end"${label === 'warmpath' ? ' font-weight="600"' : ''}>${escapeXml(label)}</text>`,
      `<rect x="${LEFT}" y="${y + 2}" width="${px(width)}" height="${ROW - 10}" rx="2" style="fill:${SERIES_COLOURS[label] ?? OTHER_COLOUR}"/>`,
      `<text class="soft" x="${px(LEFT + width + 8)}" y="${y + 15}">${escapeXml(text)}</text>`,
    ].join('');
  });
  return [
    svgHead(WIDTH, height, title),
    STYLE,
    `<rect class="paper" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="16" y="28">${escapeXml(title)}</text>`,
    `<text class="soft" x="16" y="48">${escapeXml(subtitle)}</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

/** One bar that is ten times as long as the others would leave nothing of them. */
function topOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[sorted.length >> 1] ?? 0;
  return Math.max(Number.MIN_VALUE, Math.min(4 * middle, sorted.at(-1) ?? 0));
}
