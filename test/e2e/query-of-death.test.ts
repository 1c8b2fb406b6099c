import { afterEach, expect, it } from 'vitest';
import { explanationSchema } from '../../src/api/explain-schema.ts';
import type { Fault } from '../../src/demo/faults.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { type Arena, closeArenas, MODEL, startArena } from './faults/arena.ts';
import { described, generateBody, isWhole, Load } from './faults/load.ts';

const WORD = 'xyzzy';
const GENERATE = '/api/generate';
const CHAT = '/v1/chat/completions';

function prompt(text: string): Record<string, unknown> {
  return { model: MODEL, prompt: text, stream: true, options: { num_predict: 4 } };
}

/** Ten nodes, each of which dies of the word and is back in a moment: being down does not keep the next request away. */
async function tenNodes(): Promise<Arena> {
  const arena = await startArena({ count: 10 });
  for (const node of arena.fleet.nodes) node.addFault({ kind: 'query_of_death', word: WORD, downMs: 200 });
  // Nodes that have never answered anything are not trusted yet, and a list that starts with such nodes is longer.
  await untilAllHaveServed(arena);
  await waitFor('a list of two', async () => (await listed(arena)) === 2);
  await arena.countFromHere();
  return arena;
}

/** How many nodes the next request would be given. Answers become known, and polls fresh, a little later than the client's answer. */
async function listed(arena: Arena): Promise<number> {
  const answer = await send(`${arena.warmpath.adminUrl}/explain?model=${MODEL}`);
  return explanationSchema.parse(answer.json()).ranking.nodes.length;
}

async function untilAllHaveServed(arena: Arena): Promise<void> {
  await waitFor('all nodes to have served', async () => {
    await Promise.all(arena.fleet.nodes.map((_, i) => post(arena.url + GENERATE, prompt(`good day ${i}`))));
    return new Set(arena.fleet.inference.map(({ node }) => node)).size === arena.fleet.nodes.length;
  });
}

/** The reports of failed attempts come within milliseconds of the answer. */
async function untilRefused(arena: Arena): Promise<void> {
  await waitFor(
    'the body to be refused',
    async () => (await arena.warmpath.status()).guard.refusedBodies === 1,
  );
}

describeReal(await realEnvoy(), 'a request that kills the node that runs it', () => {
  afterEach(closeArenas);

  it('F57: kills two of ten nodes at most and is then refused, while other requests are served', async () => {
    const arena = await tenNodes();
    const first = await post(arena.url + GENERATE, prompt(`say ${WORD}`));
    expect(first.status).toBeGreaterThanOrEqual(500);
    await untilRefused(arena);
    expect(arena.fleet.inference).toHaveLength(2);
    for (let i = 0; i < 10; i += 1) {
      const again = await post(arena.url + GENERATE, prompt(`say ${WORD}`));
      expect(again.status).toBe(502);
      expect(again.headers['x-warmpath-error']).toBe('query_of_death');
      expect(again.json()).toEqual({ error: expect.stringContaining('as if it crashed them') });
    }
    expect(arena.fleet.inference).toHaveLength(2);
    expect(await arena.warmpath.metric('warmpath_query_of_death_refusals_total')).toBe(10);
    expect((await post(arena.url + GENERATE, prompt('say hello'))).status).toBe(200);
    expect(arena.warmpath.output).not.toContain(WORD);
  });

  it('F57: is refused in the shape of OpenAI’s API there', async () => {
    const arena = await tenNodes();
    const body = { model: MODEL, messages: [{ role: 'user', content: WORD }] };
    await post(arena.url + CHAT, body);
    await untilRefused(arena);
    const again = await post(arena.url + CHAT, body);
    expect(again.status).toBe(502);
    expect(again.json()).toMatchObject({ error: { type: 'api_error', code: 'query_of_death' } });
  });

  it('F57: a node that is restarted condemns nobody', async () => {
    const arena = await tenNodes();
    const slow = { ...prompt('count slowly'), options: { num_predict: 2_000 } };
    const running = Array.from({ length: 10 }, () => post(arena.url + GENERATE, slow));
    await waitFor(
      'all to run',
      () => arena.fleet.nodes.some((node) => node.stats().running > 0) && arena.fleet.inference.length === 10,
    );
    arena.fleet.nodes.find((node) => node.stats().running > 0)?.kill({ downMs: 200 });
    await Promise.all(running);
    expect((await arena.warmpath.status()).guard).toEqual({ refusals: 0, refusedBodies: 0 });
    expect((await post(arena.url + GENERATE, { ...slow, options: { num_predict: 4 } })).status).toBe(200);
  });

  it('F57: kills no more nodes than it may try where they are new, and bystanders are served', async () => {
    const arena = await startArena({ count: 6 });
    const fault: Fault = { kind: 'query_of_death', word: WORD, downMs: 1_500 };
    for (const node of arena.fleet.nodes) await node.setFault(fault);
    await arena.countFromHere();
    const load = new Load(arena.url, { perSecond: 20, body: () => generateBody(MODEL, 1_024) });
    const killer = await arena.generate({ prompt: WORD });
    await pause(1_000);
    const samples = await load.stop();
    expect([502, 503]).toContain(killer.status);
    expect(killer.json()).toEqual({ error: expect.any(String) });
    // A bystander that ran on a dying node died with it.
    const deaths = arena.fleet.inference.filter((each) => each.aborted && each.status === 0);
    expect(new Set(deaths.map(({ node }) => node)).size).toBeLessThanOrEqual(3);
    expect(killer.headers['x-warmpath-attempts'] ?? '3').toBe('3');
    // Bystanders lose at most what had begun on the dying nodes.
    expect(samples.filter((each) => !isWhole(each) && each.answer?.status !== 200).map(described)).toEqual(
      [],
    );
    await arena.settled();
  });
});
