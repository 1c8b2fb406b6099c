import { stripVTControlCharacters } from 'node:util';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Gives way first when the table is wider than the terminal. */
  readonly isFlexible?: boolean;
  /** Goes on in further lines before any other column gives way; for plain text only. */
  readonly isWrapped?: boolean;
}

/** One line, or several under one another. May be painted. */
export type Cell = string | readonly string[];

const GAP = '  ';
const MIN_FLEXIBLE = 8;
const MIN_WRAPPED = 32;

/** Aligned columns without rules, at most `width` wide where the wrapped and the flexible columns allow it. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
): string {
  const blocks = [columns.map((column) => column.title), ...rows].map((row) => row.map(linesOf));
  const widths = fitWidths(columns, blocks, width);
  for (const [index, column] of columns.entries()) {
    if (!column.isWrapped) continue;
    for (const block of blocks)
      block[index] = (block[index] ?? []).flatMap((line) => wrap(line, widths[index] ?? 0));
  }
  const lines: string[] = [];
  for (const block of blocks) {
    const height = Math.max(1, ...block.map((cell) => cell.length));
    for (let line = 0; line < height; line += 1) {
      const cells = columns.map((column, index) =>
        pad(block[index]?.[line] ?? '', widths[index] ?? 0, column.align ?? 'left'),
      );
      lines.push(cells.join(GAP).trimEnd());
    }
  }
  return `${lines.join('\n')}\n`;
}

function linesOf(cell: Cell): readonly string[] {
  return typeof cell === 'string' ? [cell] : cell;
}

function fitWidths(
  columns: readonly Column[],
  blocks: readonly (readonly string[])[][],
  width: number,
): number[] {
  const widths = columns.map((_, index) =>
    Math.max(0, ...blocks.flatMap((block) => (block[index] ?? []).map(visibleLength))),
  );
  let excess = widths.reduce((sum, each) => sum + each + GAP.length, -GAP.length) - width;
  const giveWay = (index: number, least: number): void => {
    const current = widths[index] ?? 0;
    const next = Math.max(Math.min(current, least), current - Math.max(0, excess));
    excess -= current - next;
    widths[index] = next;
  };
  for (const [index, column] of columns.entries()) if (column.isWrapped) giveWay(index, MIN_WRAPPED);
  for (const [index, column] of columns.entries()) if (column.isFlexible) giveWay(index, MIN_FLEXIBLE);
  return widths;
}

/** Lines of at most `width` characters, broken at blanks; a longer word gets a line of its own and is shortened there. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && visibleLength(last) + 1 + visibleLength(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const length = visibleLength(text);
  // Cutting would cut a colour's end as well: what is too long loses its colour.
  if (length > width)
    return `${Array.from(stripVTControlCharacters(text))
      .slice(0, width - 1)
      .join('')}…`;
  const blanks = ' '.repeat(width - length);
  return align === 'right' ? blanks + text : text + blanks;
}

function visibleLength(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}
