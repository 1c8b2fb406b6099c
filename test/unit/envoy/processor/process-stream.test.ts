import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessingResponse } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structFields } from '../../../../src/envoy/grpc/well-known.ts';
import { ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { RouterError } from '../../../../src/request/errors.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { CountingTelemetry, Inbox, MemoryLog, type Running, startServer, until } from '../grpc/harness.ts';
import { body, DECISION, FakeReads, FakeRouter, head, process } from './fakes.ts';

const CHAT = '{"model":"llama3","messages":[]}';

let router: FakeRouter;
let reads: FakeReads;
let telemetry: CountingTelemetry;
let log: MemoryLog;
let service: ProcessorService;
let running: Running;

beforeEach(async () => {
  router = new FakeRouter();
  reads = new FakeReads();
  telemetry = new CountingTelemetry();
  log = new MemoryLog();
  service = new ProcessorService(deps());
  running = await startServer([service]);
});
afterEach(() => running.stop());

function deps() {
  return { router, reads, telemetry, log, clock: new FakeClock() };
}

function open() {
  const call = process(running.client(service.definition));
  return { call, inbox: new Inbox<ProcessingResponse>(call) };
}

function headersOf(reply: ProcessingResponse): Record<string, string> {
  const response = (reply.request_headers ?? reply.request_body)?.response;
  const set = response?.header_mutation?.set_headers ?? reply.immediate_response?.headers?.set_headers ?? [];
  return Object.fromEntries(
    set.map(({ header }) => [header?.key ?? '', Buffer.from(header?.raw_value ?? []).toString()]),
  );
}

const ROUTED_HEADERS = {
  'x-warmpath-cluster': 'nodes',
  'x-warmpath-decision': 'd-1',
  'x-envoy-max-retries': '2',
  'x-envoy-upstream-rq-per-try-timeout-ms': '60000',
  'x-envoy-retriable-status-codes': '404',
};
const SEND = 1;
const SKIP = 2;
const BUFFERED = 2;

describe('an Envoy that does not know the nodes yet', () => {
  it('lets inference pass unrouted', async () => {
    const early = new ProcessorService({ ...deps(), canRoute: () => false });
    const other = await startServer([early]);
    const call = process(other.client(early.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    expect(await inbox.next()).toMatchObject({ request_headers: { response: {} } });
    expect(router.routed).toEqual([]);
    call.end();
    await other.stop();
  });
});

describe('a request with usable bones', () => {
  it('is routed at once, by what the bones say', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT, headers: { 'content-length': String(CHAT.length) } }));
    const reply = await inbox.next();
    expect(router.routed).toMatchObject([{ model: { key: 'llama3:latest' }, bodyBytes: CHAT.length }]);
    expect(headersOf(reply)).toEqual(ROUTED_HEADERS);
    expect(reply.request_headers?.response?.clear_route_cache).toBe(true);
    call.end();
  });

  it('keeps the stream to the real end: response trailers SEND, response headers SKIP', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    expect((await inbox.next()).mode_override).toMatchObject({
      request_header_mode: SEND,
      response_header_mode: SKIP,
      response_trailer_mode: SEND,
    });
    call.end();
  });

  it('names the nodes in metadata only, and blanks the bones', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    const fields: unknown = (await inbox.next()).dynamic_metadata?.fields;
    const namespaces = fields as Record<string, { structValue: unknown }>;
    expect([...structFields(namespaces['envoy.lb']?.structValue)]).toEqual([
      ['x-gateway-destination-endpoint', DECISION.addresses.join(',')],
    ]);
    expect([...structFields(namespaces.warmpath?.structValue)]).toEqual([['bones', '']]);
    call.end();
  });

  it('does not ask for 404 to be retried where no other node has the model', async () => {
    router.answer = () => ({ ...DECISION, addresses: ['10.0.0.1:1'], retryNotFound: false });
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    const headers = headersOf(await inbox.next());
    expect(headers).not.toHaveProperty('x-envoy-retriable-status-codes');
    expect(headers['x-envoy-max-retries']).toBe('0');
    call.end();
  });

  it('reads `value` where an older Envoy sends no raw_value', async () => {
    const { call, inbox } = open();
    const message = head({ bones: CHAT });
    for (const header of message.request_headers?.headers?.headers ?? []) {
      header.value = Buffer.from(header.raw_value ?? []).toString();
      header.raw_value = Buffer.alloc(0);
    }
    call.write(message);
    expect(headersOf(await inbox.next())['x-warmpath-decision']).toBe('d-1');
    call.end();
  });
});

