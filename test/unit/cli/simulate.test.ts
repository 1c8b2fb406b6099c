import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { SIM_POLICIES } from '../../../src/simulate/policies.ts';
import { aFakeIo, FakeOutput } from './fake-io.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'warmpath-simulate-'));
});
afterAll(() => rm(dir, { recursive: true }));

const WORKLOAD = `
duration: 2m
nodes:
  - {name: big, vram: 24GiB, loadRate: 1GiB/s, promptRate: 20000, answerRate: 600, parallel: 2}
  - {name: small, count: 2, vram: 8GiB, loadRate: 500MiB/s, promptRate: 8000, answerRate: 250}
models:
  - {name: "llama3.1:8b", size: 4.9GB}
  - {name: mistral, size: 4.1GB, context: 8192}
streams:
  - name: chat
    callers: 5
    arrivals: {kind: sessions, perSecond: 0.1, turns: {median: 3}, thinkSeconds: {median: 5, spread: 0.5}}
    models: {"llama3.1:8b": 2, mistral: 1}
    contexts: {default: 3, "8192": 1}
    prompt: {median: 200, spread: 0.8}
    answer: 50
events:
  - {kind: down, node: small-2, at: 30s}
  - {kind: fails, node: big, at: 1m, share: 0.1}
`;

async function run(...args: string[]) {
  const io = aFakeIo({ out: new FakeOutput({ columns: 160 }) });
  const never = () => Promise.reject(new Error('not asked for'));
  const code = await runProgram(['simulate', ...args], { version: '0', io, up: never, serve: never });
  return { code, out: io.out.text, err: io.err.text };
}

async function file(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text);
  return path;
}

it('shows a line for each policy', async () => {
  const { code, out, err } = await run(await file('lab.yaml', WORKLOAD));
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^lab\n\d+ requests, 3 nodes, 2 models, seed 1\n\nPOLICY +P50/);
  for (const policy of SIM_POLICIES) expect(out).toMatch(new RegExp(`^${policy} +[0-9.]+s`, 'm'));
});

it('runs the policies, the seed and the number of requests asked for, and says so to programs', async () => {
  const args = [
    await file('lab.yaml', WORKLOAD),
    '--policy',
    'random,warmpath',
    '--seed',
    '7',
    '--requests',
    '40',
    '--json',
  ];
  const runs = await Promise.all([run(...args), run(...args)]);
  const report = JSON.parse(runs[0]?.out ?? '');
  expect(report).toMatchObject({ scenario: 'lab', seed: 7, requests: 40, nodes: 3 });
  expect(report.policies.map(({ policy }: { policy: string }) => policy)).toEqual(['random', 'warmpath']);
  expect(report.policies[1].measures.requests).toBe(40);
  expect(runs[0]?.out).toBe(runs[1]?.out);
});

it('knows the named scenarios', async () => {
  const { code, out } = await run('--scenario', 'chat-sessions', '--policy', 'random', '--requests', '100');
  expect(code).toBe(0);
  expect(out).toMatch(/^chat-sessions: /);
});

it.each([
  {
    name: 'nothing',
    args: [],
    want: /name a workload file, a recording with --replay, or one of these with --scenario: homelab/,
  },
  {
    name: 'a scenario that there is not',
    args: ['--scenario', 'x'],
    want: /there is no scenario "x"; there are homelab, /,
  },
  {
    name: 'a policy that there is not',
    args: ['--scenario', 'homelab', '--policy', 'warmth'],
    want: /there is no policy "warmth"; there are warmpath, random/,
  },
  {
    name: 'a scenario and a file',
    args: ['lab.yaml', '--scenario', 'homelab'],
    want: /leave the workload file and --replay out/,
  },
  {
    name: 'a report of one policy',
    args: ['--report', 'x.md', '--policy', 'random'],
    want: /--report runs all policies in all named scenarios/,
  },
  { name: 'a seed that is no number', args: ['--seed', 'x'], want: /a whole number is needed/ },
])('refuses $name with what to do', async ({ args, want }) => {
  const { code, err, out } = await run(...args);
  expect([code, out]).toEqual([2, '']);
  expect(err).toMatch(want);
});

it('lists every problem of a workload with its place', async () => {
  const broken = WORKLOAD.replace('vram: 8GiB', 'vrm: 8GiB').replace('at: 30s', 'at: 30');
  const { code, err } = await run(await file('broken.yaml', broken));
  expect(code).toBe(1);
  expect(err).toBe(`warmpath: broken.yaml is not valid:
  broken.yaml:5:5 nodes.1.vram: expected a size such as "24GiB" or "500MiB", got nothing
  broken.yaml:5:29 nodes.1.vrm: unknown key; did you mean "vram"?
  broken.yaml:18:37 events.0.at: expected a duration such as "250ms" or "2s", got 30
`);
});

