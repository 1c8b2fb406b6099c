import { describe, expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import { DecisionInputs } from '../../../src/app/decision-inputs.ts';
import { createAdminView } from '../../../src/control-plane/admin-view.ts';
import { address, Workbench } from '../app/workbench.ts';
import { onDisk, resident } from '../fleet/builders.ts';
import { MODEL, request } from '../routing/builders.ts';

function viewed() {
  const bench = new Workbench().withNodes({ n1: [], warm: [resident(MODEL)] });
  const { fleet, ledger, decisions, router, clock, log } = bench;
  const view = createAdminView({
    replica: 'me',
    listen: '0.0.0.0:11434',
    fleet,
    ledger,
    decisions,
    router,
    alarms: new Alarms(clock, log),
    clock,
    sharing: () => ({ store: { kind: 'memory', state: 'up' }, replicas: [], heartbeatAt: null }),
    pollerOf: () => 'me',
    insight: {
      inputs: new DecisionInputs(10),
      guardReport: () => ({ refusals: 0, refusedBodies: 0 }),
      shadowReport: () => undefined,
      recording: () => undefined,
    },
    unreadyReasons: () => [],
    envoy: () => undefined,
    extProc: () => ({
      profile: 'own',
      grpc: 'unix:/run/grpc.sock',
      tls: 'off',
      health: undefined,
      modes: [],
      problems: [],
    }),
  });
  return { bench, view };
}

describe('the admin view', () => {
  it('shows decisions with their outcome, and finds one by its id', () => {
    const { bench, view } = viewed();
    const { id } = bench.route(request());
    bench.ended(id, { address: address(2) });
    expect(view.decisions(5)).toMatchObject([{ id, outcome: { status: 200 } }]);
    expect(view.decision(id)).toMatchObject({ id, model: MODEL });
    expect(view.decision('other')).toBeUndefined();
  });

  it('says when it was started, not when it was asked', async () => {
    const { bench, view } = viewed();
    await bench.clock.advance(5_000);
    expect(view.startedAt).toBe('2026-01-01T00:00:00.000Z');
    expect(view.date().toISOString()).toBe('2026-01-01T00:00:05.000Z');
  });
});

describe('explain', () => {
  it('ranks as a request would be, in the model’s canonical name', () => {
    const { view } = viewed();
    const explanation = view.explain({ model: 'M', numCtx: undefined, path: '/api/chat' });
    expect(explanation).toMatchObject({ model: MODEL, path: '/api/chat', refusal: undefined });
    expect(explanation.ranking.nodes.map(({ id }) => id)).toEqual(['warm', 'n1']);
  });

  it('names the nodes that lack the model, which routing does not look at', () => {
    const { bench, view } = viewed();
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk('other:latest')], rttMs: 1 });
    const { ranking } = view.explain({ model: 'm', numCtx: undefined, path: '/api/chat' });
    expect(ranking.nodes.map(({ id }) => id)).toEqual(['warm']);
    expect(ranking.rejected).toEqual([{ id: 'n1', reason: 'model_unknown' }]);
  });

  it('tells of a model that no node has what a client would be told, and names the nodes', () => {
    const { ranking, refusal } = viewed().view.explain({
      model: 'absent',
      numCtx: undefined,
      path: '/api/chat',
    });
    expect(refusal).toEqual({ code: 'model_not_found', message: "model 'absent' not found" });
    expect(ranking.nodes).toEqual([]);
    expect(ranking.rejected.map(({ id, reason }) => `${id} ${reason}`).sort()).toEqual([
      'n1 model_unknown',
      'warm model_unknown',
    ]);
  });

  it.each([
    {
      what: 'a path that is not for inference',
      query: { model: 'm', path: '/api/pull' },
      code: 'not_allowed',
    },
    { what: 'a name that is none', query: { model: 'a b', path: '/api/chat' }, code: 'invalid_model_name' },
  ])('refuses $what', ({ query, code }) => {
    const { view } = viewed();
    expect(() => view.explain({ ...query, numCtx: undefined })).toThrow(expect.objectContaining({ code }));
  });
});
