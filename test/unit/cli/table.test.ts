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

it('wraps a text before it shortens anything else', () => {
  const columns = [
    { title: 'NAME', isFlexible: true },
    { title: 'PROBLEM', isWrapped: true },
    { title: 'END' },
  ];
  const problem = 'has the same address as node gpu1; remove one of them';
  const rows = [['a-node-of-that-name', problem, 'x']];
  expect(renderTable(columns, rows, 70).split('\n')).toEqual([
    'NAME                 PROBLEM                                       END',
    'a-node-of-that-name  has the same address as node gpu1; remove     x',
    '                     one of them',
    '',
  ]);
  expect(renderTable(columns, rows, Number.POSITIVE_INFINITY)).toContain(problem);
});

it('shortens a word that is longer than its wrapped column', () => {
  const word = 'w'.repeat(50);
  expect(renderTable([{ title: 'PROBLEM', isWrapped: true }], [[word]], 40)).toMatch(/w{39}…$/m);
});

it('counts characters, not UTF-16 units', () => {
  expect(renderTable([{ title: 'A' }, { title: 'B' }], [['🦙', 'x']], 80)).toBe('A  B\n🦙  x\n');
});