it('finds names that nothing has', async () => {
  const broken = WORKLOAD.replace('mistral: 1', 'mistrl: 1').replace('node: big', 'node: bog');
  const { err } = await run(await file('names.yaml', broken));
  expect(err).toContain('streams.0.models: mistrl:latest is not among "models"');
  expect(err).toContain('events.1.node: bog is not among "nodes"');
});

it('says where a file that is not there was looked for', async () => {
  const { code, err } = await run(join(dir, 'missing.yaml'));
  expect(code).toBe(1);
  expect(err).toContain(join(dir, 'missing.yaml'));
});

it('lets Warmpath decide as a configuration says', async () => {
  const off = await file('off.yaml', 'rewrites: {numCtx: off}\nwaiting: {maxRequests: 7}\n');
  const args = ['--scenario', 'context-thrash', '--requests', '300', '--policy', 'warmpath', '--json'];
  const reloads = async (...more: string[]): Promise<number> =>
    JSON.parse((await run(...args, ...more)).out).policies[0].measures.reloads;
  // Three applications with three contexts: pinned, they share the model; as they are, each makes it load anew.
  expect(await reloads()).toBeLessThan(10);
  expect(await reloads('--config', off)).toBeGreaterThan(50);
});

it('refuses a broken configuration with what is wrong', async () => {
  const broken = await file('broken-config.yaml', 'rewrites: {numCtx: often}\n');
  const { code, err } = await run('--scenario', 'homelab', '--config', broken);
  expect(code).toBe(1);
  expect(err).toContain('rewrites.numCtx: expected one of pin, off');
});

const RECORD = {
  path: '/api/chat',
  model: 'mistral:latest',
  target: 'mistral:latest',
  bodyBytes: 900,
  promptBytes: 800,
  images: 0,
  class: 'normal',
  caller: 'c1',
  prefixes: [],
  waitedMs: 0,
  node: 'n1',
  end: 'complete',
  status: 200,
  attempts: 1,
  totalMs: 2_000,
  firstByteMs: 300,
  promptTokens: 200,
  completionTokens: 100,
  loadMs: 5,
  promptEvalMs: 200,
  evalMs: 1_700,
};
const recording = (count: number, fields: object = {}): string =>
  Array.from({ length: count }, (_, at) =>
    JSON.stringify({ ...RECORD, at: new Date(Date.UTC(2026, 0, 1) + at * 3_000).toISOString(), ...fields }),
  ).join('\n');

it('replays a recording over nodes that behave as the recorded ones, a torn last line left out', async () => {
  const path = await file('decisions.jsonl', `${recording(30)}\n{"at":"2026`);
  const { code, out } = await run('--replay', path, '--policy', 'warmpath', '--json');
  expect(code).toBe(0);
  const { requests, nodes, policies } = JSON.parse(out);
  expect([requests, nodes]).toEqual([30, 1]);
  expect(policies[0].measures.unservedShare).toBe(0);
  expect(policies[0].measures.ttftP50).toBeCloseTo(0.2, 1);
});

it('replays a recording over the nodes of a workload', async () => {
  const path = await file('decisions.jsonl', recording(30));
  const { out } = await run(
    await file('lab.yaml', WORKLOAD),
    '--replay',
    path,
    '--policy',
    'warmpath',
    '--json',
  );
  expect(JSON.parse(out)).toMatchObject({ requests: 30, nodes: 3 });
});

it.each([
  { name: 'without requests', text: '{}\n', want: /there is no request to replay in it; "decisions.record"/ },
  {
    name: 'that no node answered',
    text: recording(2, { node: undefined }),
    want: /name a workload file with the nodes/,
  },
])('refuses a recording $name', async ({ text, want }) => {
  const { code, err } = await run('--replay', await file('bad.jsonl', text));
  expect(code).toBe(1);
  expect(err).toMatch(want);
});

it('refuses a recording whose models the workload lacks', async () => {
  const path = await file('other.jsonl', recording(2, { target: 'phi3:latest' }));
  const { code, err } = await run(await file('lab.yaml', WORKLOAD), '--replay', path);
  expect(code).toBe(1);
  expect(err).toContain('asks for models that lab lacks: phi3:latest');
});
