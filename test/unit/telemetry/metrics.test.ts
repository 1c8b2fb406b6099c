import { afterEach, expect, it } from 'vitest';
import { drainingNodes } from '../../../src/app/drains/drain-causes.ts';
import type { EndedRequest, FleetGauges } from '../../../src/app/telemetry-port.ts';
import type { FleetSnapshot } from '../../../src/fleet/types.ts';
import { createMetrics, type Metrics, type MetricsOptions } from '../../../src/telemetry/metrics.ts';
import { aGpu, aGpuReport, aModel, aNode, aResident, aSnapshot } from '../api/fleet-builder.ts';

const open: Metrics[] = [];
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close();
});

function aMetrics(options: Partial<MetricsOptions> = {}): Metrics {
  const metrics = createMetrics({
    version: '1.2.3',
    envoyVersion: () => '1.40.0',
    paths: ['/api/chat', '/v1/chat/completions'],
    droppedLogLines: () => 0,
    ...options,
  });
  open.push(metrics);
  return metrics;
}

/** Value of one series; the labels in any order. Undefined where there is no such series. */
async function value(metrics: Metrics, name: string, labels: Record<string, string> = {}) {
  for (const line of (await metrics.render()).split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    const found = [...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [
      key,
      text,
    ]);
    if (JSON.stringify(found.sort()) === JSON.stringify(Object.entries(labels).sort()))
      return Number(match[3]);
  }
  return undefined;
}

function anEnd(fields: Partial<EndedRequest> = {}): EndedRequest {
  return {
    routed: true,
    path: '/api/chat',
    status: 200,
    end: 'complete',
    node: 'gpu1',
    model: 'alpha:latest',
    attempts: 1,
    totalSeconds: 2,
    firstByteSeconds: 0.3,
    waitedSeconds: 0,
    predictedFirstTokenSeconds: 0.2,
    predictedCompletionSeconds: 2.5,
    promptTokens: 10,
    completionTokens: 20,
    ...fields,
  };
}

function gauges(snapshot: FleetSnapshot, fields: Partial<FleetGauges> = {}): FleetGauges {
  return {
    now: () => 0,
    snapshot: () => snapshot,
    inflight: () => new Map(),
    openLeases: () => 0,
    replicas: () => 1,
    ...fields,
  };
}

it('counts decisions by outcome and reason', async () => {
  const metrics = aMetrics();
  metrics.decided('warm_idle');
  metrics.decided('warm_idle');
  metrics.refused('model_not_found');
  const name = 'warmpath_decisions_total';
  expect(await value(metrics, name, { outcome: 'routed', reason: 'warm_idle' })).toBe(2);
  expect(await value(metrics, name, { outcome: 'refused', reason: 'model_not_found' })).toBe(1);
});

it('counts attempts by node and result, and retries', async () => {
  const metrics = aMetrics();
  metrics.attempt('gpu1', 'refused');
  metrics.attempt('gpu2', 'served');
  metrics.ended(anEnd({ attempts: 3 }));
  metrics.ended(anEnd({ attempts: 1 }));
  metrics.ended(anEnd({ attempts: 0 }));
  expect(await value(metrics, 'warmpath_attempts_total', { node: 'gpu1', result: 'refused' })).toBe(1);
  expect(await value(metrics, 'warmpath_attempts_total', { node: 'gpu2', result: 'served' })).toBe(1);
  expect(await value(metrics, 'warmpath_retries_total')).toBe(2);
});

it('counts requests by path, status and end; unknown paths share one value', async () => {
  const metrics = aMetrics();
  metrics.ended(anEnd());
  metrics.ended(anEnd({ path: '/api/whatever?x=1', status: 403, end: 'refused' }));
  metrics.ended(anEnd({ path: '/../etc', status: 0, end: 'client_gone' }));
  metrics.ended(anEnd({ status: 99999 }));
  const name = 'warmpath_requests_total';
  expect(await value(metrics, name, { path: '/api/chat', status: '200', end: 'complete' })).toBe(1);
  expect(await value(metrics, name, { path: '__other__', status: '403', end: 'refused' })).toBe(1);
  expect(await value(metrics, name, { path: '__other__', status: '0', end: 'client_gone' })).toBe(1);
  expect(await value(metrics, name, { path: '/api/chat', status: '0', end: 'complete' })).toBe(1);
  expect(await metrics.render()).not.toContain('whatever');
});

