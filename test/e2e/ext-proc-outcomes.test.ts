import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/app/system-clock.ts';
import type { AnswerRecorder, AttemptReport, Outcome } from '../../src/app/types.ts';
import { watchAnswers } from '../../src/envoy/processor/answer-observer.ts';
import { RouterError } from '../../src/request/errors.ts';
import { COUNTED_ANSWERS, last, lines, NDJSON } from '../support/counted-answers.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { DECISION } from '../unit/envoy/processor/fakes.ts';
import { ScriptedNode } from './dataplane/scripted-node.ts';
import { FILTERS, GatewayEnvoy } from './ext-proc/gateway-envoy.ts';
import { Picker } from './ext-proc/pickers.ts';

const TYPE = 'type.googleapis.com/envoy.extensions.filters.http';
const HINT = '127.0.0.1:1,127.0.0.2';
const BODY = JSON.stringify({ model: 'm', prompt: 'x'.repeat(40_000) });

/** What the stream told, as the recorder hears it. */
class Recorder implements AnswerRecorder {
  readonly failed: AttemptReport[] = [];
  readonly served: string[] = [];
  readonly ended: Outcome[] = [];
  attemptFailed(report: AttemptReport): void {
    this.failed.push(report);
  }
  servedBy(_id: string, address: string): void {
    this.served.push(address);
  }
  requestEnded(outcome: Outcome): void {
    this.ended.push(outcome);
  }
}

