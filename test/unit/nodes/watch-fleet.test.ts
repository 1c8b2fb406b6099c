import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import type { NodeSpec, Observation } from '../../../src/fleet/types.ts';
import type { Lookup } from '../../../src/nodes/resolver.ts';
import { FleetWatcher } from '../../../src/nodes/watch-fleet.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { waitFor } from '../../support/wait-for.ts';
import { alpha, nodeSpec, type ScriptedNode, scriptedNode } from './scripted-node.ts';

const poll: Config['poll'] = {
  interval: 1_000,
  tagsInterval: 10_000,
  versionInterval: 60_000,
  timeout: 2_000,
  connectTimeout: 750,
  jitter: 0,
  maxBodyBytes: 4 * 1024 * 1024,
};
const GONE = { scheme: 'http', host: 'nowhere.invalid', port: 1 } as const;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function ollama(models: () => readonly unknown[] = () => [alpha]): RequestListener {
  return (request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify(request.url === '/api/version' ? { version: '0.24.0' } : { models: models() }),
    );
  };
}

async function serving(handler: RequestListener, options = {}): Promise<ScriptedNode> {
  const node = await scriptedNode(handler, options);
  cleanups.push(() => node.close());
  return node;
}

function watching(
  fields: {
    lookup?: Lookup;
    random?: () => number;
    isOurs?: (node: string) => boolean;
    asksAbilities?: boolean;
  } = {},
) {
  const clock = new FakeClock();
  const seen: [string, Observation][] = [];
  const errors: unknown[] = [];
  const fleet = new FleetWatcher({
    clock,
    random: () => 0,
    poll,
    localIps: [],
    asksAbilities: false,
    onObservation: (node, observation) => seen.push([node, observation]),
    onError: (_node, error) => errors.push(error),
    ...fields,
  });
  cleanups.push(async () => {
    await fleet.close();
    expect(errors).toEqual([]);
  });
  const kinds = (node = 'n1') => seen.filter(([id]) => id === node).map(([, { kind }]) => kind);
  /** Answers come over real sockets: time stands still until they are here. */
  const until = (count: number, node = 'n1') =>
    waitFor(`${count} observations of ${node}, have ${kinds(node)}`, () => kinds(node).length >= count, {
      intervalMs: 2,
    });
  /** Moves time on; then lets what was sent arrive. */
  const pass = async (ms: number, count: number, node = 'n1') => {
    await clock.advance(ms);
    await until(count, node);
    await clock.advance(0);
  };
  return { clock, fleet, seen, kinds, pass };
}

const paths = (node: ScriptedNode) => node.requests.map(({ url }) => url);

