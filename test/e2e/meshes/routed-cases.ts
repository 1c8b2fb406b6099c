import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { chatBody, type MeshRig, SLOTS, WARM, WARM_NODE } from './rig.ts';

const DESTINATION = 'x-gateway-destination-endpoint';

export interface CaseOptions {
  /** What a path that is no inference is answered: 403 by a denying route, 404 where there is no route at all. */
  readonly refusal: 403 | 404;
  /** Bodies stream through Warmpath in both directions: Envoy does not go on with a request, or an answer, without it. */
  readonly isDuplex?: boolean;
}

/** What every proxy must do with Warmpath beside it. In this order: the last cases end nodes and the control plane. */
export function routedCases(rig: () => MeshRig, { refusal, isDuplex = false }: CaseOptions): void {
  it('sends every request to the node that has the model in memory', async () => {
    for (let i = 0; i < 5; i++) {
      expect(await rig().chat()).toMatchObject({ status: 200, node: WARM_NODE, isRouted: true });
    }
  });

  it('passes an answer on piece by piece', async () => {
    const answer = await rig().chat({ stream: true, options: { num_predict: 60 } });
    expect(answer).toMatchObject({ status: 200, node: WARM_NODE, isComplete: true });
    expect(answer.chunks.length).toBeGreaterThan(5);
    expect(answer.lines().at(-1)).toMatchObject({ done: true });
  });

  it('routes a body of 3 MB and changes nothing in it', async () => {
    const body = JSON.stringify({
      model: WARM,
      stream: false,
      messages: [{ role: 'user', content: 'word '.repeat(600_000) }],
      options: { num_predict: 4 },
    });
    rig().fleet.clearRequests();
    const answer = await rig().send('/api/chat', { body });
    expect(answer.status).toBe(200);
    const [request] = rig().fleet.inference;
    expect(request).toMatchObject({
      node: WARM_NODE,
      bodySha256: createHash('sha256').update(body).digest('hex'),
    });
    expect(request?.headers['x-warmpath-decision']).toBeDefined();
  });

  it('lets no client choose the node', async () => {
    for (const { name, address } of rig().fleet.nodes) {
      const answer = await rig().chat({}, { [DESTINATION]: address });
      expect(answer, `asked for ${name}`).toMatchObject({ status: 200, node: WARM_NODE });
    }
  });

  it('shows nodes neither the list nor what clients are known by', async () => {
    const secrets = { authorization: 'Bearer secret', 'x-api-key': 'secret', cookie: 'a=secret' };
    await rig().chat({}, { ...secrets, [DESTINATION]: '192.0.2.1:80' });
    const [request] = rig().fleet.inference;
    expect(request?.headers['x-warmpath-decision']).toBeDefined();
    for (const name of [...Object.keys(secrets), DESTINATION]) expect(request?.headers[name]).toBeUndefined();
  });

  it('tells Warmpath which node served, and when the request is over', async () => {
    await rig().chat();
    await expect
      .poll(async () => (await rig().warmpath.status()).nodes.map(({ name, inflight }) => [name, inflight]))
      .toEqual([
        ['n1', 0],
        ['n2', 0],
        ['n3', 0],
      ]);
    const counted = (name: string): Promise<number> => rig().warmpath.metric(name, { node: WARM_NODE });
    await expect.poll(() => counted('warmpath_attempts_total')).toBeGreaterThan(0);
    // Tokens stand at the end of answers' bodies, which only duplex filters send.
    if (isDuplex) await expect.poll(() => counted('warmpath_tokens_total')).toBeGreaterThan(0);
    else expect(await counted('warmpath_tokens_total')).toBe(0);
  });

  it('lets only inference and reads reach a node', async () => {
    for (const [method, path] of [
      ['POST', '/api/pull'],
      ['DELETE', '/api/delete'],
      ['POST', '//api/pull'],
      ['POST', '/api/chat/../pull'],
      ['GET', '/api/chat'],
      ['PUT', '/api/chat'],
    ] as const) {
      const answer = await rig().send(path, { method, ...(method === 'GET' ? {} : { body: {} }) });
      expect(answer.status, `${method} ${path}`).toBe(refusal);
    }
    expect(rig().fleet.forbidden).toEqual([]);
    expect((await rig().send('/api/tags')).json()).toMatchObject({ models: [{ name: WARM }] });
  });

  it('shows clients what Warmpath itself answers as what it is', async () => {
    const models = await rig().send('/v1/models');
    expect([models.status, models.headers['content-type']]).toEqual([200, 'application/json']);
    const unknown = await rig().send('/v1/chat/completions', {
      body: { ...chatBody(), model: 'unheard-of' },
    });
    expect(unknown).toMatchObject({
      status: 404,
      headers: { 'content-type': 'application/json; charset=utf-8', 'x-warmpath-error': 'model_not_found' },
    });
    expect(unknown.json()).toMatchObject({ error: { code: 'model_not_found' } });
  });

  it('goes to the next node of the list when the first one dies, with the whole body', async () => {
    const node = rig().fleet.node(WARM_NODE);
    node.kill();
    const fields = { messages: [{ role: 'user', content: 'word '.repeat(60_000) }] };
    const answer = await rig().chat(fields);
    expect(answer).toMatchObject({
      status: 200,
      isRouted: true,
      bodySha256: createHash('sha256')
        .update(JSON.stringify(chatBody(fields)))
        .digest('hex'),
    });
    expect(answer.node).not.toBe(WARM_NODE);
    await node.start();
  });

  // What is asked again after an answer is the proxy's own matter where Warmpath has the body.
  if (!isDuplex)
    it('goes to the next node when the first one answers 503', async () => {
      const { node: first = '' } = await rig().chat();
      await rig().fleet.node(first).setFault({ kind: 'reply', status: 503, on: '/api/chat', times: 1 });
      const isMet = (): boolean => rig().fleet.inference.some(({ status }) => status === 503);
      let answer = await rig().chat();
      // Others may have the model in memory too by now.
      for (let i = 0; i < 20 && !isMet(); i++) answer = await rig().chat();
      expect(rig().fleet.inference.map(({ node, status }) => [node, status])).toEqual([
        [first, 503],
        [answer.node, 200],
      ]);
      expect(answer).toMatchObject({ status: 200, isRouted: true });
      expect(answer.node).not.toBe(first);
    });

  it(`${isDuplex ? 'breaks off' : 'finishes'} the answers under way when Warmpath dies`, async () => {
    const running = rig().chat({ stream: true, options: { num_predict: 400 } });
    await expect.poll(() => rig().fleet.inference.some(({ tokens }) => tokens > 0)).toBe(true);
    await rig().warmpath.kill();
    expect((await running).isComplete).toBe(!isDuplex);
  });

  if (isDuplex) refusesWithoutWarmpath(rig);
  else goesOnWithoutWarmpath(rig);

  it('lets only inference and reads reach a node without Warmpath too', async () => {
    expect((await rig().send('/api/pull', { body: {} })).status).toBe(refusal);
    expect((await rig().send('/api/tags')).status).toBe(200);
    expect(rig().fleet.forbidden).toEqual([]);
  });

  it('routes again when Warmpath is back', async () => {
    await rig().warmpath.resume();
    await rig().untilRouted();
  });
}

