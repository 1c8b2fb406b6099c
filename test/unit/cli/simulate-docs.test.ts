import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseWorkload } from '../../../src/cli/simulate/workload-file.ts';
import { buildScenario } from '../../../src/simulate/workload.ts';

const guide = readFileSync(new URL('../../../docs/simulate.md', import.meta.url), 'utf8');

it('the workload of the guide is a valid one', () => {
  const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(guide) ?? [];
  const { nodes, requests, events } = buildScenario(parseWorkload(text, 'lab.yaml'), 1);
  expect(nodes.map(({ id }) => id)).toEqual(['desk', 'mini-1', 'mini-2']);
  expect(requests.length).toBeGreaterThan(300);
  expect(events).toHaveLength(4);
});
