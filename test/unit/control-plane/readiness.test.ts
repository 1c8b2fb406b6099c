import { describe, expect, it } from 'vitest';
import { Fleet } from '../../../src/app/fleet.ts';
import { Readiness } from '../../../src/control-plane/readiness.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { spec } from '../fleet/builders.ts';

const RESIDENT = { kind: 'resident', models: [], rttMs: 1 } as const;
const TAGS = { kind: 'tags', models: [], rttMs: 1 } as const;

function running(...ids: string[]) {
  const clock = new FakeClock();
  const nodes = ids.map((id) => spec(id));
  const fleet = new Fleet(nodes, DEFAULT_HEALTH, clock);
  const readiness = new Readiness(fleet, clock);
  const stop = new AbortController();
  let told = 0;
  readiness.onReady(() => {
    told += 1;
  });
  const done = readiness.run(stop.signal);
  return { clock, fleet, readiness, stop, done, told: () => told };
}

describe('a control plane', () => {
  it('is ready when every node has answered with both lists or has failed', async () => {
    const { clock, fleet, readiness, done, told } = running('n1', 'n2');
    fleet.observe('n1', RESIDENT);
    fleet.observe('n2', { kind: 'poll_failed', reason: 'refused', detail: 'x' });
    await clock.advance(100);
    expect(readiness.reasons()).toEqual(['the first round of polls is not complete']);
    fleet.observe('n1', TAGS);
    await clock.advance(20);
    expect(readiness.reasons()).toEqual([]);
    expect(told()).toBe(1);
    await done;
  });

  it('does not wait longer than 2 s for a node that says nothing', async () => {
    const { clock, readiness, told } = running('silent');
    await clock.advance(1_999);
    expect(told()).toBe(0);
    await clock.advance(21);
    expect(told()).toBe(1);
    expect(readiness.reasons()).toEqual([]);
  });

  it('without nodes is ready at once, and tells those who ask later too', async () => {
    const { readiness, done, told } = running();
    await done;
    let toldLater = false;
    readiness.onReady(() => {
      toldLater = true;
    });
    expect([told(), toldLater]).toEqual([1, true]);
  });

  it('that is stopped before its first round never becomes ready', async () => {
    const { stop, done, told, readiness } = running('silent');
    stop.abort();
    await done;
    expect(told()).toBe(0);
    expect(readiness.reasons()).toHaveLength(1);
  });

  it('that drains says so, ready or not', async () => {
    const { readiness, done } = running();
    await done;
    readiness.drain();
    expect(readiness.reasons()).toEqual(['draining: this control plane is about to stop']);
  });
});