it('counts reads of one model under their common path, and ignores queries', async () => {
  const metrics = aMetrics({ paths: ['/', '/api/tags', '/v1/models', '/v1/models/'] });
  for (const path of [
    '/v1/models/a',
    '/v1/models/b/c?x',
    '/v1/models',
    '/api/tags?x=/v1/models/',
    '/nothing',
  ]) {
    metrics.ended(anEnd({ path }));
  }
  const count = (path: string) => value(metrics, 'warmpath_request_seconds_count', { path });
  expect(await count('/v1/models/')).toBe(2);
  expect(await count('/v1/models')).toBe(1);
  expect(await count('/api/tags')).toBe(1);
  expect(await count('__other__')).toBe(1);
});

it('compares predicted with real time to the first byte', async () => {
  const metrics = aMetrics();
  metrics.ended(anEnd({ firstByteSeconds: 0.3, predictedFirstTokenSeconds: 0.2 }));
  metrics.ended(anEnd({ firstByteSeconds: 1, predictedFirstTokenSeconds: 3 }));
  expect(await value(metrics, 'warmpath_first_byte_seconds_sum')).toBeCloseTo(1.3);
  expect(await value(metrics, 'warmpath_first_byte_predicted_seconds_sum')).toBeCloseTo(3.2);
  expect(await value(metrics, 'warmpath_first_byte_error_seconds_count')).toBe(2);
  expect(await value(metrics, 'warmpath_first_byte_error_seconds_bucket', { le: '-1' })).toBe(1);
  expect(await value(metrics, 'warmpath_request_seconds_count', { path: '/api/chat' })).toBe(2);
});

it('tells how far predictions were off, the time in the line left out', async () => {
  const metrics = aMetrics();
  metrics.ended(
    anEnd({
      firstByteSeconds: 5,
      totalSeconds: 9,
      waitedSeconds: 4,
      predictedFirstTokenSeconds: 1.5,
      predictedCompletionSeconds: 3,
    }),
  );
  metrics.ended(anEnd({ end: 'client_gone' }));
  metrics.ended(anEnd({ status: 500 }));
  metrics.ended(anEnd({ routed: false }));
  const name = 'warmpath_prediction_error_seconds';
  expect(await value(metrics, `${name}_sum`, { kind: 'first_token' })).toBeCloseTo(0.5);
  expect(await value(metrics, `${name}_sum`, { kind: 'completion' })).toBeCloseTo(-2);
  expect(await value(metrics, `${name}_count`, { kind: 'completion' })).toBe(1);
});

it('judges no prediction by requests that were not routed or got no byte', async () => {
  const metrics = aMetrics();
  metrics.ended(anEnd({ routed: false }));
  metrics.ended(anEnd({ firstByteSeconds: undefined }));
  metrics.ended(anEnd({ predictedFirstTokenSeconds: undefined }));
  expect(await value(metrics, 'warmpath_first_byte_error_seconds_count')).toBe(0);
  expect(await value(metrics, 'warmpath_first_byte_seconds_count')).toBe(1);
});

it('counts as failed open what reached a node without a decision, and nothing else', async () => {
  const metrics = aMetrics();
  metrics.ended(anEnd({ routed: false, node: 'gpu1' }));
  metrics.ended(anEnd({ routed: false, node: undefined, status: 403, end: 'refused' }));
  metrics.ended(anEnd());
  expect(await value(metrics, 'warmpath_failed_open_total')).toBe(1);
});

it('counts tokens by node', async () => {
  const metrics = aMetrics();
  metrics.ended(anEnd());
  metrics.ended(anEnd({ promptTokens: undefined, completionTokens: 5 }));
  expect(await value(metrics, 'warmpath_tokens_total', { node: 'gpu1', kind: 'prompt' })).toBe(10);
  expect(await value(metrics, 'warmpath_tokens_total', { node: 'gpu1', kind: 'completion' })).toBe(25);
});