describe('a request without usable bones', () => {
  it.each([
    { name: 'none', message: head() },
    { name: 'cut off', message: head({ bones: '{"model":"llama' }) },
    { name: 'shorter than the body', message: head({ bones: CHAT, headers: { 'content-length': '5000' } }) },
  ])('is read from its body: $name', async ({ message }) => {
    const { call, inbox } = open();
    call.write(message);
    const asked = await inbox.next();
    expect(asked.mode_override).toMatchObject({ request_body_mode: BUFFERED, response_trailer_mode: SEND });
    expect(asked.request_headers).toBeDefined();
    expect(router.routed).toEqual([]);
    call.write(body(CHAT));
    const reply = await inbox.next();
    expect(reply.request_body?.response?.clear_route_cache).toBe(true);
    expect(headersOf(reply)).toEqual(ROUTED_HEADERS);
    expect(router.routed).toMatchObject([{ model: { key: 'llama3:latest' }, bodyBytes: CHAT.length }]);
    call.end();
  });

  it('F23 reads a large body in slices, so that another stream is answered meanwhile', async () => {
    const large = open();
    large.call.write(head());
    await large.inbox.next();
    const small = open();
    large.call.write(body(`{"messages":[${'{},'.repeat(3_000_000)}0],"model":"llama3"}`));
    small.call.write(head({ bones: CHAT }));
    await small.inbox.next();
    expect(large.inbox.messages).toHaveLength(1);
    expect(headersOf(await large.inbox.next())).toEqual(ROUTED_HEADERS);
    large.call.end();
    small.call.end();
  });

  it('B21 takes bodies past 4 MiB', async () => {
    const { call, inbox } = open();
    call.write(head());
    await inbox.next();
    call.write(body(`{"model":"llama3","prompt":"${'x'.repeat(5 * 1024 * 1024)}"}`));
    expect(headersOf(await inbox.next())).toEqual(ROUTED_HEADERS);
    call.end();
  });

  it('F24 asks for a body only while there is room for it', async () => {
    const tight = new ProcessorService(
      { router, reads, telemetry, log, clock: new FakeClock() },
      { bodyBudgetBytes: 1_000 },
    );
    const other = await startServer([tight]);
    const client = other.client(tight.definition);
    const streams = Array.from({ length: 3 }, () => {
      const call = process(client);
      call.write(head({ headers: { 'content-length': '600' } }));
      return { call, inbox: new Inbox<ProcessingResponse>(call) };
    });
    const [first, second, third] = streams;
    if (first === undefined || second === undefined || third === undefined) throw new Error('three streams');
    await first.inbox.next();
    await until(() => telemetry.opened === 3);
    expect(second.inbox.messages).toEqual([]);
    first.call.write(body(CHAT));
    await first.inbox.next();
    await second.inbox.next();
    expect(third.inbox.messages).toEqual([]);
    second.call.cancel();
    await third.inbox.next();
    first.call.end();
    third.call.cancel();
    await third.inbox.status;
    await other.stop();
  });

  it('stops reading a body whose client hangs up', async () => {
    const { call, inbox } = open();
    call.write(head());
    await inbox.next();
    call.write(body(`{"messages":[${'{},'.repeat(3_000_000)}0],"model":"llama3"}`));
    await until(() => telemetry.answers === 1);
    call.cancel();
    await until(() => telemetry.closed === 1);
    const { call: next, inbox: nextInbox } = open();
    next.write(head({ bones: CHAT }));
    await nextInbox.next();
    expect(router.routed).toHaveLength(1);
    next.end();
  });
});

