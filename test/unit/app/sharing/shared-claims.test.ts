import { describe, expect, it } from 'vitest';
import { SharedClaims } from '../../../../src/app/sharing/shared-claims.ts';
import { LeaseLedger } from '../../../../src/fleet/ledger.ts';
import { MemoryStore } from '../../../../src/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FlakyStore } from './flaky-store.ts';

const lease = (id: string) => ({ id, node: 'n1', model: 'm:latest' });

function setUp(live = 2) {
  const clock = new FakeClock();
  const line = new FlakyStore(new MemoryStore(clock, { isShared: true }));
  const ledger = new LeaseLedger();
  const state = { live };
  const claims = new SharedClaims({
    store: line.store,
    replica: 'a',
    ledger,
    clock,
    replicas: () => state.live,
  });
  return { clock, line, ledger, state, claims };
}

describe('a slot', () => {
  it('need not be claimed where there is no other control plane', () => {
    const { claims, line } = setUp(1);
    expect(claims.claim(lease('1'), 1)).toBeUndefined();
    expect(line.asked).toEqual([]);
  });

  it('is claimed in the store where there are others', async () => {
    const { claims, line } = setUp();
    expect(await claims.claim(lease('1'), 1)).toBe(true);
    expect(await claims.claim(lease('2'), 1)).toBe(false);
    expect(line.asked).toEqual(['claimSlot', 'claimSlot']);
  });

  it('F28 is one of our share while the store does not answer, and each has at least one', async () => {
    const { claims, line, ledger } = setUp();
    line.fault = () => 'before';
    const answers = await Promise.all(['1', '2', '3'].map((id) => claims.claim(lease(id), 4)));
    expect(answers).toEqual([true, true, false]);
    for (const id of ['1', '2']) ledger.take(id, 'n1', 'm:latest', 0);
    expect(await claims.claim(lease('4'), 4)).toBe(false);
    ledger.release('1');
    expect(await claims.claim(lease('5'), 4)).toBe(true);
    expect(await claims.claim({ ...lease('6'), node: 'n2' }, 1)).toBe(true);
  });

  it('F28 is shared with those who were there before the store went down, for a while', async () => {
    const { claims, line, state, clock } = setUp(3);
    expect(await claims.claim(lease('1'), 8)).toBe(true);
    line.isUp = false;
    state.live = 1;
    expect(await Promise.all(['2', '3', '4'].map((id) => claims.claim(lease(id), 8)))).toEqual([
      true,
      true,
      false,
    ]);
    await clock.advance(60_001);
    expect(claims.claim(lease('5'), 8)).toBeUndefined();
  });
});
