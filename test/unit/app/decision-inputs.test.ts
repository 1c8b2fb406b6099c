import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inputFromJson, inputToJson } from '../../../src/app/decision-input-json.ts';
import {
  type DecisionInput,
  DecisionInputs,
  isReproducible,
  replayDecision,
} from '../../../src/app/decision-inputs.ts';
import { SituationRecorder } from '../../../src/app/situation-tape.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import type { Ranking, Situation } from '../../../src/routing/types.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { MODEL, NOW, node, onDisk, request, resident, situation, snapshot } from '../routing/builders.ts';

const OTHER = 'other:latest';

function decide(asked: DecisionInput['request'], of: Situation): { input: DecisionInput; ranking: Ranking } {
  const recorder = new SituationRecorder(of);
  const ranking = rank(asked, recorder.situation);
  return { input: { request: asked, situation: recorder.taped() }, ranking };
}

/** A fleet of `size` nodes, some with the model in memory, some busy, some not well. */
function someFleet(seed: number, size: number, maxNodes: number): Situation {
  const random = seededRandom(seed);
  const ledger = new LeaseLedger();
  const nodes = Array.from({ length: size }, (_, i) =>
    node(`n${i}`, {
      models: random() < 0.9 ? [onDisk(MODEL), onDisk(OTHER)] : [onDisk(OTHER)],
      warm: [...(random() < 0.4 ? [resident(MODEL)] : []), ...(random() < 0.4 ? [resident(OTHER)] : [])],
      slots: 1 + Math.floor(random() * 4),
      status: random() < 0.1 ? 'down' : random() < 0.1 ? 'suspect' : 'ready',
      vramTotalBytes: random() < 0.5 ? undefined : 12 * 2 ** 30,
    }),
  );
  for (let i = 0; i < size * 2; i += 1) {
    const on = `n${Math.floor(random() * size)}`;
    ledger.take(`l${i}`, on, random() < 0.5 ? MODEL : OTHER, NOW, NOW + random() * 9_000);
  }
  return situation(snapshot(...nodes), {
    inflight: ledger,
    random,
    demand: { perSecond: () => random() },
    prompts: {
      cachedBytes: (_node, _model, prefixes) => Math.floor(random() * (prefixes.at(-1)?.bytes ?? 0)),
    },
    waiting: { ahead: () => Math.floor(random() * 3) },
    params: { ...DEFAULT_ROUTING, maxColdNodes: maxNodes, maxWarmNodes: maxNodes, sampledNodes: 8 },
  });
}

describe('a decision', () => {
  it('comes out the same from its input, long after the fleet has changed, and through JSON', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), fc.constantFrom(256, 16), (seed, size, most) => {
        const of = someFleet(seed, size, most);
        const asked = request({ promptBytes: 900, prefixes: [{ hash: 7, bytes: 600 }] });
        let decided: ReturnType<typeof decide>;
        try {
          decided = decide(asked, of);
        } catch (error) {
          // Nobody may take it: no decision, nothing to repeat.
          expect(error).toBeInstanceOf(RouterError);
          return;
        }
        const { input, ranking } = decided;
        for (let i = 0; i < 5; i += 1) (of.inflight as LeaseLedger).take(`later${i}`, 'n0', MODEL, NOW);
        expect(replayDecision(input)).toEqual(ranking);
        const text = inputToJson(input);
        expect(replayDecision(inputFromJson(String(text)))).toEqual(ranking);
        expect(isReproducible(input, ranking)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('is told from another one', () => {
    const { input, ranking } = decide(request(), someFleet(3, 20, 256));
    expect(isReproducible(input, { ...ranking, nodes: ranking.nodes.toReversed() })).toBe(false);
  });

  it('writes down only the nodes that it looked at', () => {
    const { input } = decide(request(), someFleet(5, 400, 16));
    const written = JSON.parse(String(inputToJson(input))) as {
      snapshot: { size: number; views: unknown[] };
    };
    expect(written.snapshot.size).toBe(400);
    expect(written.snapshot.views.length).toBeLessThan(200);
  });

  it('writes down of each node only the models that it asked for or that are in memory', () => {
    const many = Array.from({ length: 40 }, (_, i) => onDisk(`spare${i}:latest`));
    const nodes = ['n1', 'n2'].map((id) =>
      node(id, { models: [onDisk(MODEL), ...many], warm: [resident(OTHER)] }),
    );
    const { input, ranking } = decide(request(), situation(snapshot(...nodes)));
    const text = String(inputToJson(input));
    expect(text).not.toContain('spare');
    expect(replayDecision(inputFromJson(text))).toEqual(ranking);
  });

  it('fails clearly where routing asks more than was recorded', () => {
    const { input } = decide(request(), someFleet(3, 20, 256));
    const short = { ...input, situation: { ...input.situation, tape: input.situation.tape.slice(0, 3) } };
    expect(() => replayDecision(short)).toThrow('recorded by another version');
  });
});

describe('inputs', () => {
  const { input } = decide(request(), someFleet(3, 20, 256));

  it('are kept for the last decisions', () => {
    const inputs = new DecisionInputs(3);
    for (const id of ['a', 'b', 'c', 'd']) inputs.keep(id, input);
    expect(inputs.find('a')).toBeUndefined();
    expect(['b', 'c', 'd'].map((id) => inputs.find(id))).toEqual([input, input, input]);
  });

  it('of huge fleets are kept for fewer, and for the last one always', () => {
    const { situation: of } = input;
    const huge = { ...input, situation: { ...of, snapshot: { ...of.snapshot, nodes: new Array(600_000) } } };
    const inputs = new DecisionInputs(100);
    inputs.keep('a', input);
    inputs.keep('b', huge);
    expect([inputs.find('a'), inputs.find('b')]).toEqual([undefined, huge]);
    inputs.keep('c', input);
    expect([inputs.find('b'), inputs.find('c')]).toEqual([undefined, input]);
  });
});
