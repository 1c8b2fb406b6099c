import type { AdminSource } from '../../../src/api/admin-source.ts';
import type { DecisionRecord } from '../../../src/app/types.ts';
import type { NodeRecord } from '../../../src/fleet/types.ts';
import { aSnapshot } from './fleet-builder.ts';

export function aDecision(id: string, fields: Partial<DecisionRecord> = {}): DecisionRecord {
  return {
    id,
    requestId: undefined,
    at: '2026-01-01T00:00:00.000Z',
    path: '/api/chat',
    family: 'ollama',
    operation: 'chat',
    asked: 'alpha:latest',
    model: 'alpha:latest',
    bodyBytes: 120,
    features: {
      promptBytes: 80,
      images: 0,
      wantsTools: false,
      isEmpty: false,
      unloads: false,
      numCtx: undefined,
      maxTokens: undefined,
      prefixes: 0,
    },
    caller: undefined,
    waitedMs: 0,
    waitedFor: undefined,
    edits: [],
    refusal: undefined,
    snapshotVersion: 1,
    ranking: { nodes: [], rejected: [] },
    attempts: [],
    outcome: undefined,
    seconds: undefined,
    ...fields,
  };
}

/** A running Warmpath as the admin server sees it: 10 s old, with the nodes given. */
export function aSource(nodes: readonly NodeRecord[], fields: Partial<AdminSource> = {}): AdminSource {
  return {
    version: '1.2.3',
    replica: 'r1',
    listen: '0.0.0.0:11434',
    startedAt: '2026-01-01T00:00:00.000Z',
    now: () => 10_000,
    date: () => new Date('2026-01-01T00:00:10Z'),
    snapshot: () => aSnapshot(nodes, 7, 10_000),
    records: () => nodes,
    inflight: () => ({ onNode: () => 0, onModel: () => 0, nodesRunning: () => [], expectedEnds: () => [] }),
    sharing: () => ({ store: { kind: 'memory', state: 'up' }, replicas: [], heartbeatAt: null }),
    pollerOf: () => 'r1',
    unreadyReasons: () => [],
    alarms: () => [],
    envoy: () => undefined,
    line: () => ({
      length: 0,
      bytes: 0,
      oldestMs: undefined,
      byClass: { interactive: 0, normal: 0, batch: 0 },
      byModel: [],
      byCaller: [],
      byReason: { slots_busy: 0, loading: 0, no_room: 0 },
    }),
    shadow: () => undefined,
    guard: () => ({ refusals: 0, refusedBodies: 0 }),
    recording: () => undefined,
    decisionInput: () => undefined,
    decisions: () => [],
    decision: () => undefined,
    explain: ({ model, path }) => ({
      model,
      target: model,
      path,
      refusal: { code: 'model_not_found', message: 'not found' },
      ranking: { nodes: [], rejected: [] },
      waiting: 0,
    }),
    ...fields,
  };
}