describe('a question about the fleet', () => {
  it.each([
    {
      method: 'GET',
      path: '/api/tags?x=1',
      details: 'warmpath_read',
      type: 'application/json; charset=utf-8',
    },
    { method: 'HEAD', path: '/', details: 'warmpath_read_text', type: 'text/plain; charset=utf-8' },
  ])('$method $path is answered at once', async ({ method, path, details, type }) => {
    const { call, inbox } = open();
    call.write(head({ method, path, hasBody: false }));
    const reply = await inbox.next();
    expect(reply.immediate_response).toMatchObject({ status: { code: 200 }, details });
    expect(headersOf(reply)).toEqual({ 'content-type': type });
    expect((await inbox.status).code).toBe(status.OK);
    expect(router.routed).toEqual([]);
  });

  it('sees the query apart from the path', async () => {
    const { call, inbox } = open();
    call.write(head({ method: 'GET', path: '/api/tags?a=b', hasBody: false }));
    await inbox.next();
    expect(reads.asked).toEqual(['GET /api/tags?a=b']);
  });
});

describe('a refusal', () => {
  it.each([
    { name: 'B01 no body', message: head({ hasBody: false }), code: 'missing_body', http: 400 },
    {
      name: 'B28 a compressed body',
      message: head({ headers: { 'content-encoding': 'gzip' } }),
      code: 'unsupported_encoding',
      http: 415,
    },
    {
      name: 'a path that nobody may call',
      message: head({ path: '/api/pull' }),
      code: 'not_allowed',
      http: 403,
    },
    { name: 'GET on an inference path', message: head({ method: 'GET' }), code: 'not_allowed', http: 403 },
    {
      name: 'B05 two models',
      message: head({ bones: '{"model":"a","model":"b"}' }),
      code: 'ambiguous_model',
      http: 400,
    },
  ])('$name', async ({ message, code, http }) => {
    const { call, inbox } = open();
    call.write(message);
    const reply = await inbox.next();
    expect(reply.immediate_response).toMatchObject({ status: { code: http }, details: `warmpath_${code}` });
    expect(headersOf(reply)['x-warmpath-error']).toBe(code);
    expect(router.refusals).toEqual([code]);
    expect(router.routed).toEqual([]);
    expect((await inbox.status).code).toBe(status.OK);
  });

  it('by the router takes the shape of the API called, with Retry-After', async () => {
    router.answer = () => {
      throw new RouterError('no_node', 'nobody is there', { retryAfterSeconds: 7 });
    };
    const { call, inbox } = open();
    call.write(head({ path: '/v1/chat/completions', bones: CHAT }));
    const reply = await inbox.next();
    expect(reply.immediate_response?.status?.code).toBe(503);
    expect(headersOf(reply)['retry-after']).toBe('7');
    expect(JSON.parse(Buffer.from(reply.immediate_response?.body ?? []).toString())).toEqual({
      error: { message: 'nobody is there', type: 'api_error', param: null, code: 'no_node' },
    });
    expect(router.finished).toEqual([]);
  });

  it('of a body read in slices ends the stream as well', async () => {
    const { call, inbox } = open();
    call.write(head());
    await inbox.next();
    call.write(body(`{"messages":[${'{},'.repeat(300_000)}0],"model":1}`));
    expect((await inbox.next()).immediate_response?.details).toBe('warmpath_invalid_model_name');
    expect((await inbox.status).code).toBe(status.OK);
  });
});

describe('the end of a request', () => {
  it('is told to the router once when Envoy closes the stream', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    expect(router.finished).toEqual([]);
    call.end();
    expect((await inbox.status).code).toBe(status.OK);
    await until(() => telemetry.closed === 1);
    expect(router.finished).toEqual(['d-1']);
  });

  it('F03 is told to the router once when the stream is reset', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.cancel();
    await until(() => telemetry.closed === 1);
    expect(router.finished).toEqual(['d-1']);
  });

  it('is told to the router when the connection breaks', async () => {
    const client = running.client(service.definition);
    const call = process(client);
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    await inbox.next();
    await running.server.close();
    await until(() => router.finished.length > 0);
    expect(router.finished).toEqual(['d-1']);
  });

  it('of one that was never routed is none of the router’s business', async () => {
    const { call, inbox } = open();
    call.write(head());
    await inbox.next();
    call.end();
    await inbox.status;
    expect(router.finished).toEqual([]);
  });

  it('survives a router that throws', async () => {
    router.onFinish = () => {
      throw new Error('broken');
    };
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.end();
    await until(() => telemetry.closed === 1);
    expect(log.count('error')).toBe(1);
  });
});

