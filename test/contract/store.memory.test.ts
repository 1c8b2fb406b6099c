import { MemoryStore } from '../../src/store/memory.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { itNeverDrifts } from './lease-property.ts';
import { describeStore, type StoreHarness } from './store.ts';

let clock = new FakeClock();

const harness: StoreHarness = {
  open: async () => {
    clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    return [store, store, store];
  },
  advance: (ms) => clock.advance(ms),
};
describeStore('memory', harness);
itNeverDrifts(harness, 200);
