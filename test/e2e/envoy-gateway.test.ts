import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SimulatedNode } from '../../src/demo/node-simulator.ts';
import { realEnvoyGateway } from '../support/envoy-gateway.ts';
import type { RawConnection } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { DESTINATION, MODEL, RARE, Stack, WARM_NODE } from './envoy-gateway/stack.ts';

/** Of three megabytes, and what a node has to say that it got. */
function largeBody(): { body: string; sha256: string } {
  const body = JSON.stringify({
    model: MODEL,
    prompt: 'word '.repeat(600_000),
    stream: false,
    options: { num_predict: 2 },
  });
  return { body, sha256: createHash('sha256').update(body).digest('hex') };
}

/** The list that came with a request to a node. */
function destinations(headers: Readonly<Record<string, unknown>> = {}): string[] {
  return String(headers[DESTINATION]).split(',');
}

describeReal(realEnvoyGateway(), 'Envoy Gateway with the committed manifests', (path) => {
  let stack: Stack;
  const occupants: RawConnection[] = [];
  beforeAll(async () => {
    stack = await Stack.start(path);
  }, 60_000);
  afterAll(() => stack?.close());
  afterEach(async () => {
    for (const occupant of occupants.splice(0)) occupant.reset();
    await stack.settled();
    stack.fleet.clearRequests();
  });

  const isRouted = () =>
    stack.fleet.inference.map(({ headers }) => headers['x-warmpath-decision'] !== undefined);
  /** Each request went to the first of its list. */
  const expectHeeded = (count: number): void => {
    const first = stack.fleet.inference.map(({ headers }) => destinations(headers)[0]);
    expect(first).toEqual(stack.fleet.inference.map(({ node }) => stack.fleet.node(node).address));
    expect(first.length).toBe(count);
  };
  const servedBy = () => stack.fleet.inference.filter(({ status }) => status === 200).map(({ node }) => node);
  /** Every slot is taken. */
  const occupyAll = async () => {
    for (const _ of stack.fleet.nodes) occupants.push(await stack.occupy());
    stack.fleet.clearRequests();
  };
  const untilWaiting = (count: number) =>
    waitFor(`${count} to wait`, async () => (await stack.plane.status()).line?.length === count);

  const failsOver = () =>
    it.each([
      {
        what: 'answers 500',
        breakIt: (node: SimulatedNode) => node.setFault({ kind: 'reply', status: 500 }),
      },
      {
        what: 'breaks off',
        breakIt: (node: SimulatedNode) => node.setFault({ kind: 'die', afterBytes: 0, how: 'rst' }),
      },
      {
        what: 'refuses connections',
        breakIt: ({ port }: SimulatedNode) => stack.network.withdraw(port),
      },
    ])(
      'goes on to the next node of the list, body and all, where the first one $what',
      async ({ breakIt }) => {
        const { body, sha256 } = largeBody();
        const served = async () => {
          expect((await stack.send('/api/generate', { body })).status).toBe(200);
          const last = stack.fleet.inference.at(-1);
          expect(last).toMatchObject({ status: 200, bodySha256: sha256 });
          return { node: stack.fleet.node(last?.node ?? ''), list: destinations(last?.headers) };
        };
        // Who failed before may not be first again: another one is broken then.
        await waitFor('a request that met the broken node first', async () => {
          const { node } = await served();
          const before = await stack.retries();
          await breakIt(node);
          try {
            const next = await served();
            if (next.list[0] !== node.address) return false;
            expect(next.node.address).toBe(next.list[1]);
            expect(await stack.retries()).toBeGreaterThan(before);
            return true;
          } finally {
            await node.setFault(undefined);
            await stack.network.withdraw(node.port);
            await stack.network.lend(node.port);
          }
        });
      },
    );

  it('sends requests to the node that has the model in memory, with the others as the rest of the list', async () => {
    for (let i = 0; i < 5; i++) expect((await stack.generate()).status).toBe(200);
    expect(servedBy()).toEqual(Array.from({ length: 5 }, () => WARM_NODE));
    const addresses = stack.fleet.nodes.map(({ address }) => address);
    for (const { headers } of stack.fleet.inference) {
      const list = destinations(headers);
      expect(list[0]).toBe(stack.fleet.node(WARM_NODE).address);
      expect(list.toSorted()).toEqual(addresses.toSorted());
    }
  });

  it('passes an answer on while it is being made', async () => {
    const occupant = await stack.occupy();
    occupants.push(occupant);
    await occupant.waitFor(/(?:"response"[\s\S]*?){5}/);
    expect(stack.fleet.node(WARM_NODE).stats().running).toBe(1);
  });

  it('sends requests to the only node that has the model at all', async () => {
    for (let i = 0; i < 4; i++) expect((await stack.generate({ model: RARE.model })).status).toBe(200);
    expect(servedBy()).toEqual([RARE.node, RARE.node, RARE.node, RARE.node]);
  });

  it('is called as it wishes to be', async () => {
    await stack.generate();
    expect((await stack.plane.status()).extProc).toMatchObject({
      profile: 'epp',
      modes: [{ mode: 'buffered' }],
      problems: [],
    });
  });

  it('routes a body of 3 MB and changes nothing in it', async () => {
    const { body, sha256 } = largeBody();
    expect((await stack.send('/api/generate', { body })).status).toBe(200);
    expect(stack.fleet.inference).toMatchObject([{ node: WARM_NODE, bodySha256: sha256 }]);
    expect(isRouted()).toEqual([true]);
  });

  it('lets no client choose the node, nor how often it is tried', async () => {
    for (const { address } of stack.fleet.nodes) {
      const headers = { [DESTINATION]: address, 'x-envoy-max-retries': '0', 'x-warmpath-decision': 'forged' };
      expect((await stack.generate({}, { headers })).status).toBe(200);
    }
    expect(servedBy()).toEqual([WARM_NODE, WARM_NODE, WARM_NODE]);
    const sent = stack.fleet.inference.flatMap(({ headers }) => Object.entries(headers));
    expect(sent.filter(([name, value]) => name.startsWith('x-envoy-max') || value === 'forged')).toEqual([]);
  });

  it('keeps keys of clients from nodes, and calls them by a name that they accept', async () => {
    const headers = {
      authorization: 'Bearer a-key',
      'x-api-key': 'a-key',
      cookie: 'a=1',
      'x-warmpath-class': 'batch',
    };
    expect((await stack.generate({}, { headers })).status).toBe(200);
    const [seen] = stack.fleet.inference;
    expect(Object.keys(seen?.headers ?? {}).filter((name) => name in headers)).toEqual([]);
    expect(seen?.headers.host).toBe('localhost');
  });

  it('lets only inference and reads reach a node', async () => {
    for (const [method, asked] of [
      ['POST', '/api/pull'],
      ['POST', '//api/pull'],
      ['POST', '/api/chat/../pull'],
      ['DELETE', '/api/delete'],
      ['GET', '/api/chat'],
      ['POST', '/api/tags'],
    ] as const) {
      const answer = await stack.send(asked, { method, ...(method === 'GET' ? {} : { body: {} }) });
      expect(answer.status, `${method} ${asked}`).toBe(404);
    }
    expect(stack.fleet.forbidden).toEqual([]);
    expect((await stack.send('/api/tags')).json()).toMatchObject({ models: [{}, {}] });
    expect((await stack.send(`/v1/models/${MODEL}`)).json()).toMatchObject({
      id: MODEL,
      object: 'model',
    });
  });

  it.each([
    {
      path: '/v1/chat/completions',
      error: { error: { type: 'not_found_error', code: 'model_not_found' } },
    },
    { path: '/v1/messages', error: { type: 'error', error: { type: 'not_found_error' } } },
    { path: '/api/chat', error: { error: expect.stringContaining('not found') } },
  ])('refuses on $path in the words of that API', async ({ path: asked, error }) => {
    const answer = await stack.send(asked, { body: { model: 'nobody-has-it', max_tokens: 5, messages: [] } });
    expect(answer.status).toBe(404);
    expect(answer.json()).toMatchObject(error);
    expect(stack.fleet.inference).toEqual([]);
  });

  failsOver();

  describe('where every slot is taken', () => {
    beforeAll(() => stack.warmAll());

    it('holds a request while every slot is taken, and sends it to the one that is freed', async () => {
      await occupyAll();
      const waiting = stack.generate();
      await untilWaiting(1);
      expect(stack.fleet.inference).toEqual([]);
      occupants.pop()?.reset();
      expect((await waiting).status).toBe(200);
      expect(isRouted()).toEqual([true]);
    });

    it.each([
      { path: '/v1/chat/completions', status: 429, error: { error: { code: 'no_slot_in_time' } } },
      { path: '/api/chat', status: 503, error: { error: expect.stringContaining('server busy') } },
    ])('refuses on $path with $status who waited for too long', async ({ path: asked, status, error }) => {
      await occupyAll();
      const body = { model: MODEL, messages: [{ role: 'user', content: 'hello' }] };
      const answer = await stack.send(asked, { body, headers: { 'x-warmpath-deadline': '300ms' } });
      expect(answer.status).toBe(status);
      expect(answer.json()).toMatchObject(error);
      expect(stack.fleet.inference).toEqual([]);
    });

    it('leaves nothing behind of a client that hangs up while it waits', async () => {
      await occupyAll();
      const leaving = new AbortController();
      const gone = stack.generate({}, { signal: leaving.signal }).catch(() => 'gone');
      await untilWaiting(1);
      leaving.abort();
      expect(await gone).toBe('gone');
      await untilWaiting(0);
      expect(stack.fleet.inference).toEqual([]);
    });

    it('goes on without the control plane over all nodes, where clients choose none either, and asks it again when it is back', async () => {
      await occupyAll();
      const waiting = stack.generate();
      await untilWaiting(1);
      await stack.plane.kill();
      for (const occupant of occupants.splice(0)) occupant.reset();
      expect((await waiting).status).toBe(200);
      stack.fleet.clearRequests();
      const headers = { [DESTINATION]: stack.fleet.nodes[0]?.address ?? '' };
      for (let i = 0; i < 12; i++) expect((await stack.generate({}, { headers })).status).toBe(200);
      expect(new Set(isRouted())).toEqual(new Set([false]));
      expect(new Set(servedBy()).size).toBeGreaterThan(1);
      const retries = await stack.retries();
      const rare = [];
      for (let i = 0; i < 12; i++) rare.push((await stack.generate({ model: RARE.model })).status);
      expect(rare).toContain(200);
      expect(await stack.retries()).toBeGreaterThan(retries);
      expect((await stack.send('/api/pull', { body: {} })).status).toBe(404);
      await stack.plane.resume();
      await stack.untilRouted();
    });
  });

  it('takes nodes by name', async () => {
    const isLive = (dump: string): boolean => dump.includes('"address": "localhost"');
    await stack.apply(['variants/nodes-by-name.yaml'], isLive);
    for (let i = 0; i < 6; i++) expect((await stack.generate()).status).toBe(200);
    expectHeeded(6);
  });

  describe('in the variant for bodies in pieces', () => {
    const isDuplex = (dump: string): boolean => dump.includes('FULL_DUPLEX_STREAMED');
    beforeAll(() => stack.apply(['variants/duplex.yaml'], isDuplex));

    it('routes bodies of 3 MB and changes nothing in them', async () => {
      const { body, sha256 } = largeBody();
      for (let i = 0; i < 6; i++) expect((await stack.send('/api/generate', { body })).status).toBe(200);
      expectHeeded(6);
      for (const { bodySha256 } of stack.fleet.inference) expect(bodySha256).toBe(sha256);
    });

    it('passes an answer on while it is being made', async () => {
      const occupant = await stack.occupy();
      occupants.push(occupant);
      await occupant.waitFor(/(?:"response"[\s\S]*?){5}/);
      expect(stack.fleet.nodes.filter((node) => node.stats().running > 0).length).toBe(1);
    });

    failsOver();

    it('serves nobody without the control plane', async () => {
      await stack.plane.kill();
      expect((await stack.generate()).status).toBe(503);
      expect(stack.fleet.inference).toEqual([]);
      await stack.plane.resume();
      await stack.untilRouted();
    });
  });

  it('asks a control plane in the cluster, by name and with a certificate that nobody signed', async () => {
    await stack.startAfresh({ extProc: { tls: 'self-signed' } });
    await stack.apply(['variants/control-plane-service.yaml'], (dump) => dump.includes('"h2"'));
    await stack.untilRouted();
    expect((await stack.generate()).status).toBe(200);
    expect(servedBy()).toEqual([WARM_NODE]);
    expect(isRouted()).toEqual([true]);
  });
});