describeReal(await realEnvoy(), 'what a gateway’s stream tells of a request', (binary) => {
  const [a, b] = [new ScriptedNode(), new ScriptedNode()];
  const recorder = new Recorder();
  let dir: string;
  let dead: string;
  let picker: Picker;
  let envoy: GatewayEnvoy;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'warmpath-outcomes-'));
    await Promise.all([a.start(), b.start()]);
    const deadPort = await freePort();
    dead = `127.0.0.1:${deadPort}`;
    picker = new Picker({
      profile: 'epp',
      // Or a second try would leave a list of one.
      minEndpoints: () => 2,
      testNodes: () => [a.address, b.address],
      watchAnswer: (head, modes) =>
        watchAnswers({
          recorder,
          clock: systemClock,
          log: picker.log,
          onProblem: (problem) => picker.problems.push(problem),
        })(head, modes),
    });
    await picker.start();
    const common = { service: picker.port, retries: 1 };
    const told = [
      'upstream.address',
      'upstream.request_attempt_count',
      'response.code_details',
      'response.flags',
    ];
    const hint = { 'x-gateway-destination-endpoint-subset': HINT };
    const namespace = 'envoy.lb.subset_hint';
    envoy = await GatewayEnvoy.start(
      binary,
      dir,
      [
        { ...common, name: 'metadata', extProc: FILTERS.istio, destination: 'metadata' },
        {
          ...common,
          name: 'attributes',
          destination: 'header',
          extProc: {
            ...FILTERS.envoyGateway,
            response_attributes: told,
            processing_mode: { ...FILTERS.envoyGateway.processing_mode, response_body_mode: 'STREAMED' },
          },
        },
        { ...common, name: 'headers', extProc: FILTERS.envoyGateway, destination: 'header' },
        {
          ...common,
          name: 'subset',
          destination: 'metadata',
          extProc: {
            ...FILTERS.istio,
            metadata_options: {
              ...FILTERS.istio.metadata_options,
              forwarding_namespaces: { untyped: ['envoy.lb', namespace] },
            },
          },
          before: [
            {
              name: 'subset',
              typed_config: {
                '@type': `${TYPE}.set_metadata.v3.Config`,
                metadata: [{ metadata_namespace: namespace, value: hint }],
              },
            },
          ],
        },
      ],
      [a.port, b.port, deadPort],
    );
  });
  afterAll(async () => {
    await envoy?.stop();
    await picker?.stop();
    await Promise.all([a.stop(), b.stop()]);
    await rm(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    for (const list of [
      recorder.failed,
      recorder.served,
      recorder.ended,
      picker.problems,
      picker.router.routed,
    ])
      list.length = 0;
    for (const node of [a, b]) node.script = (_request, response) => stream(response, lines(20) + last);
  });

  type Response = Parameters<ScriptedNode['script']>[1];
  const stream = (response: Response, text: string): void => {
    response.writeHead(200, { 'content-type': NDJSON });
    for (let at = 0; at < text.length; at += 150) response.write(text.slice(at, at + 150));
    response.end();
  };
  const post = (gateway: string, signal?: AbortSignal) =>
    fetch(`${envoy.url(gateway)}/api/generate`, { method: 'POST', body: BODY, ...(signal && { signal }) });
  const outcome = async (): Promise<Outcome> => {
    await waitFor('the end to be heard of', () => recorder.ended.length > 0);
    const [only] = recorder.ended;
    if (only === undefined) throw new Error('nothing was heard');
    return only;
  };
  const failures = () => recorder.failed.map(({ address, reason }) => `${address} ${reason}`);

  describe.each(['metadata', 'attributes'])('where it tells %s', (gateway) => {
    it('is who answered, how it ended, what it cost', async () => {
      picker.send(a.address, b.address);
      await (await post(gateway)).text();
      const { decisionId, status, address, attempts, end, usage, responseBytes, firstByteMs, totalMs } =
        await outcome();
      expect({ decisionId, status, address, attempts, end, responseBytes }).toEqual({
        decisionId: DECISION.id,
        status: 200,
        address: a.address,
        attempts: 1,
        end: 'complete',
        responseBytes: lines(20).length + last.length,
      });
      expect(usage).toMatchObject({
        promptTokens: 30,
        completionTokens: 4,
        loadMs: 1.828435,
        sawError: false,
      });
      expect(totalMs).toBeGreaterThanOrEqual(firstByteMs ?? Number.NaN);
      expect([recorder.served, failures(), picker.problems]).toEqual([[a.address], [], []]);
    });

    it('is that a node was passed over on the way to the one that answered', async () => {
      picker.send(dead, b.address);
      await (await post(gateway)).text();
      expect(await outcome()).toMatchObject({ address: b.address, attempts: 2, end: 'complete' });
      expect(recorder.served).toEqual([b.address]);
      expect(failures()).toEqual([`${dead} unexplained`]);
    });

    it('is that all of them failed, with the words of the last', async () => {
      for (const node of [a, b])
        node.script = (_request, response) =>
          response.writeHead(503, { 'retry-after': '3' }).end('{"error":"busy"}');
      picker.send(a.address, b.address);
      expect((await post(gateway)).status).toBe(503);
      expect(await outcome()).toMatchObject({ status: 503, end: 'failed', attempts: 2, address: b.address });
      expect(failures()).toEqual([`${a.address} unexplained`, `${b.address} busy`]);
      expect(recorder.failed[1]).toMatchObject({ status: 503, retryAfterMs: 3_000 });
    });

    it('is that nobody was there', async () => {
      picker.send(dead);
      expect((await post(gateway)).status).toBe(503);
      expect(await outcome()).toMatchObject({ status: 503, end: 'failed', address: dead });
      expect(failures()).toEqual([`${dead} ${gateway === 'attributes' ? 'refused' : 'unexplained'}`]);
    });

    it('is an error inside an answer', async () => {
      a.script = (_request, response) => stream(response, `${lines(3)}{"error":"unexpected EOF"}\n`);
      picker.send(a.address);
      await (await post(gateway)).text();
      expect(await outcome()).toMatchObject({ status: 200, end: 'in_band_error', address: a.address });
    });

    it('is that the client left in the middle, at once', async () => {
      a.script = (_request, response) => {
        response.writeHead(200, { 'content-type': NDJSON });
        response.write(lines(2));
      };
      picker.send(a.address);
      const abort = new AbortController();
      const reply = await post(gateway, abort.signal);
      await reply.body?.getReader().read();
      expect(recorder.served).toEqual([a.address]);
      abort.abort();
      expect(await outcome()).toMatchObject({ status: 200, end: 'client_gone', address: a.address });
      expect(failures()).toEqual([]);
    });

    it('is that the client left before anything came', async () => {
      a.script = () => abort.abort();
      const abort = new AbortController();
      picker.send(a.address);
      await post(gateway, abort.signal).catch(() => undefined);
      expect(await outcome()).toMatchObject({ status: 0, end: 'client_gone', address: a.address });
    });

    it('is that an answer broke off: nothing is learnt from it, whoever broke it', async () => {
      a.script = (_request, response) => {
        response.writeHead(200, { 'content-type': NDJSON });
        response.write(lines(2), () => response.destroy());
      };
      picker.send(a.address);
      const reply = await post(gateway);
      await reply.text().catch(() => undefined);
      const { end, usage } = await outcome();
      expect(['client_gone', 'truncated', 'in_band_error']).toContain(end);
      expect(usage.completionTokens).toBeUndefined();
    });

    it('is what we answered ourselves', async () => {
      picker.router.answer = () => {
        throw new RouterError('no_slot_in_time', 'busy');
      };
      const { status } = await post(gateway);
      expect(await outcome()).toMatchObject({
        status,
        details: 'warmpath_no_slot_in_time',
        end: 'refused',
        decisionId: undefined,
      });
    });

    it.each(COUNTED_ANSWERS.filter(({ status }) => status === undefined))(
      'is the figures in $name',
      async ({ type, body, want }) => {
        a.script = (_request, response) => response.writeHead(200, { 'content-type': type }).end(body);
        picker.send(a.address);
        await (await post(gateway)).text();
        const { usage } = await outcome();
        const number = (name: string) => (typeof want[name] === 'number' ? want[name] : undefined);
        expect([usage.promptTokens, usage.completionTokens, usage.sawError]).toEqual([
          number('prompt_tokens'),
          number('completion_tokens'),
          want.error === true,
        ]);
      },
    );
  });

  it('is little where it shows headers only: whom the first of the list is taken for, and when', async () => {
    picker.send(a.address, b.address);
    await (await post('headers')).text();
    expect(await outcome()).toMatchObject({
      status: 200,
      end: 'complete',
      address: a.address,
      responseBytes: 0,
    });
    expect(picker.problems).toEqual(['served_endpoint_not_told']);
  });

  it('is which endpoints it allows, as another of its filters wrote them', async () => {
    picker.send(a.address);
    await (await post('subset')).text();
    expect(picker.router.routed.map(({ among }) => [...(among ?? [])])).toEqual([
      ['127.0.0.1:1', '127.0.0.2'],
    ]);
  });

  it.each(['metadata', 'attributes'])(
    'goes where a conformance test says, and tells who served it (%s)',
    async (gateway) => {
      const headers = { 'test-epp-endpoint-selection': `127.0.0.9,${b.address}` };
      for (const body of [undefined, BODY]) {
        b.received.length = 0;
        const method = body === undefined ? 'GET' : 'POST';
        const reply = await fetch(`${envoy.url(gateway)}/anything`, {
          method,
          headers,
          ...(body && { body }),
        });
        expect(reply.headers.get('x-conformance-test-served-endpoint')).toBe(b.address);
        expect(await reply.text()).toBe(lines(20) + last);
        expect(b.received.map((request) => request.body.toString())).toEqual([body ?? '']);
      }
      const nowhere = { 'test-epp-endpoint-selection': '127.0.0.9' };
      expect((await fetch(envoy.url(gateway), { headers: nowhere })).status).toBe(503);
    },
  );

  it('leaves nothing in the log', () => {
    expect(picker.log.count('error')).toBe(0);
  });
});