describe('the rest of a routed request', () => {
  it('is answered empty, each step in its own kind', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.write(body('{}'));
    expect((await inbox.next()).request_body).toBeDefined();
    call.write({ request_trailers: {} });
    expect((await inbox.next()).request_trailers).toBeDefined();
    call.write({ response_headers: {} });
    expect((await inbox.next()).response_headers).toBeDefined();
    call.write({ response_body: { body: Buffer.from('x') } });
    expect((await inbox.next()).response_body).toBeDefined();
    call.write({ response_trailers: {} });
    expect((await inbox.next()).response_trailers).toBeDefined();
    call.end();
    expect((await inbox.status).code).toBe(status.OK);
  });

  it('never changes what was decided', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.write(body('{"model":"other"}'));
    expect(headersOf(await inbox.next())).toEqual({});
    expect(router.routed).toHaveLength(1);
    call.end();
  });
});

describe('S24 a client that breaks the protocol is cut off', () => {
  it.each([
    { name: 'body before headers', messages: [body('{}')] },
    { name: 'response before request', messages: [{ response_headers: {} }] },
    { name: 'headers twice', messages: [head({ bones: CHAT }), head({ bones: CHAT })] },
    {
      name: 'a second piece of the body',
      messages: [head(), body(`{"messages":[${'{},'.repeat(200_000)}`, false), body('{', true)],
    },
    {
      name: 'going back',
      messages: [head({ bones: CHAT }), { response_headers: {} }, { request_trailers: {} }],
    },
    { name: 'an empty message', messages: [{}] },
  ])('$name', async ({ messages }) => {
    const { call, inbox } = open();
    for (const message of messages) call.write(message);
    expect(await inbox.status).toMatchObject({ code: status.INVALID_ARGUMENT });
    await until(() => telemetry.closed === 1);
    expect(router.finished).toHaveLength(router.routed.length);
  });

  it('and the server goes on serving others', async () => {
    const bad = open();
    for (let i = 0; i < 1_000; i++) bad.call.write(body('{}'));
    await bad.inbox.status;
    const good = open();
    good.call.write(head({ bones: CHAT }));
    expect(headersOf(await good.inbox.next())).toEqual(ROUTED_HEADERS);
    good.call.end();
  });
});

describe('F25 a defect of ours', () => {
  it('lets the request go on unrouted and is logged', async () => {
    router.answer = () => {
      throw new TypeError('oops');
    };
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    const reply = await inbox.next();
    expect(reply.request_headers).toBeDefined();
    expect(headersOf(reply)).toEqual({});
    expect(log.count('error')).toBe(1);
    expect(router.refusals).toEqual([]);
    call.end();
  });
});

