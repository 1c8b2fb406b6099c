import { MemoryStore } from '../../src/store/memory.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { describeStore } from './store.ts';

let clock = new FakeClock();

describeStore('memory', {
  open: async () => {
    clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    return [store, store, store];
  },
  advance: (ms) => clock.advance(ms),
});
