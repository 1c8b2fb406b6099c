import { afterEach, describe, expect, it } from 'vitest';
import { Decision } from '../../../src/app/decision-log.ts';
import { metricsWatcher } from '../../../src/app/metrics-watcher.ts';
import type { FleetGauges } from '../../../src/app/telemetry-port.ts';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import { anyContextKey } from '../../../src/fleet/figures-key.ts';
import type { Rewrite } from '../../../src/routing/rewrites.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import type { LineReport } from '../../../src/waiting/types.ts';
import { aModel, aNode, aResident, aSnapshot } from '../api/fleet-builder.ts';
import { request } from '../routing/builders.ts';

const open: Metrics[] = [];
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close();
});

function aMetrics(fields: Partial<FleetGauges> = {}, maxModelSeries = 100): Metrics {
  const metrics = createMetrics({
    maxModelSeries,
    version: '1.2.3',
    envoyVersion: () => undefined,
    paths: ['/api/chat'],
    droppedLogLines: () => 0,
  });
  open.push(metrics);
  metrics.watch({
    now: () => 0,
    snapshot: () => aSnapshot([], 1, 0),
    inflight: () => new Map(),
    openLeases: () => 0,
    replicas: () => 1,
    ...fields,
  });
  return metrics;
}

/** Lines of one metric, its name left out. */
async function series(metrics: Metrics, name: string): Promise<string[]> {
  const text = await metrics.render();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => line.slice(name.length).trim());
}

const report: LineReport = {
  length: 26,
  bytes: 4_096,
  oldestMs: 2_500,
  byClass: { interactive: 1, normal: 20, batch: 5 },
  byModel: Array.from({ length: 22 }, (_, i) => ({ name: `m${i}`, waiting: 3, oldestMs: 1 })),
  byCaller: [{ name: 'chat', waiting: 26, oldestMs: 2_500 }],
  byReason: { slots_busy: 20, loading: 6, no_room: 0 },
};

describe('the line', () => {
  it('is told by class, reason, model and caller, with its oldest request', async () => {
    const metrics = aMetrics({ line: () => report });
    expect(await series(metrics, 'warmpath_waiting_requests')).toEqual([
      '{class="interactive"} 1',
      '{class="normal"} 20',
      '{class="batch"} 5',
    ]);
    expect(await series(metrics, 'warmpath_waiting_requests_by_reason')).toEqual([
      '{reason="slots_busy"} 20',
      '{reason="loading"} 6',
      '{reason="no_room"} 0',
    ]);
    expect(await series(metrics, 'warmpath_waiting_requests_by_caller')).toEqual(['{caller="chat"} 26']);
    expect(await series(metrics, 'warmpath_waiting_oldest_seconds')).toEqual(['2.5']);
    expect(await series(metrics, 'warmpath_waiting_bytes')).toEqual(['4096']);
  });

  it('gives the longest shares a series each and the rest one together', async () => {
    const models = await series(aMetrics({ line: () => report }), 'warmpath_waiting_requests_by_model');
    expect(models).toHaveLength(21);
    expect(models.at(-1)).toBe('{model="__other__"} 6');
  });

  it('forgets models and callers that left it', async () => {
    let now: LineReport = report;
    const metrics = aMetrics({ line: () => now });
    await metrics.render();
    now = { ...report, byModel: [], byCaller: [] };
    expect(await series(metrics, 'warmpath_waiting_requests_by_model')).toEqual([]);
    expect(await series(metrics, 'warmpath_waiting_requests_by_caller')).toEqual([]);
  });

  it('tells how long those waited that left it, by class and how they left', async () => {
    const metrics = aMetrics();
    metrics.lineJoined('batch');
    metrics.lineLeft('batch', 3, 'dispatched');
    metrics.lineLeft('batch', Number.NaN, 'dispatched');
    metrics.lineLeft('interactive', 0.2, 'gone');
    expect(await series(metrics, 'warmpath_waiting_joined_total')).toEqual(['{class="batch"} 1']);
    const sums = await series(metrics, 'warmpath_waiting_seconds_sum');
    expect(sums).toContain('{class="batch",outcome="dispatched"} 3');
    expect(sums).toContain('{class="interactive",outcome="gone"} 0.2');
    expect(sums).toHaveLength(2);
  });
});

