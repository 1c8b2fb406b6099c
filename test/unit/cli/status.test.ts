import { expect, it } from 'vitest';
import type { ExtProcStanding } from '../../../src/api/ext-proc-shown.ts';
import type { Outcome } from '../../../src/app/types.ts';
import { AdminUnreachable } from '../../../src/cli/admin-client.ts';
import { runStatus } from '../../../src/cli/status.ts';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import { aDecision, aSource } from '../api/fake-source.ts';
import { aGpu, aGpuReport, aModel, aNode, aResident } from '../api/fleet-builder.ts';
import { aFakeIo, FakeOutput, fetchFrom } from './fake-io.ts';

const URL = 'http://127.0.0.1:9411';
const once = { url: URL, json: false, watch: false };
const GIB = 2 ** 30;

const fleet = [
  aNode('gpu1', {
    spec: { slots: 4, vramBytes: 24 * GIB },
    models: [aModel('alpha:latest'), aModel('beta:7b')],
    resident: [aResident('alpha:latest'), aResident('beta:7b', { vramBytes: 7 * GIB, sizeBytes: 7 * GIB })],
    health: { since: 4_000 },
  }),
  aNode('gpu2', {
    models: [aModel('alpha:latest')],
    health: {
      status: 'down',
      since: 9_000,
      lastFailure: { reason: 'refused', source: 'poll', detail: 'connection refused', at: 9_500 },
    },
    record: { rttMs: undefined },
  }),
];
const inflight = {
  onNode: (node: string) => (node === 'gpu1' ? 3 : 0),
  onModel: (_node: string, model: string) => (model === 'alpha:latest' ? 3 : 0),
  nodesRunning: () => [],
  expectedEnds: () => [],
};

it('shows each node with state, warm models, load, slots, VRAM and round trip', async () => {
  const io = aFakeIo({ fetch: fetchFrom(aSource(fleet, { inflight: () => inflight })) });
  expect(await runStatus(io, once)).toBe(0);
  expect(io.out.text).toBe(
    [
      'warmpath 1.2.3 · ready · up 10 s · 1 of 2 nodes ready · on 0.0.0.0:11434',
      '',
      'NODE  STATE     MODELS WARM              IN FLIGHT  SLOTS                  VRAM     RTT',
      'gpu1  ready     alpha:latest ×3 5.0 GiB          3      4  12.0 GiB of 24.0 GiB  1.3 ms',
      '                beta:7b 7.0 GiB',
      'gpu2  down 1 s  none of 1                        0     ~1                   0 B       –',
      '',
      'gpu2: refused, connection refused (500 ms ago) http://10.0.0.1:11434',
      '',
    ].join('\n'),
  );
});

