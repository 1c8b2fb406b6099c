import { describe, expect, it } from 'vitest';
import { inputFromJson, inputToJson } from '../../../../src/app/decision-input-json.ts';
import { DecisionInputs, replayDecision } from '../../../../src/app/decision-inputs.ts';
import { parseModelName } from '../../../../src/request/model-name.ts';
import type { RouteRequest } from '../../../../src/request/types.ts';
import { targetsOf } from '../../../../src/routing/targets.ts';
import { onDisk, resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { address, type Visit, Workbench } from '../workbench.ts';

const WARM = [resident(MODEL)];

function among(...nodes: readonly number[]): ReadonlySet<string> {
  return new Set(nodes.map(address));
}

function asking(nodes: readonly number[], fields: Partial<RouteRequest> = {}): RouteRequest {
  return request({ ...fields, among: among(...nodes) });
}

function isWaiting({ placed }: Visit): boolean {
  return placed?.isWaiting === true;
}

describe('a request for which the proxy allows some nodes only', () => {
  it('goes to one of them, and so do its retries', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: [], n3: WARM, n4: [] });
    expect(bench.route(asking([2])).addresses).toEqual([address(2)]);
    const { addresses } = bench.route(asking([2, 4]));
    expect(addresses.toSorted()).toEqual([address(2), address(4)]);
    expect(bench.ledger.onNode('n1') + bench.ledger.onNode('n3')).toBe(0);
  });

  it('is refused at once where none of them may take it, and leaves no lease and no waiter', () => {
    const bench = new Workbench().withNodes({ n1: WARM });
    expect(() => bench.route(asking([7]))).toThrow(expect.objectContaining({ code: 'no_node' }));
    const visit = bench.place(asking([7]));
    expect(visit.refusal?.code).toBe('no_node');
    expect(bench.ledger.size + bench.router.waiting).toBe(0);
  });

  it('goes where its conversation is remembered only if that is allowed', () => {
    const prefixes = [{ hash: 77, bytes: 100_000 }];
    const long = { prefixes, promptBytes: 100_000 };
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 4 });
    bench.prompts.note('n1', MODEL, prefixes, 4, bench.clock.now());
    expect(bench.route(request(long)).addresses[0]).toBe(address(1));
    expect(bench.route(asking([2], long)).addresses).toEqual([address(2)]);
  });

  it('waits for a slot of theirs, and takes no other that becomes free', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    const [one, two] = [bench.place(asking([1])), bench.place(asking([2]))];
    const waiting = bench.place(asking([1]));
    expect(isWaiting(waiting)).toBe(true);
    two.placed?.finish();
    expect(isWaiting(waiting)).toBe(true);
    one.placed?.finish();
    expect(waiting.decision?.addresses).toEqual([address(1)]);
  });

  it('does not stand behind those who wait for other nodes', async () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    bench.place(asking([1]));
    const others = Array.from({ length: 20 }, () => bench.place(asking([1])));
    expect(others.every(isWaiting)).toBe(true);
    const free = bench.place(asking([2]));
    expect(free.decision?.addresses).toEqual([address(2)]);
    const next = bench.place(asking([2]));
    expect(isWaiting(next)).toBe(true);
    free.placed?.finish();
    expect(next.decision?.addresses).toEqual([address(2)]);
    expect(others.every(isWaiting)).toBe(true);
  });

  it('is not turned away for the length of a line that is not its own', async () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    // Requests are known to take ten seconds.
    for (let i = 0; i < 8; i += 1)
      for (const n of [1, 2]) {
        const { decision, placed } = bench.place(asking([n]));
        await bench.clock.advance(10_000);
        bench.ended(decision?.id, { address: address(n), totalMs: 10_000, firstByteMs: 100 });
        placed?.finish();
      }
    for (const n of [1, 2]) bench.place(asking([n]));
    for (let i = 0; i < 4; i += 1) bench.place(asking([1]), { maxWaitMs: 600_000 });
    expect(isWaiting(bench.place(asking([2]), { maxWaitMs: 15_000 }))).toBe(true);
    expect(bench.place(asking([1]), { maxWaitMs: 15_000 }).refusal?.code).toBe('no_slot_in_time');
  });

  it('stands in one group with those who may go to the same nodes, in whatever order these are told', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    const running = [bench.place(asking([1])), bench.place(asking([2]))];
    const waiting = [
      [1, 2],
      [2, 1],
      [1, 2],
    ].map((nodes) => bench.place(asking(nodes)));
    for (const visit of running) visit.placed?.finish();
    expect(waiting.map(isWaiting)).toEqual([false, false, true]);
  });

  it('is answered by the first of its models that an allowed node has', () => {
    const aliases = new Map([
      [
        'fast:latest',
        { name: parseModelName('fast'), targets: [parseModelName('big'), parseModelName('small')] },
      ],
    ]);
    const bench = new Workbench({
      routing: { targets: (asked, snapshot) => targetsOf(asked, snapshot, aliases) },
    });
    bench.withNodes({ n1: [], n2: [] });
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk('big:latest')], rttMs: 1 });
    bench.fleet.observe('n2', { kind: 'tags', models: [onDisk('small:latest')], rttMs: 1 });
    const model = parseModelName('fast');
    const served = (nodes: readonly number[], fields: Partial<RouteRequest>) =>
      bench.decisions.find(bench.route(asking(nodes, fields)).id)?.request.model.key;
    expect(served([1, 2], { model })).toBe('big:latest');
    expect(served([2], { model })).toBe('small:latest');
    const fallbackModels = [parseModelName('small')];
    expect(served([2], { model: parseModelName('big'), fallbackModels })).toBe('small:latest');
    expect(() => bench.route(asking([2], { model: parseModelName('big') }))).toThrow(
      expect.objectContaining({ code: 'no_node' }),
    );
  });

  it('is decided in the same way when its decision is made again from what was written of it', () => {
    const inputs = new DecisionInputs(1);
    const bench = new Workbench({ routing: { inputs } }).withNodes({ n1: WARM, n2: WARM, n3: WARM });
    const { id, addresses } = bench.route(asking([2, 3]));
    const input = inputs.find(id);
    if (input === undefined) throw new Error('the decision was not kept');
    const again = replayDecision(inputFromJson(String(inputToJson(input))));
    expect(again.nodes.map((node) => node.address)).toEqual(addresses);
  });
});
