import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { type Answer, post } from '../support/http-client.ts';
import { type RealOllama, realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { startWarmpath } from '../support/warmpath.ts';
import { closeArenas, MODEL, startArena } from './faults/arena.ts';

const MIB = 2 ** 20;

function crowd(url: string, path: string, model: string): Promise<Answer[]> {
  const body = { model, max_tokens: 4, options: { num_predict: 4 }, stream: false };
  const prompts = { prompt: 'hello', messages: [{ role: 'user', content: 'hello' }] };
  return Promise.all(Array.from({ length: 40 }, () => post(url + path, { ...body, ...prompts })));
}

describeReal(await realEnvoy(), 'a crowd that asks for a cold model', () => {
  afterEach(closeArenas);

  it.each(['/api/generate', '/v1/chat/completions'])(
    'F62: %s: makes two of four nodes of one slot load it at most, and is served',
    async (path) => {
      const arena = await startArena({
        warm: false,
        common: { slots: 1, loadBytesPerSecond: (64 * MIB) / 3 },
        config: { routing: { defaultLoadRate: '20MiB' } },
      });
      const answers = await crowd(arena.url, path, MODEL);
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      const loads = arena.fleet.nodes.reduce((sum, node) => sum + node.stats().loads, 0);
      figure(`F62 cold crowd on ${path}`, { loads });
      expect(loads).toBeGreaterThan(0);
      expect(loads).toBeLessThanOrEqual(2);
      await arena.settled();
    },
  );

  describeReal(realOllama(), 'of real Ollama', (path) => {
    it('F62: makes each of two servers load it once at most, and is served', {
      timeout: 90_000,
    }, async () => {
      const servers: RealOllama[] = [];
      try {
        for (let i = 0; i < 2; i += 1) servers.push(await startRealOllama({ path, models: ['alpha'] }));
        const nodes = servers.map(({ url }, i) => ({ name: `n${i}`, url }));
        const warmpath = await startWarmpath({ nodes, config: { waiting: { maxWait: '60s' } } });
        try {
          const answers = await crowd(warmpath.url, '/api/generate', 'alpha');
          expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
        } finally {
          await warmpath.stop();
        }
        const loads = servers.map(({ output }) => output.split('starting go runner').length - 1);
        figure('F62 cold crowd on real Ollama', { loads: loads.join('+') });
        expect(Math.max(...loads)).toBe(1);
      } finally {
        for (const server of servers) await server.stop();
      }
    });
  });
});
