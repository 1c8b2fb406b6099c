import { stripVTControlCharacters, styleText } from 'node:util';
import { expect, it } from 'vitest';
import { renderTable } from '../../../src/cli/table.ts';

const red = (text: string) => styleText('red', text, { validateStream: false });

it('aligns columns as asked, without blanks at the ends of lines', () => {
  const table = renderTable(
    [{ title: 'NODE' }, { title: 'SLOTS', align: 'right' }],
    [
      ['gpu1', '4'],
      ['a', '16'],
    ],
    80,
  );
  expect(table).toBe(['NODE  SLOTS', 'gpu1      4', 'a        16', ''].join('\n'));
});

it('puts several lines of one cell under one another', () => {
  const table = renderTable(
    [{ title: 'A' }, { title: 'B' }],
    [
      ['x', ['1', '2']],
      ['y', []],
    ],
    80,
  );
  expect(table).toBe(['A  B', 'x  1', '   2', 'y', ''].join('\n'));
});

it('is not misled by colour', () => {
  const plain = renderTable(
    [{ title: 'A' }, { title: 'B' }],
    [
      ['ready', '1'],
      ['down', '2'],
    ],
    80,
  );
  const painted = renderTable(
    [{ title: 'A' }, { title: 'B' }],
    [
      [red('ready'), '1'],
      [red('down'), '2'],
    ],
    80,
  );
  expect(stripVTControlCharacters(painted)).toBe(plain);
});

it('shortens flexible columns until the table fits, and no others', () => {
  const columns = [
    { title: 'NODE', isFlexible: true },
    { title: 'STATE' },
    { title: 'MODELS', isFlexible: true },
  ];
  const rows = [['a-node-with-a-very-long-name', 'draining', red('a-model-with-an-even-longer-name:latest')]];
  for (const width of [40, 50, 60]) {
    const lines = renderTable(columns, rows, width).trimEnd().split('\n');
    for (const line of lines) expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(width);
    expect(lines[1]).toContain('draining');
    expect(lines[1]).toContain('…');
  }
});

it('counts characters, not UTF-16 units', () => {
  expect(renderTable([{ title: 'A' }, { title: 'B' }], [['🦙', 'x']], 80)).toBe('A  B\n🦙  x\n');
});
