import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';

const IDS = ['r1', 'r2', 'r3', 'r4', 'r5'];
const NODES = ['n1', 'n2', 'n3'];
const MODELS = ['a', 'b'];

/** The plainest possible ledger: a list of leases, counted anew each time. */
interface Model {
  readonly leases: Map<string, { node: string; model: string; at: number }>;
  now: number;
}

function expectEqual(ledger: LeaseLedger, model: Model): void {
  expect(ledger.size).toBe(model.leases.size);
  const leases = [...model.leases.values()];
  for (const node of NODES) {
    const here = leases.filter((lease) => lease.node === node);
    expect(ledger.onNode(node)).toBe(here.length);
    for (const key of MODELS) {
      expect(ledger.onModel(node, key)).toBe(here.filter((lease) => lease.model === key).length);
    }
  }
}

type Command = fc.Command<Model, LeaseLedger>;

function command(name: string, run: (model: Model, ledger: LeaseLedger) => void): Command {
  return {
    check: () => true,
    run: (model, ledger) => {
      run(model, ledger);
      expectEqual(ledger, model);
    },
    toString: () => name,
  };
}

const id = fc.constantFrom(...IDS);
const node = fc.constantFrom(...NODES);
const key = fc.constantFrom(...MODELS);

const commands = fc.commands(
  [
    fc.tuple(id, node, key).map(([i, n, k]) =>
      command(`take ${i} ${n} ${k}`, (model, ledger) => {
        model.leases.set(i, { node: n, model: k, at: model.now });
        ledger.take(i, n, k, model.now);
      }),
    ),
    fc.tuple(id, node).map(([i, n]) =>
      command(`move ${i} ${n}`, (model, ledger) => {
        const lease = model.leases.get(i);
        if (lease !== undefined) lease.node = n;
        expect(ledger.move(i, n)).toBe(lease !== undefined);
      }),
    ),
    id.map((i) =>
      command(`release ${i}`, (model, ledger) => {
        expect(ledger.release(i)).toBe(model.leases.delete(i));
      }),
    ),
    fc.tuple(fc.nat(100), fc.nat(200)).map(([passed, maxAge]) =>
      command(`expire ${passed} ${maxAge}`, (model, ledger) => {
        model.now += passed;
        const old = [...model.leases].filter(([, { at }]) => model.now - at > maxAge).map(([i]) => i);
        for (const i of old) model.leases.delete(i);
        expect(ledger.expire(maxAge, model.now).sort()).toEqual(old.sort());
      }),
    ),
  ],
  { maxCommands: 100 },
);

describe('the ledger', () => {
  it('counts every running request once, through any sequence of calls', () => {
    fc.assert(
      fc.property(commands, (list) => {
        fc.modelRun(() => ({ model: { leases: new Map(), now: 0 }, real: new LeaseLedger() }), list);
      }),
      { numRuns: 300 },
    );
  });

  it('is empty again when all leases have ended', () => {
    fc.assert(
      fc.property(commands, (list) => {
        const real = new LeaseLedger();
        fc.modelRun(() => ({ model: { leases: new Map(), now: 0 }, real }), list);
        for (const i of IDS) real.release(i);
        expect(real.size).toBe(0);
        expect(real.counts().size).toBe(0);
      }),
    );
  });

  it('adds what other replicas run to its own', () => {
    const ledger = new LeaseLedger();
    ledger.take('r1', 'n1', 'a', 0);
    ledger.elsewhere.set('other', [
      ['n1', 'a', 2],
      ['n2', 'b', 1],
    ]);
    expect([ledger.onNode('n1'), ledger.onModel('n1', 'a'), ledger.onNode('n2')]).toEqual([3, 3, 1]);
    expect([ledger.size, ledger.counts().size]).toEqual([1, 1]);
    ledger.elsewhere.drop('other');
    expect([ledger.onNode('n1'), ledger.onNode('n2')]).toEqual([1, 0]);
  });

  it('tells its listener of every lease that is taken, moved or released, and of nothing else', () => {
    const ledger = new LeaseLedger();
    const heard: string[] = [];
    ledger.onChange((id) => heard.push(`${id} ${ledger.find(id)?.node ?? 'ended'}`));
    ledger.take('r1', 'n1', 'a', 0);
    ledger.move('r1', 'n1');
    ledger.move('r1', 'n2');
    ledger.move('r2', 'n1');
    ledger.release('r2');
    ledger.release('r1');
    ledger.release('r1');
    ledger.take('r3', 'n1', 'a', 0);
    ledger.expire(10, 100);
    expect(heard).toEqual(['r1 n1', 'r1 n2', 'r1 ended', 'r3 n1', 'r3 ended']);
  });

  it('hands out copies of its counts', () => {
    const ledger = new LeaseLedger();
    ledger.take('r1', 'n1', 'a', 0);
    const copy = ledger.counts();
    ledger.release('r1');
    expect(copy.get('n1')?.get('a')).toBe(1);
  });
});