describe('decisions', () => {
  it('count what was changed in bodies, and the loads that this avoided', async () => {
    const metrics = aMetrics();
    const edits: Rewrite[] = [
      { field: 'num_ctx', to: 8_192, why: 'context_pinned' },
      { field: 'keep_alive', to: 300, why: 'keep_alive_raised' },
    ];
    metricsWatcher(metrics).placed?.(
      new Decision({
        id: 'd1',
        at: new Date(0),
        request: request(),
        ranking: { nodes: [], rejected: [] },
        snapshotVersion: 1,
        edits: [...edits, { field: 'model', to: 'm' }],
      }),
    );
    expect(await series(metrics, 'warmpath_rewrites_total')).toEqual([
      '{kind="context_pinned"} 1',
      '{kind="keep_alive_raised"} 1',
    ]);
    expect(await series(metrics, 'warmpath_reloads_avoided_total')).toEqual(['{kind="context_pinned"} 1']);
  });

  it('set a shadow policy beside ours', async () => {
    const metrics = aMetrics();
    metrics.shadowChose('herd-score', true, 0);
    metrics.shadowChose('herd-score', false, 12);
    metrics.shadowChose('herd-score', false, undefined);
    expect(await series(metrics, 'warmpath_shadow_agreement_total')).toEqual([
      '{policy="herd-score",agrees="true"} 1',
      '{policy="herd-score",agrees="false"} 2',
    ]);
    expect(await series(metrics, 'warmpath_shadow_regret_seconds_sum')).toEqual(['{policy="herd-score"} 12']);
    expect(await series(metrics, 'warmpath_shadow_regret_seconds_count')).toEqual([
      '{policy="herd-score"} 2',
    ]);
  });

  it('tell of refused killers and of the recording', async () => {
    const metrics = aMetrics({
      guard: () => ({ refusals: 4 }),
      recording: () => ({ written: 90, dropped: 2 }),
    });
    for (const _ of [1, 2]) {
      expect(await series(metrics, 'warmpath_query_of_death_refusals_total')).toEqual(['4']);
      expect(await series(metrics, 'warmpath_decisions_recorded_total')).toEqual(['90']);
      expect(await series(metrics, 'warmpath_decisions_record_dropped_total')).toEqual(['2']);
    }
  });
});

it('tells what was learnt of each model on each node', async () => {
  const estimate = (value: number) => ({ value, spread: 0, weight: 5, at: 0 });
  const figures = {
    ...NO_FIGURES,
    loadMs: estimate(9_000),
    answerRates: [estimate(40)],
    innerWaitMs: estimate(20),
    slots: 2,
  };
  const record = aNode('gpu1', { models: [aModel('alpha:latest')] });
  const snapshot = aSnapshot([record], 1, 0);
  const [view] = snapshot.nodes;
  if (view === undefined) throw new Error('the node is gone');
  const learnt = { ...view, figures: new Map([[anyContextKey('alpha:latest'), figures]]) };
  const metrics = aMetrics({ snapshot: () => ({ ...snapshot, nodes: [learnt] }) });
  const labels = '{node="gpu1",model="alpha:latest"}';
  expect(await series(metrics, 'warmpath_learnt_load_seconds')).toEqual([`${labels} 9`]);
  expect(await series(metrics, 'warmpath_learnt_answer_tokens_per_second')).toEqual([`${labels} 40`]);
  expect(await series(metrics, 'warmpath_learnt_slots')).toEqual([`${labels} 2`]);
  expect(await series(metrics, 'warmpath_learnt_prompt_tokens_per_second')).toEqual([]);
});

it('names no more learnt models than a scrape may have, and those in memory all the same', async () => {
  const estimate = { value: 1, spread: 0, weight: 5, at: 0 };
  const names = ['alpha:latest', 'beta:7b', 'gamma:1b'];
  const record = aNode('gpu1', {
    models: names.map((name) => aModel(name)),
    resident: [aResident('gamma:1b')],
  });
  const snapshot = aSnapshot([record], 1, 0);
  const nodes = snapshot.nodes.map((view) => ({
    ...view,
    figures: new Map(names.map((name) => [anyContextKey(name), { ...NO_FIGURES, heldMs: estimate }])),
  }));
  const metrics = aMetrics({ snapshot: () => ({ ...snapshot, nodes }) }, 2);
  expect(await series(metrics, 'warmpath_learnt_held_seconds')).toHaveLength(2);
  expect(await series(metrics, 'warmpath_model_resident')).toEqual(['{node="gpu1",model="gamma:1b"} 1']);
});