describe('watching a node', () => {
  it('asks for everything at once, then each list at its own pace', async () => {
    const node = await serving(ollama());
    const { fleet, kinds, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    expect(kinds()).toEqual(['address', 'resident', 'tags', 'version']);
    for (let second = 1; second <= 9; second++) await pass(1_000, 4 + second);
    expect(kinds().slice(4)).toEqual(Array.from({ length: 9 }, () => 'resident'));
    await pass(1_000, 15);
    expect(kinds().slice(13)).toEqual(['resident', 'tags']);
    expect(node.connections()).toBe(1);
  });

  it('says where the node is, and what it holds', async () => {
    const node = await serving(ollama());
    const { fleet, seen, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    const address = `127.0.0.1:${node.port}`;
    expect(seen[0]).toEqual(['n1', { kind: 'address', address, hosts: ['127.0.0.1'] }]);
    expect(seen[1]?.[1]).toMatchObject({ kind: 'resident', models: [{ key: 'alpha:latest' }] });
    expect(seen[2]?.[1]).toMatchObject({ kind: 'tags', models: [{ key: 'alpha:latest' }] });
    expect(seen[3]?.[1]).toEqual({ kind: 'version', version: '0.24.0' });
  });

  it('asks a failing node for nothing but its heartbeat, and catches up when it is back', async () => {
    let isBroken = true;
    const node = await serving((request, response) => {
      if (isBroken) response.writeHead(500).end();
      else ollama()(request, response);
    });
    const { fleet, seen, kinds, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 2);
    await pass(1_000, 3);
    expect(seen[2]?.[1]).toEqual({ kind: 'poll_failed', reason: 'server_error', detail: 'status 500' });
    expect(paths(node)).toEqual(['/api/ps', '/api/ps']);
    isBroken = false;
    await pass(1_000, 6);
    expect(kinds().slice(3)).toEqual(['resident', 'tags', 'version']);
  });

  it('keeps its pace on a dead node, so that recovery shows within a second', async () => {
    const node = await serving(ollama());
    await node.close();
    const { fleet, kinds, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 2);
    for (let i = 0; i < 20; i++) await pass(1_000, 3 + i);
    expect(new Set(kinds().slice(1))).toEqual(new Set(['poll_failed']));
    await serving(ollama(), { port: node.port });
    await pass(1_000, 25);
    expect(kinds().slice(22)).toEqual(['resident', 'tags', 'version']);
  });

  it('never has two questions open, and reports a hanging one as a timeout (F67)', async () => {
    let open = 0;
    let most = 0;
    const node = await serving((_request, response) => {
      open += 1;
      most = Math.max(most, open);
      response.on('close', () => {
        open -= 1;
      });
    });
    const { fleet, seen, clock, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 1);
    for (let i = 1; i <= 3; i++) {
      await waitFor('the question to arrive', () => open === 1, { intervalMs: 2 });
      fleet.refreshTags('n1');
      await pass(2_000, 1 + i);
      await waitFor('the question to be called off', () => open === 0, { intervalMs: 2 });
      await clock.advance(1_000);
    }
    expect(most).toBe(1);
    expect(seen.at(-1)?.[1]).toEqual({
      kind: 'poll_failed',
      reason: 'timeout',
      detail: 'no whole answer in time',
    });
  });

  it('reports a tag list that cannot be had, and tries again sooner than usual', async () => {
    let isBroken = true;
    const node = await serving((request, response) => {
      if (isBroken && request.url === '/api/tags') response.writeHead(500).end();
      else ollama()(request, response);
    });
    const { fleet, seen, kinds, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    expect(seen[2]?.[1]).toEqual({
      kind: 'poll_failed',
      reason: 'server_error',
      detail: '/api/tags: status 500',
    });
    isBroken = false;
    await pass(1_000, 6);
    expect(kinds().slice(4)).toEqual(['resident', 'tags']);
  });
});

describe('a stale tag list (F59)', () => {
  it('is asked for again at once', async () => {
    let models: readonly unknown[] = [alpha];
    const node = await serving(ollama(() => models));
    const { fleet, seen, clock, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    await clock.advance(900);
    await pass(100, 5);
    models = [];
    fleet.refreshTags('n1');
    await pass(0, 7);
    expect(seen[6]?.[1]).toMatchObject({ kind: 'tags', models: [] });
  });

  it('costs one question however many requests stumbled over it', async () => {
    const node = await serving(ollama());
    const { fleet, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    await pass(1_000, 5);
    for (let i = 0; i < 50; i++) fleet.refreshTags('n1');
    await pass(0, 7);
    for (let i = 0; i < 50; i++) fleet.refreshTags('n1');
    fleet.refreshTags('never heard of');
    await pass(999, 7);
    expect(paths(node).filter((path) => path === '/api/tags')).toHaveLength(2);
    await pass(1, 9);
    expect(paths(node).filter((path) => path === '/api/tags')).toHaveLength(3);
  });
});

describe('a node with a name', () => {
  const named = (port: number): NodeSpec =>
    nodeSpec(port, { url: { scheme: 'http', host: 'gpu.localhost', port } });

  it('is reached at another address of its name when the first cannot be reached', async () => {
    const node = await serving(ollama(), { host: '127.0.0.3' });
    const { fleet, seen, kinds, pass } = watching({ lookup: async () => ['127.0.0.2', '127.0.0.3'] });
    fleet.update([named(node.port)]);
    await pass(0, 5);
    expect(kinds()).toEqual(['address', 'address', 'resident', 'tags', 'version']);
    expect(seen[1]?.[1]).toMatchObject({ address: `127.0.0.3:${node.port}` });
    await pass(1_000, 6);
    expect(kinds().slice(5)).toEqual(['resident']);
  });

  it('is looked for every two seconds until it has an address, and is asked as soon as it has', async () => {
    const node = await serving(ollama());
    let asked = 0;
    const lookup: Lookup = async () => {
      asked += 1;
      if (asked < 3) throw Object.assign(new Error(), { code: 'ENOTFOUND' });
      return ['127.0.0.1'];
    };
    const { fleet, seen, kinds, pass } = watching({ lookup });
    fleet.update([named(node.port)]);
    await pass(0, 1);
    expect(seen[0]?.[1]).toEqual({ kind: 'poll_failed', reason: 'dns', detail: 'name not found' });
    await pass(2_000, 2);
    await pass(2_000, 6);
    expect(kinds()).toEqual(['poll_failed', 'poll_failed', 'address', 'resident', 'tags', 'version']);
  });

  it('moves when its name does, and stays while the name service fails (F88)', async () => {
    const first = await serving(ollama());
    const second = await serving(ollama(), { host: '127.0.0.2', port: first.port });
    let answer: readonly string[] | undefined = ['127.0.0.1'];
    const lookup: Lookup = async () => {
      if (answer === undefined) throw Object.assign(new Error(), { code: 'EAI_AGAIN' });
      return answer;
    };
    const { fleet, seen, kinds, pass } = watching({ lookup });
    fleet.update([named(first.port)]);
    await pass(0, 4);
    answer = undefined;
    for (let i = 0; i < 35; i++) await pass(1_000, kinds().length + 1);
    expect(kinds()).not.toContain('poll_failed');
    expect(second.requests).toEqual([]);
    answer = ['127.0.0.2'];
    for (let i = 0; i < 35; i++) await pass(1_000, kinds().length + 1);
    const moved = seen.filter(([, { kind }]) => kind === 'address');
    expect(moved.map(([, observation]) => observation)).toMatchObject([
      {},
      { address: `127.0.0.2:${first.port}` },
    ]);
    expect(second.requests.length).toBeGreaterThan(0);
  });

  it('can be given up while the name service hangs', async () => {
    const { fleet, clock } = watching({ lookup: () => new Promise(() => {}) });
    fleet.update([named(1)]);
    await clock.advance(100);
    await fleet.close();
    expect(clock.pending).toBe(0);
  });
});

describe('the list of nodes', () => {
  it('starts what is new, stops what is gone, and leaves the others in peace', async () => {
    const [a, b, c] = [await serving(ollama()), await serving(ollama()), await serving(ollama())];
    const { fleet, kinds, pass } = watching();
    fleet.update([nodeSpec(a.port, { id: 'a' }), nodeSpec(b.port, { id: 'b' })]);
    await pass(0, 4, 'a');
    await pass(0, 4, 'b');
    fleet.update([nodeSpec(b.port, { id: 'b', weight: 2, drain: true }), nodeSpec(c.port, { id: 'c' })]);
    expect(fleet.size).toBe(2);
    await pass(1_000, 4, 'c');
    await pass(0, 5, 'b');
    expect(kinds('a')).toHaveLength(4);
    expect(kinds('b')).toHaveLength(5);
    expect(b.connections()).toBe(1);
  });

  it('asks a node anew when its address or token changes', async () => {
    const node = await serving(ollama());
    const { fleet, kinds, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    fleet.update([nodeSpec(node.port, { token: 'new' })]);
    await pass(0, 8);
    expect(kinds().slice(4)).toEqual(['address', 'resident', 'tags', 'version']);
    expect(node.requests.at(-1)?.headers.authorization).toBe('Bearer new');
  });

  it('follows new intervals', async () => {
    const node = await serving(ollama());
    const { fleet, kinds, pass, clock } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    fleet.update([nodeSpec(node.port)], { ...poll, interval: 5_000 });
    await pass(0, 8);
    await clock.advance(4_999);
    expect(kinds()).toHaveLength(8);
    await pass(1, 9);
  });

  it('hears nothing of a node that was removed while its answer was under way', async () => {
    let answer = (): void => {};
    const node = await serving((request, response) => {
      answer = () => ollama()(request, response);
    });
    const { fleet, kinds, pass, clock } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 1);
    await waitFor('the question', () => node.requests.length === 1);
    fleet.update([]);
    answer();
    await clock.advance(5_000);
    expect(kinds()).toEqual(['address']);
    expect(fleet.size).toBe(0);
  });

  it('spreads the first questions of a thousand nodes over an interval', async () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const clock = new FakeClock();
    const fleet = new FleetWatcher({
      clock,
      random,
      poll,
      localIps: [],
      // Their names lead nowhere: only the moment of the first question counts here.
      onObservation: () => {},
      lookup: async () => [],
    });
    cleanups.push(() => fleet.close());
    const sleeps: number[] = [];
    const sleep = clock.sleep.bind(clock);
    clock.sleep = (ms, signal) => {
      sleeps.push(ms);
      return sleep(ms, signal);
    };
    fleet.update(
      Array.from({ length: 1_000 }, (_, i) =>
        nodeSpec(1, { id: `n${i}`, url: { scheme: 'http', host: 'x', port: 1 } }),
      ),
    );
    // They are started in slices.
    await clock.advance(50);
    const spread = sleeps.filter((ms) => ms < poll.interval);
    expect(spread).toHaveLength(1_000);
    for (let tenth = 0; tenth < 10; tenth++) {
      const within = spread.filter((ms) => ms >= tenth * 100 && ms < (tenth + 1) * 100).length;
      expect(within).toBeGreaterThan(60);
      expect(within).toBeLessThan(140);
    }
  });

  it('asks no node before its turn in the spread, though its address needs no lookup', async () => {
    const node = await serving(ollama());
    const { fleet, clock, kinds } = watching({ random: () => 0.999 });
    const others = Array.from({ length: 600 }, (_, i) => nodeSpec(node.port, { id: `other${i}`, url: GONE }));
    fleet.update([nodeSpec(node.port, { id: 'n1' }), ...others]);
    await clock.advance(900);
    expect(kinds()).toEqual(['address']);
    await clock.advance(150);
    await waitFor('the first poll', () => node.requests.length > 0);
  });

  it('does nothing once closed', async () => {
    const node = await serving(ollama());
    const { fleet, clock } = watching();
    await fleet.close();
    fleet.update([nodeSpec(node.port)]);
    await clock.advance(5_000);
    expect(node.requests).toEqual([]);
  });
});

describe('a node that another replica polls', () => {
  it('is asked nothing; its address is found out once, for the day that it is ours', async () => {
    const node = await serving(ollama());
    const { fleet, clock, kinds, pass } = watching({ isOurs: () => false });
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 1);
    await clock.advance(60_000);
    expect(kinds()).toEqual(['address']);
    expect(node.requests).toEqual([]);
  });

  it('is asked from its turn on, after the pause that spreads many starts', async () => {
    const node = await serving(ollama());
    const { fleet, clock, kinds, pass } = watching({ isOurs: () => false });
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 1);
    fleet.setPolling('n1', true, 400);
    await clock.advance(399);
    expect(node.requests).toEqual([]);
    // The others hear its address from whoever polls it now.
    await pass(1, 5);
    expect(kinds()).toEqual(['address', 'address', 'resident', 'tags', 'version']);
  });

  it('is left alone again when it is another’s turn, also before its start', async () => {
    const node = await serving(ollama());
    const { fleet, clock, pass } = watching();
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    fleet.setPolling('n1', false);
    const asked = node.requests.length;
    await clock.advance(10_000);
    fleet.setPolling('n1', true, 500);
    fleet.setPolling('n1', false);
    await clock.advance(10_000);
    expect(node.requests.length).toBe(asked);
    fleet.setPolling('unknown', true);
  });
});

describe('what models can do', () => {
  /** Answers /api/show as Ollama does; `hold` keeps the answer back for ever. */
  const telling =
    (hold = false): RequestListener =>
    (request, response) => {
      if (request.url !== '/api/show') return ollama()(request, response);
      if (hold) return;
      response.setHeader('content-type', 'application/json; charset=utf-8');
      response.end(JSON.stringify({ capabilities: ['completion', 'tools'], model_info: {} }));
    };
  const shows = (node: ScriptedNode) => paths(node).filter((url) => url === '/api/show').length;

  it('is asked once for equal models, and told of every node that has them', async () => {
    const [a, b] = [await serving(telling()), await serving(telling())];
    const { fleet, seen, pass } = watching({ asksAbilities: true });
    fleet.update([nodeSpec(a.port), nodeSpec(b.port, { id: 'n2' })]);
    await pass(0, 5);
    await pass(0, 5, 'n2');
    const told = (node: string) =>
      seen.filter(([id, { kind }]) => id === node && kind === 'capabilities').map(([, each]) => each);
    const want = {
      kind: 'capabilities',
      digest: alpha.digest,
      capabilities: ['completion', 'tools'],
      trainedContext: undefined,
    };
    expect([told('n1'), told('n2')]).toEqual([[want], [want]]);
    expect(shows(a) + shows(b)).toBe(1);
    expect(a.requests.concat(b.requests).find(({ url }) => url === '/api/show')?.method).toBe('POST');
  });

  it('holds up no heartbeat while a node does not answer', async () => {
    const node = await serving(telling(true));
    const { fleet, kinds, pass } = watching({ asksAbilities: true });
    fleet.update([nodeSpec(node.port)]);
    await pass(0, 4);
    await waitFor('the question', () => shows(node) === 1);
    for (let second = 1; second <= 9; second++) await pass(1_000, 4 + second);
    expect(kinds().slice(4)).toEqual(Array.from({ length: 9 }, () => 'resident'));
  });

  it('is not asked of nodes that another replica polls', async () => {
    const node = await serving(telling());
    const { fleet, clock } = watching({ asksAbilities: true, isOurs: () => false });
    fleet.update([nodeSpec(node.port)]);
    await clock.advance(60_000);
    expect(node.requests).toEqual([]);
  });
});