it('shows the line: how long, how old, by class, model and caller, and why they wait', async () => {
  const source = aSource(fleet, {
    line: () => ({
      length: 5,
      bytes: 9_000,
      oldestMs: 12_300,
      byClass: { interactive: 1, normal: 0, batch: 4 },
      byModel: [
        { name: 'alpha:latest', waiting: 4, oldestMs: 12_300 },
        { name: 'beta:7b', waiting: 1, oldestMs: 900 },
      ],
      byCaller: [{ name: 'nightly', waiting: 5, oldestMs: 12_300 }],
      byReason: { slots_busy: 4, loading: 1, no_room: 0 },
    }),
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  await runStatus(io, once);
  expect(io.out.text).toContain(
    [
      '5 waiting · the first for 12 s · 1 interactive, 4 batch',
      'waiting 4 for a free slot, 1 for the model to load',
      '',
      'MODEL         WAITING  LONGEST  CALLER   WAITING  LONGEST',
      'alpha:latest        4     12 s  nightly        5     12 s',
      'beta:7b             1   900 ms',
      '',
    ].join('\n'),
  );
});

it('shows what was learnt of each model, where that is asked for', async () => {
  const estimate = (value: number) => ({
    value,
    spread: 0,
    weight: 3,
    at: Date.parse('2026-01-01T00:00:06Z'),
  });
  const figures = { ...NO_FIGURES, loadMs: estimate(8_000), answerRates: [estimate(51.4)], slots: 2 };
  const fresh = aNode('gpu1', { models: [aModel('alpha:latest')] });
  const nodes = [{ ...fresh, learnt: { ...fresh.learnt, figures: new Map([['alpha:latest *', figures]]) } }];
  const io = aFakeIo({ fetch: fetchFrom(aSource(nodes)) });
  await runStatus(io, { ...once, models: true });
  expect(io.out.text).toContain(
    [
      'NODE  MODEL           LOAD  PROMPT  ANSWER  TOKENS  HELD  INNER WAIT  SLOTS     SEEN',
      'gpu1  alpha:latest  8.00 s       –   51 /s       –     –           –      2  4 s ago',
    ].join('\n'),
  );
  const plain = aFakeIo({ fetch: fetchFrom(aSource(nodes)) });
  await runStatus(plain, once);
  expect(plain.out.text).not.toContain('ANSWER');
});

it('tells of requests that kill nodes, of the shadow policy, and of a recording that loses lines', async () => {
  const source = aSource(fleet, {
    guard: () => ({ refusals: 7, refusedBodies: 2 }),
    shadow: () => ({
      policy: 'herd-score',
      isOff: false,
      asked: 8,
      agreed: 6,
      meanRegretSeconds: 1.25,
      realSecondsAgreed: 0.5,
      realSecondsDiffered: 0.25,
    }),
    recording: () => ({ written: 90, dropped: 3 }),
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  await runStatus(io, once);
  expect(io.out.text).toContain('2 requests are refused because they seem to crash nodes (7 times so far)');
  expect(io.out.text).toContain(
    'shadow policy herd-score: agrees with 75 % of 8 decisions, would cost 1.25 s more by our prediction, ' +
      '0.500 s to the first token where it agrees, 0.250 s where not',
  );
  expect(io.out.text).toContain('3 decisions could not be recorded, 90 were');
});

it('says why a node drains, what still runs there and when it is removed', async () => {
  const drains = new Map([
    [
      'operator',
      { since: '2026-01-01T00:00:05.000Z', note: 'new GPU', removeAt: '2026-01-01T00:05:10.000Z' },
    ],
    ['owner_hours', { since: '2026-01-01T00:00:00.000Z', note: '', removeAt: undefined }],
  ] as const);
  const nodes = [aNode('gpu1', { record: { drains } }), aNode('gpu2', { spec: { drain: true } })];
  const io = aFakeIo({ fetch: fetchFrom(aSource(nodes, { inflight: () => inflight })) });
  await runStatus(io, once);
  expect(io.out.text).toMatch(/^gpu1 +draining 10 s /m);
  expect(io.out.text.split('\n').filter((line) => line.includes('drains,'))).toEqual([
    'gpu1: drains, operator: new GPU, 3 running, removed in 5 min (for 5 s)',
    'gpu1: drains, owner_hours, 3 running (for 10 s)',
    'gpu2: drains, configured',
  ]);
});

it.each([80, 100, 120])('fits a terminal of %i columns', async (columns) => {
  const long = 'registry.example.com/some-organisation/a-very-long-model-name:70b-instruct-q4_K_M';
  const nodes = [
    ...fleet,
    aNode('a-node-with-quite-a-long-name.rack7.example', { resident: [aResident(long)] }),
  ];
  const io = aFakeIo({ out: new FakeOutput({ columns }), fetch: fetchFrom(aSource(nodes)) });
  await runStatus(io, once);
  for (const line of io.out.text.split('\n').slice(2, -3)) expect(line.length).toBeLessThanOrEqual(columns);
});

it('says first what is wrong with Warmpath itself', async () => {
  const source = aSource([], {
    unreadyReasons: () => ['the first round of polls is under way'],
    alarms: () => [{ code: 'config_rejected', message: 'x.yaml:3:1 odd', since: '2026-01-01T00:00:08.000Z' }],
    envoy: () => ({ version: '1.40.0', pid: 7, restarts: 2 }),
  });
  const io = aFakeIo({ fetch: fetchFrom(source) });
  await runStatus(io, once);
  expect(io.out.text).toContain('not ready: the first round of polls is under way');
  expect(io.out.text).toContain('! config_rejected for 2 s: x.yaml:3:1 odd');
  expect(io.out.text).toContain('envoy 1.40.0 · envoy restarts: 2');
  expect(io.out.text).toContain('No nodes are known. Name one (--node');
});

it('paints on a terminal, unless NO_COLOR asks for none', async () => {
  const fetch = fetchFrom(aSource(fleet));
  const painted = aFakeIo({ out: new FakeOutput({ isTTY: true }), fetch });
  await runStatus(painted, once);
  expect(painted.out.text).toContain('\u001b[32mready\u001b[39m');
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const plain = aFakeIo({ out: new FakeOutput({ isTTY: true }), env, fetch });
    await runStatus(plain, once);
    expect(plain.out.text).not.toContain('\u001b');
  }
});

it('S15: shows no escape sequence that a node put into a name or a reason', async () => {
  const evil = '\u001b[2J\u001b]0;owned\u0007evil\r\n\u009b31m';
  const node = aNode('gpu1', {
    resident: [aResident(`m${evil}`)],
    health: { status: 'suspect', lastFailure: { reason: 'bad_answer', source: 'poll', detail: evil, at: 0 } },
  });
  const io = aFakeIo({ fetch: fetchFrom(aSource([node], { version: evil })) });
  await runStatus(io, once);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
  expect(io.out.text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  expect(io.out.text).toContain('evil');
});

it('prints the whole report for programs, with the last decisions and how they ended', async () => {
  const ended: Outcome = {
    decisionId: 'r1-1',
    path: '/api/chat',
    method: 'POST',
    status: 200,
    details: 'via_upstream',
    flags: [],
    address: '10.0.0.1:11434',
    attempts: 2,
    firstByteMs: 120,
    totalMs: 900,
    requestBytes: 120,
    responseBytes: 4000,
    usage: {
      promptTokens: 11,
      completionTokens: 22,
      totalMs: 880,
      loadMs: 2,
      promptEvalMs: 90,
      evalMs: 700,
      sawError: false,
    },
    end: 'complete',
  };
  const decisions = () => [aDecision('r1-2'), aDecision('r1-1', { outcome: ended })];
  const io = aFakeIo({ fetch: fetchFrom(aSource(fleet, { decisions })) });
  await runStatus(io, { ...once, json: true });
  expect(JSON.parse(io.out.text)).toMatchObject({
    version: '1.2.3',
    nodes: [{ name: 'gpu1' }, { name: 'gpu2' }],
    decisions: [{ id: 'r1-2' }, { id: 'r1-1', outcome: ended }],
  });
});

it.each([
  [
    'connection refused',
    Object.assign(new TypeError('fetch failed'), {
      cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }),
    }),
  ],
  [
    'ENOTFOUND',
    Object.assign(new TypeError('fetch failed'), {
      cause: Object.assign(new Error(), { code: 'ENOTFOUND' }),
    }),
  ],
  ['no answer within 5 s', new DOMException('timed out', 'TimeoutError')],
])('says in one line that nothing answers (%s), and what to do', async (why, error) => {
  const io = aFakeIo({ fetch: () => Promise.reject(error) });
  const failed = runStatus(io, once);
  await expect(failed).rejects.toThrow(AdminUnreachable);
  await expect(failed).rejects.toThrow(`no Warmpath answers at ${URL} (${why})`);
  await expect(failed).rejects.toThrow('--admin HOST:PORT');
});

it.each(['<html>', '{"models":[]}', 'null'])('recognises that %s is no Warmpath', async (body) => {
  const io = aFakeIo({ fetch: async () => new Response(body) });
  await expect(runStatus(io, once)).rejects.toThrow(AdminUnreachable);
});

it('draws again every second until interrupted, and restores the cursor', async () => {
  const stop = new AbortController();
  const answer = fetchFrom(aSource(fleet));
  let isUp = true;
  const io = aFakeIo({
    out: new FakeOutput({ isTTY: true }),
    signal: stop.signal,
    fetch: (input) => (isUp ? answer(input) : Promise.reject(new TypeError('fetch failed'))),
  });
  const done = runStatus(io, { ...once, watch: true });
  const drawn = () => io.out.text.split('\u001b[H').length - 1;
  const tick = async (count: number) => {
    while (io.clock.pending === 0) await new Promise(setImmediate);
    expect(drawn()).toBe(count);
    await io.clock.advance(1000);
  };
  await tick(1);
  isUp = false;
  await tick(2);
  expect(io.out.text).toContain('no Warmpath answers');
  isUp = true;
  await tick(3);
  stop.abort();
  expect(await done).toBe(0);
  expect(io.out.text.startsWith('\u001b[?25l')).toBe(true);
  expect(io.out.text.endsWith('\u001b[?25h')).toBe(true);
});

it('shows GPUs and their machine where an agent or an exporter tells of them', async () => {
  const host = {
    memoryTotalBytes: 64 * GIB,
    memoryAvailableBytes: 32 * GIB,
    load1: 1,
    cpus: 16,
    diskFreeBytes: 900 * GIB,
  };
  const evil = 'NVIDIA GeForce RTX\u001b[2J 4090';
  const agent = aGpuReport(
    [aGpu({ name: evil }), aGpu({ index: 1, isThrottled: true, utilization: undefined })],
    { host },
  );
  const old = aGpuReport([aGpu({ vramTotalBytes: undefined, powerW: undefined })], {
    source: 'prometheus',
    validForMs: 100,
  });
  const nodes = [
    aNode('gpu1', { record: { gpu: { agent: { report: agent, at: 7_000 } } } }),
    aNode('gpu2', { record: { gpu: { prometheus: { report: old, at: 1_000 } } } }),
  ];
  const io = aFakeIo({ out: new FakeOutput({ columns: 120 }), fetch: fetchFrom(aSource(nodes)) });
  await runStatus(io, once);
  expect(io.out.text).toContain('14.0 GiB of 48.0 GiB');
  expect(io.out.text).toContain(
    [
      'NODE  GPU          USE             TEMP  POWER                 VRAM  HOST FREE               TOLD BY',
      'gpu1  0 RTX 4090  50 %            61 °C  210 W  7.0 GiB of 24.0 GiB  32.0 GiB, disk 900 GiB  agent, 3 s ago',
      '      1 RTX 4090     –  61 °C throttled  210 W  7.0 GiB of 24.0 GiB',
      'gpu2  0 RTX 4090  50 %            61 °C      –              7.0 GiB  –                       exporter, 9 s ago, too old',
      '',
    ].join('\n'),
  );
  expect(io.out.text).not.toContain('\u001b');
});

it('says for whom ext_proc answers, and what to change in a proxy that asks wrongly', async () => {
  const standing: ExtProcStanding = {
    profile: 'epp',
    grpc: '0.0.0.0:9002',
    tls: 'self-signed',
    health: '0.0.0.0:9003',
    modes: [{ mode: 'streamed', streams: 7 }],
    problems: [
      { problem: 'request_body_streamed', count: 7, lastAt: 8_000, remedy: 'Set it right.' },
      { problem: 'connection_tls', count: 2, lastAt: 7_000, from: '10.0.0.7', remedy: 'Take it out.' },
    ],
  };
  const io = aFakeIo({ fetch: fetchFrom(aSource(fleet, { extProc: () => standing })) });
  expect(await runStatus(io, once)).toBe(0);
  expect(io.out.text).toContain(
    'ext_proc epp on 0.0.0.0:9002 (TLS, self-signed) · health on 0.0.0.0:9003 · bodies streamed ×7\n' +
      'request_body_streamed ×7, last 2 s ago: Set it right.\n' +
      'connection_tls ×2, last 3 s ago from 10.0.0.7: Take it out.\n',
  );
  const json = aFakeIo({ fetch: fetchFrom(aSource(fleet, { extProc: () => standing })) });
  expect(await runStatus(json, { ...once, json: true })).toBe(0);
  expect(JSON.parse(json.out.text).extProc).toMatchObject({
    profile: 'epp',
    problems: [
      { problem: 'request_body_streamed', count: 7, lastAgeMs: 2_000, from: null },
      { problem: 'connection_tls', count: 2, lastAgeMs: 3_000, from: '10.0.0.7' },
    ],
  });
});

it('says nothing of ext_proc where our own Envoy asks as it should', async () => {
  const standing: ExtProcStanding = {
    profile: 'own',
    grpc: 'unix:/run/grpc.sock',
    tls: 'off',
    health: undefined,
    modes: [{ mode: 'none', streams: 7 }],
    problems: [],
  };
  const io = aFakeIo({ fetch: fetchFrom(aSource(fleet, { extProc: () => standing })) });
  await runStatus(io, once);
  expect(io.out.text).not.toContain('ext_proc');
});
