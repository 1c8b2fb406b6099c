import type { StoreMessage, StoreState } from '../../../../src/store/contract.ts';
import { type Store, StoreError } from '../../../../src/store/contract.ts';
import type { MemoryStore } from '../../../../src/store/memory.ts';

/** How one replica reaches a store that others use as well: the way there can break, whole or in part. */
export class FlakyStore {
  readonly store: Store;
  /** Commands by name, those that failed included. */
  readonly asked: string[] = [];
  /** Fails a command before it is carried out, or after. */
  fault: (command: string) => 'before' | 'after' | undefined = () => undefined;
  /** Messages on their way to this replica that get lost. */
  isLost: (message: StoreMessage) => boolean = () => false;
  #state: StoreState = 'up';
  readonly #listeners = new Set<(state: StoreState) => void>();

  constructor(inner: MemoryStore) {
    const flaky = this;
    this.store = new Proxy<Store>(inner, {
      get(target, key) {
        if (key === 'state') return flaky.#state;
        if (key === 'onState') return (listener: (state: StoreState) => void) => flaky.#onState(listener);
        if (key === 'subscribe')
          return (replica: string, listener: (message: StoreMessage) => void) =>
            target.subscribe(replica, (message) => {
              if (flaky.#state === 'up' && !flaky.isLost(message)) listener(message);
            });
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          const command = String(key);
          flaky.asked.push(command);
          if (flaky.#state !== 'up') throw new StoreError('disconnected', 'the test has cut the line');
          const fault = flaky.fault(command);
          if (fault === 'before') throw new StoreError('timeout', 'the test lost the question');
          const answer = await value.apply(target, args);
          if (fault === 'after') throw new StoreError('timeout', 'the test lost the answer');
          return answer;
        };
      },
    });
  }

  set isUp(isUp: boolean) {
    const state = isUp ? 'up' : 'down';
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  #onState(listener: (state: StoreState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
