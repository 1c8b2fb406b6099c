import { describe, expect, it } from 'vitest';
import { Offer } from '../../../src/control-plane/offer.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function offered(given: {
  isHeard?: boolean;
  isHeardElsewhere?: boolean;
  hasPeers?: boolean;
  isForOthers?: boolean;
}) {
  const clock = new FakeClock();
  const state = { isHeard: false, isHeardElsewhere: false, hasPeers: false, ...given };
  const offer = new Offer({
    clock,
    isHeard: () => state.isHeard,
    isHeardElsewhere: () => state.isHeardElsewhere,
    hasPeers: () => state.hasPeers,
    isForOthers: given.isForOthers ?? false,
  });
  const stop = new AbortController();
  const made: number[] = [];
  void offer.run(() => made.push(clock.now()), stop.signal);
  return { clock, state, offer, made, stop };
}

describe('offering ourselves to Envoy', () => {
  it('waits until Envoy has the nodes from us', async () => {
    const { clock, state, made, offer } = offered({});
    await clock.advance(500);
    expect(made).toEqual([]);
    expect(offer.canRoute).toBe(false);
    state.isHeard = true;
    await clock.advance(5);
    expect(made).toHaveLength(1);
    expect(offer.canRoute).toBe(true);
  });

  it('goes on after a second where Envoy has its nodes from somebody else', async () => {
    const { clock, made, offer } = offered({});
    await clock.advance(1_000);
    expect(made).toHaveLength(1);
    expect(offer.canRoute).toBe(false);
  });

  it('waits for nothing where proxies have their nodes from elsewhere', async () => {
    const { clock, made, offer } = offered({ isForOthers: true, hasPeers: true });
    await clock.advance(0);
    expect(made).toHaveLength(1);
    expect(offer.canRoute).toBe(true);
    expect(offer.isMade).toBe(true);
  });

  it('leaves the requests to other replicas until Envoy has the nodes from one of them', async () => {
    const { clock, state, made, offer } = offered({ hasPeers: true });
    await clock.advance(2_000);
    expect(offer.isMade).toBe(false);
    expect(made).toEqual([]);
    state.isHeardElsewhere = true;
    await clock.advance(5);
    expect(made).toHaveLength(1);
    expect(offer.canRoute).toBe(true);
    expect(offer.isMade).toBe(true);
  });

  it('is not made by a control plane that stops before', async () => {
    const { clock, state, made, stop } = offered({});
    stop.abort();
    state.isHeard = true;
    await clock.advance(5_000);
    expect(made).toEqual([]);
  });
});