describe('wantsResponseHeaders', () => {
  it('asks Envoy for response headers too', async () => {
    const asking = new ProcessorService(
      { router, reads, telemetry, log, clock: new FakeClock() },
      { wantsResponseHeaders: true },
    );
    const other = await startServer([asking]);
    const call = process(other.client(asking.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    expect((await inbox.next()).mode_override?.response_header_mode).toBe(SEND);
    call.end();
    await inbox.status;
    await other.stop();
  });
});

describe('a request that must wait for a slot', () => {
  const patient = () => ({ id: 'a', class: 'normal' as const, maxWaitMs: 60_000, isPrivileged: false });

  async function opened() {
    const patientService = new ProcessorService({ ...deps(), callers: patient });
    const other = await startServer([patientService]);
    const call = process(other.client(patientService.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    router.holds = true;
    return { other, call, inbox };
  }

  it('makes Envoy wait for longer, and is answered when a slot is free', async () => {
    const { other, call, inbox } = await opened();
    call.write(head({ bones: CHAT }));
    const hold = await inbox.next();
    expect(Number(hold.override_message_timeout?.seconds)).toBe(605);
    expect(hold.request_headers).toBeFalsy();
    router.waiting[0]?.placed(DECISION);
    expect(headersOf(await inbox.next())).toEqual(ROUTED_HEADERS);
    call.end();
    await other.stop();
  });

  it('is refused in its API’s words when no slot came', async () => {
    const { other, call, inbox } = await opened();
    call.write(head({ bones: CHAT, path: '/v1/chat/completions' }));
    await inbox.next();
    const busy = new RouterError('no_slot_in_time', 'server busy', { retryAfterSeconds: 7 });
    router.waiting[0]?.refused(busy, 'me-7');
    const { immediate_response } = await inbox.next();
    expect(immediate_response?.status?.code).toBe(429);
    expect(JSON.parse(Buffer.from(immediate_response?.body ?? []).toString())).toMatchObject({
      error: { type: 'rate_limit_error', code: 'no_slot_in_time' },
    });
    expect(router.refusals).toEqual(['no_slot_in_time']);
    const shown = immediate_response?.headers?.set_headers ?? [];
    const id = shown.find(({ header }) => header?.key === 'x-warmpath-decision')?.header?.raw_value;
    expect(Buffer.from(id ?? []).toString()).toBe('me-7');
    call.end();
    await other.stop();
  });

  it('F01 leaves the line when the stream ends', async () => {
    const { other, call, inbox } = await opened();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.cancel();
    await until(() => router.finished.length > 0);
    expect(router.finished).toEqual(['waiting']);
    await other.stop();
  });

  it('leaves the line when Envoy answers by itself', async () => {
    const { other, call, inbox } = await opened();
    call.write(head({ bones: CHAT }));
    await inbox.next();
    call.write({ response_headers: {} });
    expect(await inbox.next()).toMatchObject({ response_headers: { response: {} } });
    expect(router.finished).toEqual(['waiting']);
    call.end();
    await other.stop();
  });

  it('F24 counts its body, wherever that waits', async () => {
    const { other, call, inbox } = await opened();
    call.write(head());
    await inbox.next();
    call.write(body(CHAT));
    await inbox.next();
    expect(router.held).toEqual([CHAT.length]);
    call.end();
    const onlyBones = process(other.client(service.definition));
    const its = new Inbox<ProcessingResponse>(onlyBones);
    onlyBones.write(head({ bones: CHAT }));
    await its.next();
    await until(() => router.held.length === 2);
    expect(router.held).toEqual([CHAT.length, CHAT.length]);
    onlyBones.end();
    await other.stop();
  });
});

describe('a decision that changes the body', () => {
  const EDITED = '{"model":"qwen3:32b","messages":[]}';
  const edits = [{ field: 'model' as const, to: 'qwen3:32b' }];

  it('asks for the body where only bones came, and answers with the changed one and its length', async () => {
    router.answer = () => ({ ...DECISION, edits });
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    expect((await inbox.next()).mode_override).toMatchObject({ request_body_mode: BUFFERED });
    call.write(body(CHAT));
    const reply = await inbox.next();
    expect(Buffer.from(reply.request_body?.response?.body_mutation?.body ?? []).toString()).toBe(EDITED);
    expect(headersOf(reply)).toEqual({ ...ROUTED_HEADERS, 'content-length': String(EDITED.length) });
    expect(router.finished).toEqual([]);
    call.end();
    await inbox.status;
    await until(() => router.finished.length > 0);
  });

  it('changes the body that is at hand', async () => {
    router.answer = () => ({ ...DECISION, edits });
    const { call, inbox } = open();
    call.write(head());
    await inbox.next();
    call.write(body(CHAT));
    const reply = await inbox.next();
    expect(Buffer.from(reply.request_body?.response?.body_mutation?.body ?? []).toString()).toBe(EDITED);
    call.end();
  });

  it('changes large bodies in slices', async () => {
    router.answer = () => ({ ...DECISION, edits });
    const { call, inbox } = open();
    const large = `{"messages":[{"content":"${'x'.repeat(3 * 1024 * 1024)}"}],"model":"llama3"}`;
    call.write(head());
    await inbox.next();
    call.write(body(large));
    const reply = await inbox.next();
    expect(Buffer.from(reply.request_body?.response?.body_mutation?.body ?? []).toString()).toBe(
      large.replace('llama3', 'qwen3:32b'),
    );
    call.end();
  });

  it('leaves bodies alone that need no change', async () => {
    const { call, inbox } = open();
    call.write(head({ bones: CHAT }));
    expect((await inbox.next()).request_headers?.response?.body_mutation).toBeFalsy();
    call.end();
  });
});
