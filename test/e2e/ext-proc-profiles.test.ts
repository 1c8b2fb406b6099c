import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { DECISION } from '../unit/envoy/processor/fakes.ts';
import { answerOk, ScriptedNode } from './dataplane/scripted-node.ts';
import { FILTERS, GatewayEnvoy } from './ext-proc/gateway-envoy.ts';
import { Picker } from './ext-proc/pickers.ts';

const GENERATE = '/api/generate';
const RETRIES = 2;

describeReal(await realEnvoy(), 'gateways of others', (binary) => {
  const nodes = { a: new ScriptedNode(), b: new ScriptedNode(), c: new ScriptedNode() };
  const all = Object.values(nodes);
  let dir: string;
  let envoy: GatewayEnvoy;
  let list: Picker;
  let single: Picker;
  let dead: string;
  let rude: Server;
  /** Between Envoy and the picker of lists. */
  let wire: FaultProxy;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'warmpath-gw-'));
    for (const node of all) await node.start();
    const deadPort = await freePort();
    dead = `127.0.0.1:${deadPort}`;
    // Breaks off as soon as the headers are there, while the body is still under way.
    rude = createServer((request) => request.socket.destroy()).listen(0, '127.0.0.1');
    list = new Picker({ profile: 'epp', minEndpoints: () => RETRIES + 1 });
    single = new Picker({ profile: 'epp-single' });
    await Promise.all([list.start(), single.start()]);
    wire = new FaultProxy(`http://127.0.0.1:${list.port}`);
    await wire.open();
    const good = all.map(({ port }) => port);
    const common = { service: Number(new URL(wire.url).port), retries: RETRIES };
    envoy = await GatewayEnvoy.start(
      binary,
      dir,
      [
        { ...common, name: 'istio', extProc: FILTERS.istio, destination: 'metadata' },
        ...Object.entries(MODES).flatMap(([name, mode]) => [
          {
            ...common,
            name,
            bufferBytes: 1024 * 1024,
            nodePorts: good,
            extProc: inMode(mode, false),
            destination: 'header' as const,
          },
          {
            ...common,
            name: `${name}-overridable`,
            extProc: inMode(mode, true),
            destination: 'header' as const,
          },
        ]),
        { ...common, name: 'eager', extProc: EAGER, destination: 'header' },
        { ...common, name: 'envoy-gateway', extProc: FILTERS.envoyGateway, destination: 'header' },
        {
          ...common,
          name: 'ai-gateway',
          service: single.port,
          extProc: FILTERS.aiGateway,
          destination: 'original_dst',
        },
      ],
      [...good, deadPort, rudePort()],
    );
  });
  afterAll(async () => {
    await envoy?.stop();
    await wire.close();
    await Promise.all([list.stop(), single.stop()]);
    for (const node of all) await node.stop();
    rude.close();
    await rm(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    for (const node of all) {
      node.received.length = 0;
      node.script = answerOk;
    }
    for (const picker of [list, single]) {
      picker.seen.length = 0;
      picker.problems.length = 0;
    }
  });

  const rudePort = () => (rude.address() as AddressInfo).port; // a TCP server's address is never a string
  const pickerOf = (gateway: string) => (gateway === 'ai-gateway' ? single : list);
  const post = (gateway: string, body: string) =>
    fetch(envoy.url(gateway) + GENERATE, { method: 'POST', body });
  /** Which nodes were asked, in which order they stand, and whether each got the body once and whole. */
  const asked = (body: string) =>
    Object.entries(nodes).flatMap(([name, { received }]) =>
      received.map(
        (request) => `${name} ${request.body.toString() === body ? 'whole' : request.body.length}`,
      ),
    );

  describe.each(['istio', 'envoy-gateway', 'ai-gateway'])('%s', (gateway) => {
    it('takes each request to the node that was picked, whatever the length of its body', async () => {
      const picker = pickerOf(gateway);
      for (const [name, node] of Object.entries(nodes)) {
        picker.send(node.address, dead);
        for (const size of [1, 62_000, 200_000, 8 * 1024 * 1024]) {
          const body = chat(size);
          const reply = await post(gateway, body);
          expect(await reply.json()).toEqual({ ok: true });
          expect(asked(body)).toEqual([`${name} whole`]);
          node.received.length = 0;
        }
      }
      expect(picker.problems).toEqual([]);
      expect(picker.log.count('error')).toBe(0);
    });

    it('gives the client each piece of an answer before the next one is made', async () => {
      let answer: ServerResponse | undefined;
      nodes.a.script = (_request, response) => {
        answer = response;
        response.setHeader('content-type', 'application/x-ndjson');
        response.write('one\n');
      };
      pickerOf(gateway).send(nodes.a.address);
      const reply = await post(gateway, chat(10));
      const reader = reply.body?.getReader();
      const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
      expect(await next()).toBe('one\n');
      answer?.write('two\n');
      expect(await next()).toBe('two\n');
      answer?.end('three\n');
      expect(await next()).toBe('three\n');
      expect((await reader?.read())?.done).toBe(true);
      await waitFor('the end to be noticed', () => pickerOf(gateway).seen.includes('over'));
      expect(pickerOf(gateway).seen).toContain('headers');
    });

    it('gives large answers whole', async () => {
      const text = 'é0123456789'.repeat(300_000);
      nodes.b.script = (_request, response) => response.end(text);
      pickerOf(gateway).send(nodes.b.address);
      expect((await (await post(gateway, chat(10))).text()) === text).toBe(true);
    });

    it('tells the client of a refusal in words of its API', async () => {
      const reply = await fetch(`${envoy.url(gateway)}/v1/chat/completions`, {
        method: 'POST',
        body: 'nonsense',
      });
      expect(reply.status).toBe(400);
      expect(await reply.json()).toMatchObject({ error: { code: 'invalid_json' } });
      expect((await fetch(`${envoy.url(gateway)}/api/pull`, { method: 'POST', body: '{}' })).status).toBe(
        403,
      );
      expect((await fetch(`${envoy.url(gateway)}/api/tags`)).status).toBe(200);
      expect(asked('')).toEqual([]);
    });

    it('ends the request at once when its client hangs up', async () => {
      nodes.a.script = (_request, response) => void response.write('one\n');
      const picker = pickerOf(gateway);
      picker.send(nodes.a.address);
      const client = new AbortController();
      const reply = await fetch(envoy.url(gateway) + GENERATE, {
        method: 'POST',
        body: chat(10),
        signal: client.signal,
      });
      await reply.body?.getReader().read();
      const before = picker.router.finished.length;
      client.abort();
      await waitFor('the lease to end', () => picker.router.finished.length > before);
    });
  });

  describe.each(['istio', 'envoy-gateway'])('%s walks the list', (gateway) => {
    it.each([
      { name: 'from one that cannot be reached', first: () => dead, size: 3_000_000 },
      {
        name: 'from one that breaks off while the body is under way',
        first: () => `127.0.0.1:${rudePort()}`,
        size: 8_000_000,
      },
    ])('$name, and the next one gets the body once', async ({ first, size }) => {
      list.send(first(), nodes.b.address);
      const body = chat(size);
      expect((await post(gateway, body)).status).toBe(200);
      expect(asked(body)).toEqual(['b whole']);
    });

    it('from one that fails after it read all, and the next one gets the body once', async () => {
      nodes.a.script = (_request, response) => response.writeHead(500).end();
      list.send(nodes.a.address, nodes.c.address);
      const body = chat(1_000_000);
      expect((await post(gateway, body)).status).toBe(200);
      expect(asked(body)).toEqual(['a whole', 'c whole']);
    });

    it('and does not leave it where it is shorter than the retries', async () => {
      nodes.a.script = (_request, response) => response.writeHead(500).end();
      list.send(nodes.a.address);
      for (let i = 0; i < 4; i++) expect((await post(gateway, '{"model":"m"}')).status).toBe(500);
      expect(asked('{"model":"m"}')).toEqual(Array.from({ length: 4 * (RETRIES + 1) }, () => 'a whole'));
    });
  });

  it('istio takes a body that was changed, at its new length', async () => {
    list.router.answer = () => ({
      ...DECISION,
      addresses: [nodes.a.address],
      edits: [{ field: 'model', to: 'qwen3:32b' }],
    });
    const body = chat(100_000);
    expect((await post('istio', body)).status).toBe(200);
    expect(asked(body.replace('"m"', '"qwen3:32b"'))).toEqual(['a whole']);
  });

  it.each([
    { name: 'none-overridable', problem: undefined },
    { name: 'streamed-overridable', problem: undefined },
    { name: 'partial-overridable', problem: undefined },
    { name: 'none', problem: 'request_body_not_sent' },
    { name: 'streamed', problem: 'request_body_streamed' },
    { name: 'partial', problem: 'request_body_partial' },
  ])('a filter set to $name: routed, or passed on whole with the problem said', async ({ name, problem }) => {
    list.send(nodes.c.address);
    const body = chat(8_000_000);
    for (let i = 0; i < 3; i++) expect((await post(name, body)).status).toBe(200);
    if (problem === undefined) expect(asked(body)).toEqual(['c whole', 'c whole', 'c whole']);
    else expect(asked(body).toSorted()).toEqual(['a whole', 'b whole', 'c whole']);
    expect([...new Set(list.problems)]).toEqual(problem === undefined ? [] : [problem]);
  });

  it('a filter that streams bodies without waiting is answered late: short bodies are routed, changed where due', async () => {
    list.send(nodes.b.address);
    const body = chat(1_000);
    for (let i = 0; i < 3; i++) expect((await post('eager', body)).status).toBe(200);
    expect(asked(body)).toEqual(['b whole', 'b whole', 'b whole']);
    list.router.answer = () => ({
      ...DECISION,
      addresses: [nodes.c.address],
      edits: [{ field: 'model', to: 'qwen3:32b' }],
    });
    expect((await post('eager', body)).status).toBe(200);
    expect(asked(body.replace('"m"', '"qwen3:32b"'))).toContain('c whole');
    expect(list.problems).toEqual([]);
    expect((await post('eager', chat(100_000))).status).toBe(200);
    expect(list.problems).toEqual(['request_body_streamed']);
  });

  it('Envoy 1.40 sends a streamed body twice where trailers follow it and the route retries', async () => {
    list.send(nodes.a.address);
    const session = connect(envoy.url('istio'));
    const request = session.request({ ':method': 'POST', ':path': GENERATE }, { waitForTrailers: true });
    request.on('wantTrailers', () => request.sendTrailers({ 'x-checksum': '1' }));
    request.resume().end(chat(10));
    await once(request, 'close');
    session.close();
    expect(nodes.a.received.map(({ body }) => body.toString())).toEqual([chat(10) + chat(10)]);
  });

  // Last: it takes the control plane away.
  it('without the control plane: what was buffered goes on over any node, answers too; what streamed through it fails', async () => {
    const answers: ServerResponse[] = [];
    nodes.a.script = (_request, response) => {
      answers.push(response);
      response.write('one\n');
    };
    list.send(nodes.a.address);
    const running = {
      buffered: await post('envoy-gateway', chat(10)),
      duplex: await post('istio', chat(10)),
    };
    wire.refuse();
    await waitFor('its streams to be gone', () => list.telemetry.closed === list.telemetry.opened);
    for (const answer of answers) answer.end('two\n');
    expect(await running.buffered.text()).toBe('one\ntwo\n');
    await expect(running.duplex.text()).rejects.toThrow();
    nodes.a.script = answerOk;
    for (let i = 0; i < 4; i++) expect((await post('envoy-gateway', chat(10))).status).toBe(200);
    // Envoy has given the body away and has none that could go on, whatever `failure_mode_allow` says.
    expect((await post('istio', chat(10))).status).toBe(500);
    expect((await fetch(`${envoy.url('istio')}/api/version`)).status).toBe(200);
    expect(envoy.isRunning).toBe(true);
  });
});

function chat(size: number): string {
  return `{"model":"m","prompt":"${'x'.repeat(size)}"}`;
}

const MODES = { none: 'NONE', streamed: 'STREAMED', partial: 'BUFFERED_PARTIAL' };

function inMode(request_body_mode: string, allow_mode_override: boolean): object {
  const { processing_mode, ...filter } = FILTERS.envoyGateway;
  return { ...filter, allow_mode_override, processing_mode: { ...processing_mode, request_body_mode } };
}

const EAGER = {
  ...inMode('STREAMED', false),
  send_body_without_waiting_for_header_response: true,
};