it('F66: takes no harm from figures that are none', async () => {
  const metrics = aMetrics();
  for (const lie of [Number.NaN, Infinity, -1]) {
    metrics.ended(
      anEnd({
        status: lie,
        attempts: lie,
        totalSeconds: lie,
        firstByteSeconds: lie,
        predictedFirstTokenSeconds: lie,
        promptTokens: lie,
        completionTokens: lie,
      }),
    );
    metrics.processorAnswered(lie);
  }
  expect(await value(metrics, 'warmpath_request_seconds_count', { path: '/api/chat' })).toBeUndefined();
  expect(await value(metrics, 'warmpath_first_byte_seconds_count')).toBe(0);
  expect(await value(metrics, 'warmpath_tokens_total', { node: 'gpu1', kind: 'prompt' })).toBeUndefined();
  expect(await metrics.render()).not.toMatch(/NaN|Inf\b(?!")/);
});

it('counts the rest of what happens', async () => {
  const metrics = aMetrics({ droppedLogLines: () => 4 });
  metrics.leaseReaped();
  metrics.pollFailed('gpu1', 'timeout');
  metrics.configReloaded('rejected');
  metrics.endpointsPushed();
  metrics.endpointsRejected();
  metrics.processorStreamOpened();
  metrics.processorStreamOpened();
  metrics.processorStreamClosed();
  metrics.processorAnswered(0.00007);
  expect(await value(metrics, 'warmpath_leases_reaped_total')).toBe(1);
  expect(await value(metrics, 'warmpath_poll_failures_total', { node: 'gpu1', reason: 'timeout' })).toBe(1);
  expect(await value(metrics, 'warmpath_config_reloads_total', { result: 'rejected' })).toBe(1);
  expect(await value(metrics, 'warmpath_eds_pushes_total')).toBe(1);
  expect(await value(metrics, 'warmpath_eds_nacks_total')).toBe(1);
  expect(await value(metrics, 'warmpath_ext_proc_streams')).toBe(1);
  expect(await value(metrics, 'warmpath_ext_proc_seconds_bucket', { le: '0.00005' })).toBe(0);
  expect(await value(metrics, 'warmpath_ext_proc_seconds_bucket', { le: '0.0001' })).toBe(1);
  expect(await value(metrics, 'warmpath_log_lines_dropped')).toBe(4);
});

it('shows state, round trip, slots, VRAM and poll age of each node', async () => {
  const metrics = aMetrics();
  const node = aNode('gpu1', {
    spec: { slots: 4, vramBytes: 1000 },
    resident: [aResident('alpha:latest', { vramBytes: 300 })],
    health: { status: 'suspect' },
  });
  metrics.watch(gauges(aSnapshot([node]), { now: () => 2_500 }));
  expect(await value(metrics, 'warmpath_node_state', { node: 'gpu1', state: 'suspect' })).toBe(1);
  expect(await value(metrics, 'warmpath_node_state', { node: 'gpu1', state: 'ready' })).toBe(0);
  expect(await value(metrics, 'warmpath_node_rtt_seconds', { node: 'gpu1' })).toBeCloseTo(0.00125);
  expect(await value(metrics, 'warmpath_node_slots', { node: 'gpu1' })).toBe(4);
  expect(await value(metrics, 'warmpath_node_vram_used_bytes', { node: 'gpu1' })).toBe(300);
  const vramTotal = { node: 'gpu1', source: 'configured' };
  expect(await value(metrics, 'warmpath_node_vram_total_bytes', vramTotal)).toBe(1000);
  expect(await value(metrics, 'warmpath_node_poll_age_seconds', { node: 'gpu1' })).toBeCloseTo(2.5);
  expect(await value(metrics, 'warmpath_model_resident', { node: 'gpu1', model: 'alpha:latest' })).toBe(1);
  expect(await value(metrics, 'warmpath_model_vram_bytes', { node: 'gpu1', model: 'alpha:latest' })).toBe(
    300,
  );
});

it('shows the GPUs that a fresh report tells of, who told of the VRAM, and how long ago', async () => {
  const metrics = aMetrics();
  const seen = { at: 1_000, report: aGpuReport([aGpu({ isThrottled: true, powerW: undefined })]) };
  const old = { at: 1_000, report: { ...aGpuReport([aGpu()]), validForMs: 100 } };
  const nodes = [
    aNode('gpu1', { record: { gpu: { agent: seen } } }),
    aNode('gpu2', { record: { gpu: { agent: old } } }),
  ];
  metrics.watch(gauges(aSnapshot(nodes, 1, 2_500), { now: () => 2_500 }));
  const [node, gpu] = ['gpu1', '0'];
  const total = await value(metrics, 'warmpath_node_vram_total_bytes', { node, source: 'agent' });
  expect(total).toBe(24 * 2 ** 30);
  expect(await value(metrics, 'warmpath_node_gpu_report_age_seconds', { node, source: 'agent' })).toBe(1.5);
  expect(await value(metrics, 'warmpath_node_gpu_utilization', { node, gpu })).toBe(0.5);
  expect(await value(metrics, 'warmpath_node_gpu_temperature_celsius', { node, gpu })).toBe(61);
  expect(await value(metrics, 'warmpath_node_gpu_throttled', { node, gpu })).toBe(1);
  expect(await value(metrics, 'warmpath_node_gpu_power_watts', { node, gpu })).toBeUndefined();
  expect(await value(metrics, 'warmpath_node_gpu_utilization', { node: 'gpu2', gpu })).toBeUndefined();
});

it('counts requests of agents and questions to exporters by how they went', async () => {
  const metrics = aMetrics();
  metrics.agentRequest('report', 'accepted');
  metrics.agentRequest('report', 'accepted');
  metrics.agentRequest('join', 'bad_signature');
  metrics.gpuMetricsScraped('gpu1', 'timeout');
  const requests = 'warmpath_agent_requests_total';
  expect(await value(metrics, requests, { request: 'report', result: 'accepted' })).toBe(2);
  expect(await value(metrics, requests, { request: 'join', result: 'bad_signature' })).toBe(1);
  const scrapes = 'warmpath_gpu_metrics_scrapes_total';
  expect(await value(metrics, scrapes, { node: 'gpu1', result: 'timeout' })).toBe(1);
});

it('shows each resident model once, however many names reach it', async () => {
  const metrics = aMetrics();
  const alias = aModel('alias:latest', { digest: 'digest-of-alpha:latest' });
  const node = aNode('gpu1', {
    models: [aModel('alpha:latest'), alias],
    resident: [aResident('alpha:latest')],
  });
  const snapshot = aSnapshot([node]);
  expect(snapshot.byId.get('gpu1')?.warm.has('alias:latest')).toBe(true);
  metrics.watch(gauges(snapshot));
  expect(await value(metrics, 'warmpath_model_resident', { node: 'gpu1', model: 'alpha:latest' })).toBe(1);
  expect(
    await value(metrics, 'warmpath_model_resident', { node: 'gpu1', model: 'alias:latest' }),
  ).toBeUndefined();
});

it('shows running requests by node and model, and zero for idle nodes', async () => {
  const metrics = aMetrics();
  const snapshot = aSnapshot([aNode('gpu1', { models: [aModel('alpha:latest')] }), aNode('gpu2')]);
  let inflight = new Map([
    [
      'gpu1',
      new Map([
        ['alpha:latest', 2],
        ['made-up-by-a-client:latest', 1],
      ]),
    ],
  ]);
  metrics.watch(gauges(snapshot, { inflight: () => inflight, openLeases: () => 3 }));
  expect(await value(metrics, 'warmpath_inflight', { node: 'gpu1', model: 'alpha:latest' })).toBe(2);
  expect(await value(metrics, 'warmpath_inflight', { node: 'gpu1', model: '__other__' })).toBe(1);
  expect(await value(metrics, 'warmpath_node_inflight', { node: 'gpu1' })).toBe(3);
  expect(await value(metrics, 'warmpath_node_inflight', { node: 'gpu2' })).toBe(0);
  expect(await value(metrics, 'warmpath_leases_open')).toBe(3);
  inflight = new Map();
  expect(await value(metrics, 'warmpath_inflight', { node: 'gpu1', model: 'alpha:latest' })).toBeUndefined();
  expect(await value(metrics, 'warmpath_node_inflight', { node: 'gpu1' })).toBe(0);
});

it('shows why nodes drain, and nothing of those that do not', async () => {
  const metrics = aMetrics();
  const drain = { since: '2026-01-01T00:00:00.000Z', note: 'x', removeAt: undefined };
  const nodes = [
    aNode('gpu1', { spec: { drain: true }, record: { drains: new Map([['operator', drain]]) } }),
    aNode('gpu2'),
  ];
  metrics.watch(gauges(aSnapshot(nodes), { drains: () => drainingNodes(nodes) }));
  expect(await value(metrics, 'warmpath_node_draining', { node: 'gpu1', cause: 'configured' })).toBe(1);
  expect(await value(metrics, 'warmpath_node_draining', { node: 'gpu1', cause: 'operator' })).toBe(1);
  expect((await metrics.render()).match(/^warmpath_node_draining\{/gm)).toHaveLength(2);
});

it('forgets the gauges of a node that left', async () => {
  const metrics = aMetrics();
  let snapshot = aSnapshot([aNode('gpu1'), aNode('gpu2')]);
  metrics.watch({ ...gauges(snapshot), snapshot: () => snapshot });
  expect(await value(metrics, 'warmpath_node_slots', { node: 'gpu2' })).toBe(1);
  snapshot = aSnapshot([aNode('gpu1')], 2);
  expect(await value(metrics, 'warmpath_node_slots', { node: 'gpu2' })).toBeUndefined();
});

it('F91: bounds its series, however many nodes and models there are', async () => {
  const metrics = aMetrics({ maxNodes: 3, maxModelSeries: 10 });
  const models = Array.from({ length: 50 }, (_, index) => aResident(`m${index}:latest`));
  const nodes = Array.from({ length: 20 }, (_, index) => aNode(`gpu${index}`, { resident: models }));
  metrics.watch(gauges(aSnapshot(nodes)));
  for (let i = 0; i < 500; i += 1) {
    metrics.attempt(`stray${i}`, 'reset');
    metrics.ended(anEnd({ path: `/p${i}`, node: `stray${i}` }));
  }
  const lines = (await metrics.render()).split('\n');
  const count = (name: string) => lines.filter((line) => line.startsWith(`${name}{`)).length;
  expect(count('warmpath_node_slots')).toBeLessThanOrEqual(3);
  expect(count('warmpath_model_resident')).toBeLessThanOrEqual(13);
  expect(count('warmpath_attempts_total')).toBeLessThanOrEqual(4);
  expect(count('warmpath_requests_total')).toBe(1);
});

it('says what runs, and how late the event loop is', async () => {
  const metrics = aMetrics();
  const build = { version: '1.2.3', node: process.versions.node, envoy: '1.40.0' };
  expect(await value(metrics, 'warmpath_build_info', build)).toBe(1);
  for (const quantile of ['0.5', '0.99', '0.999', '1']) {
    const late = await value(metrics, 'warmpath_event_loop_delay_seconds', { quantile });
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThan(5);
  }
});

it('renders once for scrapes at the same time, and anew afterwards', async () => {
  const metrics = aMetrics();
  const [first, second] = [metrics.render(), metrics.render()];
  expect(await first).toBe(await second);
  metrics.decided('warm_idle');
  expect(await metrics.render()).not.toBe(await first);
});

it('writes what the Prometheus text format asks for: each metric once, and a line end at the end', async () => {
  const metrics = aMetrics();
  metrics.decided('warm_idle');
  const text = await metrics.render();
  expect(text.endsWith('\n')).toBe(true);
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  expect(new Set(types.map(([, name]) => name)).size).toBe(types.length);
  for (const line of text.split('\n')) {
    expect(line).toMatch(/^$|^# (HELP|TYPE) |^[a-z_:][a-z0-9_:]*(\{.*\})? (-?[0-9.e+-]+|\+Inf|NaN)$/i);
  }
});

it('tells how the shared store does, by command and result', async () => {
  const metrics = aMetrics();
  metrics.storeCommand('changeLeases', 'ok', 0.001);
  metrics.storeCommand('changeLeases', 'timeout', 0.25);
  metrics.storeValueRejected('learnt');
  const commands = 'warmpath_store_commands_total';
  expect(await value(metrics, commands, { command: 'changeLeases', result: 'ok' })).toBe(1);
  expect(await value(metrics, commands, { command: 'changeLeases', result: 'timeout' })).toBe(1);
  expect(await value(metrics, 'warmpath_store_command_seconds_count')).toBe(1);
  expect(await value(metrics, 'warmpath_store_values_rejected_total', { kind: 'learnt' })).toBe(1);
  expect(await value(metrics, 'warmpath_store_up')).toBe(1);
  metrics.storeState('down');
  expect(await value(metrics, 'warmpath_store_up')).toBe(0);
});

it('tells how old the view of the nodes is, of those that are not down', async () => {
  const metrics = aMetrics();
  const seen = (id: string, ageMs: number, status: 'ready' | 'down') =>
    aNode(id, { health: { status }, record: { seenAt: { resident: 60_000 - ageMs } } });
  const nodes = [seen('n1', 500, 'ready'), seen('n2', 2_000, 'ready'), seen('n3', 50_000, 'down')];
  metrics.watch(gauges(aSnapshot(nodes, 1, 60_000), { now: () => 60_000, replicas: () => 3 }));
  const name = 'warmpath_snapshot_staleness_seconds';
  expect(await value(metrics, name, { quantile: '0.5' })).toBe(0.5);
  expect(await value(metrics, name, { quantile: '1' })).toBe(2);
  expect(await value(metrics, 'warmpath_replicas')).toBe(3);
});

it('counts ext_proc streams by profile and mode, and what was wrong with them', async () => {
  const metrics = aMetrics();
  const mode = 'full_duplex_streamed';
  metrics.extProcStream('epp', mode);
  metrics.extProcStream('epp', mode);
  const problem = 'observed_only';
  expect(await value(metrics, 'warmpath_ext_proc_problems_total', { problem })).toBe(0);
  metrics.extProcProblem(problem);
  expect(await value(metrics, 'warmpath_ext_proc_streams_total', { profile: 'epp', mode })).toBe(2);
  expect(await value(metrics, 'warmpath_ext_proc_problems_total', { problem })).toBe(1);
});