function goesOnWithoutWarmpath(rig: () => MeshRig): void {
  it('goes on without Warmpath, over all nodes, and a client still cannot choose', async () => {
    const [first] = rig().fleet.nodes;
    const served = new Set<string | undefined>();
    for (let i = 0; i < 16; i++) {
      const answer = await rig().chat({}, { [DESTINATION]: first?.address ?? '' });
      expect(answer).toMatchObject({ status: 200, isRouted: false });
      served.add(answer.node);
    }
    expect(served.size).toBeGreaterThan(1);
  });
}

function refusesWithoutWarmpath(rig: () => MeshRig): void {
  it('answers 500 to requests with a body without Warmpath, whatever its failure mode', async () => {
    expect((await rig().chat()).status).toBe(500);
  });
}

/** After all others, as it leaves the model in memory everywhere. */
export function waitingCase(rig: () => MeshRig): void {
  it('lets a request wait in the line for a slot, for longer than Envoy waits by itself', async () => {
    const all = 3 * SLOTS;
    await Promise.all(rig().fleet.nodes.map((node) => node.load(WARM)));
    const running = async (): Promise<number> =>
      (await rig().warmpath.status()).nodes.reduce((sum, { inflight }) => sum + inflight, 0);
    const body = chatBody({ stream: true, options: { num_predict: 1_500 } });
    const first = Array.from({ length: all }, () => rig().send('/api/chat', { body }));
    await expect.poll(running).toBe(all);
    const hurried = await rig().send('/api/chat', { body, headers: { 'x-warmpath-deadline': '100ms' } });
    expect(hurried).toMatchObject({
      status: 503,
      headers: { 'retry-after': expect.stringMatching(/^\d+$/) },
    });
    const last = await rig().chat();
    expect(last).toMatchObject({ status: 200, isRouted: true });
    expect(last.totalMs).toBeGreaterThan(500);
    for (const { status } of await Promise.all(first)) expect(status).toBe(200);
  });
}
