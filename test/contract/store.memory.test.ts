import { MemoryStore } from '../../src/store/memory.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { describeStore } from './store.ts';

let clock = new FakeClock();

describeStore('memory', {
  open: async () => {
    clock = new FakeClock();
    return new MemoryStore(clock);
  },
  advance: (ms) => clock.advance(ms),
});
