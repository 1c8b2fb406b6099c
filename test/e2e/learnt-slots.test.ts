import { afterEach, describe, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { post } from '../support/http-client.ts';
import { realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { startWarmpath } from '../support/warmpath.ts';
import { closeArenas, MODEL, startArena } from './faults/arena.ts';

const SLOTS = 4;
const CLIENTS = 8;

interface Traffic {
  readonly model: string;
  readonly stream: boolean;
  readonly tokens: (index: number) => number;
}

/** Clients that ask again as soon as they are answered. */
class Clients {
  readonly #url: string;
  readonly #traffic: Traffic;
  readonly #all: Promise<unknown>;
  readonly statuses = new Set<number>();
  answered = 0;
  #sent = 0;
  #isOver = false;

  constructor(url: string, traffic: Traffic) {
    this.#url = url;
    this.#traffic = traffic;
    this.#all = Promise.all(Array.from({ length: CLIENTS }, () => this.#client()));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#all;
  }

  async #client(): Promise<void> {
    const { model, stream, tokens } = this.#traffic;
    while (!this.#isOver) {
      this.#sent += 1;
      const { status } = await post(`${this.#url}/v1/chat/completions`, {
        model,
        stream,
        max_tokens: tokens(this.#sent),
        messages: [{ role: 'user', content: 'hello there' }],
      });
      this.statuses.add(status);
      this.answered += 1;
    }
  }
}

/** Answers within this time, once all are at it. */
async function answeredIn(ms: number, url: string, traffic: Traffic): Promise<number> {
  const clients = new Clients(url, traffic);
  await pause(2_000);
  const before = clients.answered;
  await pause(ms);
  const answered = clients.answered - before;
  await clients.stop();
  expect([...clients.statuses]).toEqual([200]);
  return answered;
}

const equal = (tokens: number) => () => tokens;
const unlike = (tokens: number) => (index: number) => Math.round(tokens * (0.5 + ((index * 37) % 101) / 100));

const KINDS = [
  { name: 'equally long answers in one piece', stream: false, lengths: equal },
  { name: 'answers in one piece', stream: false, lengths: unlike },
  { name: 'streams', stream: true, lengths: unlike },
];

describeReal(await realEnvoy(), 'slots that nobody states, behind APIs that tell no durations', () => {
  describe('simulated nodes', () => {
    afterEach(closeArenas);

    it.each(KINDS)('$name are served as fast as by the node itself', { timeout: 90_000 }, async (kind) => {
      const arena = await startArena({ count: 1, common: { slots: SLOTS, tokensPerSecond: 200 } });
      const [node] = arena.fleet.nodes;
      const direct = node?.url ?? '';
      const traffic = { model: MODEL, stream: kind.stream, tokens: kind.lengths(100) };
      const clients = new Clients(arena.url, traffic);
      const startedAt = performance.now();
      await waitFor('all slots to be known', async () => (await arena.node('n1')).slots.value >= SLOTS, {
        timeoutMs: 60_000,
      });
      const seconds = (performance.now() - startedAt) / 1_000;
      await clients.stop();
      expect([...clients.statuses]).toEqual([200]);
      const itself = await answeredIn(4_000, direct, traffic);
      const through = await answeredIn(4_000, arena.url, traffic);
      figure(`slots learnt from ${kind.name}`, { seconds, itself, through });
      expect(through).toBeGreaterThanOrEqual(0.9 * itself);
    });
  });

  describeReal(realOllama(), 'real Ollama', (path) => {
    it('streams are not held back', { timeout: 120_000 }, async () => {
      const env = { OLLAMA_NUM_PARALLEL: String(SLOTS) };
      const ollama = await startRealOllama({ path, models: ['alpha'], env });
      try {
        const warmpath = await startWarmpath({
          nodes: [{ name: 'one', url: ollama.url }],
          config: { poll: { interval: '500ms' } },
        });
        try {
          const traffic = { model: 'alpha', stream: true, tokens: unlike(400) };
          const clients = new Clients(warmpath.url, traffic);
          const startedAt = performance.now();
          const slots = async (): Promise<number> => (await warmpath.status()).nodes[0]?.slots.value ?? 0;
          await waitFor('all slots to be known', async () => (await slots()) >= SLOTS, { timeoutMs: 60_000 });
          const seconds = (performance.now() - startedAt) / 1_000;
          await clients.stop();
          expect([...clients.statuses]).toEqual([200]);
          let itself = 0;
          let through = 0;
          // In turn, as the machine is not equally fast all the time.
          for (let round = 0; round < 2; round += 1) {
            itself += await answeredIn(5_000, ollama.url, traffic);
            through += await answeredIn(5_000, warmpath.url, traffic);
          }
          figure('slots of real Ollama learnt from streams', {
            seconds,
            itself,
            through,
            slots: await slots(),
          });
          // Ollama writes with the very cores that Envoy, Warmpath and the clients need: the simulated node above is the measure.
          expect(through).toBeGreaterThanOrEqual(0.7 * itself);
        } finally {
          await warmpath.stop();
        }
      } finally {
        await ollama.stop();
      }
    });
  });
});
