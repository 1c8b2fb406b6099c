import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExtProcProblem } from '../../../../src/app/ext-proc-profile.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
  ProtocolConfiguration,
} from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structFields, toStruct } from '../../../../src/envoy/grpc/well-known.ts';
import { type ProcessorOptions, ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { CountingTelemetry, Inbox, MemoryLog, type Running, startServer, until } from '../grpc/harness.ts';
import { body, DECISION, FakeReads, FakeRouter, head, process } from './fakes.ts';

const CHAT = '{"model":"llama3","messages":[]}';
const LIST = DECISION.addresses.join(',');
const SEND = 1;
const [NONE, STREAMED, BUFFERED, BUFFERED_PARTIAL] = [0, 1, 2, 3] as const;

let router: FakeRouter;
let problems: ExtProcProblem[];
let log: MemoryLog;
let running: Running;

beforeEach(() => {
  router = new FakeRouter();
  problems = [];
  log = new MemoryLog();
});
afterEach(() => running.stop());

let client: ReturnType<Running['client']>;
let clock: FakeClock;
let telemetry: CountingTelemetry;

function another() {
  const call = process(client);
  return { call, inbox: new Inbox<ProcessingResponse>(call) };
}

async function open(options: ProcessorOptions = { profile: 'epp' }) {
  clock = new FakeClock();
  telemetry = new CountingTelemetry();
  const deps = {
    router,
    reads: new FakeReads(),
    telemetry,
    log,
    clock,
  };
  const service = new ProcessorService(deps, { ...options, onProblem: (problem) => problems.push(problem) });
  running = await startServer([service]);
  client = running.client(service.definition);
  return another();
}

/** A first message as a filter in this mode sends it. */
function first(
  protocol_config: ProtocolConfiguration,
  message: ProcessingRequest = head(),
): ProcessingRequest {
  return { ...message, protocol_config };
}

function headersOf(reply: ProcessingResponse): Record<string, string> {
  const response = (reply.request_headers ?? reply.request_body)?.response;
  return Object.fromEntries(
    (response?.header_mutation?.set_headers ?? []).map(({ header }) => [
      header?.key ?? '',
      Buffer.from(header?.raw_value ?? []).toString(),
    ]),
  );
}

function destination(reply: ProcessingResponse): unknown {
  const fields = reply.dynamic_metadata?.fields as Record<string, { structValue: unknown }> | undefined;
  return structFields(fields?.['envoy.lb']?.structValue).get('x-gateway-destination-endpoint');
}

describe('a gateway that buffers bodies', () => {
  it('is asked for the body and for what tells of the answer, then told the list in header and metadata', async () => {
    const { call, inbox } = await open();
    call.write(first({ request_body_mode: BUFFERED }));
    const asked = await inbox.next();
    expect(asked.mode_override).toMatchObject({
      request_body_mode: BUFFERED,
      response_header_mode: SEND,
      response_trailer_mode: SEND,
    });
    call.write(body(CHAT));
    const reply = await inbox.next();
    expect(headersOf(reply)).toEqual({
      'x-gateway-destination-endpoint': LIST,
      'x-warmpath-decision': 'd-1',
    });
    expect(destination(reply)).toBe(LIST);
    expect(reply.request_body?.response?.clear_route_cache).toBe(true);
    expect(problems).toEqual([]);
    call.end();
  });

  it('that takes one endpoint is told the best one only', async () => {
    const { call, inbox } = await open({ profile: 'epp-single', minEndpoints: () => 3 });
    call.write(first({ request_body_mode: BUFFERED }));
    await inbox.next();
    call.write(body(CHAT));
    const reply = await inbox.next();
    expect(headersOf(reply)['x-gateway-destination-endpoint']).toBe(DECISION.addresses[0]);
    expect(destination(reply)).toBe(DECISION.addresses[0]);
    call.end();
  });

  it('goes on without what the client itself says of endpoints where nothing is decided', async () => {
    router.answer = () => {
      throw new TypeError('oops');
    };
    const { call, inbox } = await open();
    call.write(first({}, head({ bones: CHAT })));
    const reply = await inbox.next();
    expect(reply.request_headers?.response?.header_mutation?.remove_headers).toContain(
      'x-gateway-destination-endpoint',
    );
    expect(destination(reply)).toBeUndefined();
    call.end();
  });

  it.each([
    { name: 'streams it on', response: STREAMED, asked: STREAMED },
    { name: 'would hold it back to its end', response: BUFFERED, asked: NONE },
    { name: 'would hold its beginning back', response: BUFFERED_PARTIAL, asked: NONE },
  ])('is asked for bodies of answers as before, unless it $name', async ({ response, asked }) => {
    const { call, inbox } = await open();
    call.write(first({ request_body_mode: BUFFERED, response_body_mode: response }));
    expect((await inbox.next()).mode_override?.response_body_mode ?? NONE).toBe(asked);
    call.end();
  });
});

describe('a gateway whose filter sends too little', () => {
  it.each([
    { name: 'pieces', mode: STREAMED, problem: 'request_body_streamed' },
    { name: 'the beginning', mode: BUFFERED_PARTIAL, problem: 'request_body_partial' },
  ])('of bodies only $name: they pass, and that is said once', async ({ mode, problem }) => {
    const { call, inbox } = await open();
    call.write(first({ request_body_mode: mode }));
    expect((await inbox.next()).mode_override?.request_body_mode).toBe(BUFFERED);
    for (const piece of ['{"model":', '"llama3"}', '']) {
      call.write(body(piece, piece === ''));
      const reply = await inbox.next();
      expect(reply.request_body?.response).toBeDefined();
      expect(headersOf(reply)).toEqual({});
    }
    expect(problems).toEqual([problem]);
    expect(log.count('warn')).toBe(1);
    expect(router.routed).toEqual([]);
    call.end();
  });
});

describe('what a filter never sends', () => {
  const streamed = {
    response_headers: {
      headers: {
        headers: [
          { key: ':status', raw_value: Buffer.from('200') },
          { key: 'content-type', raw_value: Buffer.from('application/x-ndjson') },
        ],
      },
    },
  };
  const TIMES = 10;

  /** So many requests, one after the other, each of these messages; `during` runs before the stream ends. */
  async function requests(
    times: number,
    messages: readonly ProcessingRequest[] | ((i: number) => readonly ProcessingRequest[]),
    during = async () => {},
  ) {
    let next = await open();
    for (let i = 1; i <= times; i++) {
      for (const message of typeof messages === 'function' ? messages(i) : messages) {
        next.call.write(message);
        await next.inbox.next();
      }
      await during();
      next.call.end();
      await next.inbox.status;
      await until(() => telemetry.closed === i);
      next = another();
    }
    next.call.cancel();
  }
  const asked = [first({})];
  const routed = [first({ request_body_mode: BUFFERED }), body(CHAT)];

  it.each([
    { name: 'bodies', messages: asked, problem: 'request_body_not_sent' },
    { name: 'headers of answers', messages: routed, problem: 'response_headers_not_sent' },
    { name: 'the end of answers', messages: [...routed, streamed], problem: 'response_trailers_not_sent' },
  ])('is concluded from many streams in a row: $name', async ({ messages, problem }) => {
    await requests(TIMES - 1, messages);
    expect(problems).toEqual([]);
    await running.stop();
    await requests(TIMES, messages);
    expect(problems).toEqual([problem]);
    expect(log.count('warn')).toBe(1);
  });

  it('is not hidden by another filter that sends what it should', async () => {
    await requests(2 * TIMES, (i) => (i % 2 === 0 ? asked : [...routed, streamed]));
    expect(problems).toContain('request_body_not_sent');
  });

  it('is not concluded from answers that take their time', async () => {
    await requests(TIMES, [...routed, streamed], () => clock.advance(50));
    expect(problems).toEqual([]);
  });

  it('is certain of answers that are held back until they are whole', async () => {
    const { call, inbox } = await open();
    const modes = { request_body_mode: BUFFERED, response_body_mode: BUFFERED };
    const answer = { response_body: { body: Buffer.from('{}'), end_of_stream: true } };
    for (const message of [first(modes), body(CHAT), streamed]) {
      call.write(message);
      await inbox.next();
    }
    expect(problems).toEqual([]);
    call.write(answer);
    await inbox.next();
    expect(problems).toEqual(['response_body_held_back']);
    call.end();
  });

  it('is certain of a body where a node answers without', async () => {
    const { call, inbox } = await open();
    call.write(first({}));
    await inbox.next();
    call.write(streamed);
    await inbox.next();
    expect(problems).toEqual(['request_body_not_sent']);
    call.end();
  });
});

it('a filter that only observes is not answered, and nothing is decided', async () => {
  const { call, inbox } = await open();
  call.write({ ...first({ request_body_mode: BUFFERED }), observability_mode: true });
  call.write({ ...body(CHAT), observability_mode: true });
  call.end();
  await inbox.status;
  expect(inbox.messages).toEqual([]);
  expect(router.routed).toEqual([]);
  expect(problems).toEqual(['observed_only']);
});

it('S24 messages that ext_proc does not allow are said to be a problem', async () => {
  const { call, inbox } = await open();
  call.write(body(CHAT));
  expect((await inbox.status).code).toBe(3);
  expect(problems).toEqual(['protocol_violation']);
});

describe('a proxy that does not tell its mode', () => {
  it('streams both ways where its body comes without having been asked for, and is known after that', async () => {
    const { call, inbox } = await open();
    call.write(head());
    call.write(body(CHAT));
    expect(destination(await inbox.next())).toBe(LIST);
    expect((await inbox.next()).request_body?.response?.body_mutation?.streamed_response).toMatchObject({
      body: Buffer.from(CHAT),
    });
    call.end();
    const next = another();
    next.call.write(head());
    await until(() => telemetry.opened === 2);
    await clock.advance(60_000 - 1);
    expect(next.inbox.messages).toEqual([]);
    next.call.write(body(CHAT));
    expect(destination(await next.inbox.next())).toBe(LIST);
    next.call.end();
  });

  it('is asked for the body where it waits for an answer', async () => {
    const { call, inbox } = await open();
    call.write(head());
    await until(() => clock.pending > 0);
    await clock.advance(100);
    expect((await inbox.next()).mode_override?.request_body_mode).toBe(BUFFERED);
    call.write(body(CHAT));
    expect(destination(await inbox.next())).toBe(LIST);
    call.end();
  });

  it('costs nothing once it is gone', async () => {
    const { call } = await open();
    call.write(head());
    await until(() => clock.pending > 0);
    call.cancel();
    await until(() => telemetry.closed === 1);
    expect(clock.pending).toBe(0);
  });
});

describe('a gateway that names the endpoints it allows', () => {
  const among = (text: string): ProcessingRequest => ({
    ...first({ request_body_mode: BUFFERED }),
    metadata_context: {
      filter_metadata: {
        'envoy.lb.subset_hint': toStruct({ 'x-gateway-destination-endpoint-subset': text }),
      },
    },
  });

  it('has the request go to one of these', async () => {
    const { call, inbox } = await open();
    call.write(among('10.0.0.1:80,10.0.0.2'));
    await inbox.next();
    call.write(body(CHAT));
    await inbox.next();
    expect([...(router.routed[0]?.among ?? [])]).toEqual(['10.0.0.1:80', '10.0.0.2']);
    call.end();
  });

  it('and none: the request is refused', async () => {
    const { call, inbox } = await open();
    call.write(among(''));
    await inbox.next();
    call.write(body(CHAT));
    expect((await inbox.next()).immediate_response?.status?.code).toBe(503);
    expect(router.routed).toEqual([]);
  });
});

describe('a filter that streams bodies without waiting for the answer to their headers', () => {
  const eager = { request_body_mode: STREAMED, send_body_without_waiting_for_header_response: true };
  const long = (length: number) => head({ headers: { 'content-length': String(length) } });

  it('has the answer withheld until a short body is whole; then each piece gets its own', async () => {
    router.answer = () => ({ ...DECISION, edits: [{ field: 'model', to: 'qwen3:32b' }] });
    const { call, inbox } = await open();
    call.write(first(eager, long(CHAT.length)));
    call.write(body(CHAT.slice(0, 5), false));
    call.write(body(CHAT.slice(5), false));
    call.write(body(''));
    const reply = await inbox.next();
    expect(destination(reply)).toBe(LIST);
    expect(reply.request_headers?.response?.body_mutation).toBeFalsy();
    const pieces = [await inbox.next(), await inbox.next(), await inbox.next()];
    const mutations = pieces.map((piece) => piece.request_body?.response?.body_mutation);
    expect(Buffer.from(mutations[0]?.body ?? []).toString()).toBe(CHAT.replace('llama3', 'qwen3:32b'));
    expect(mutations.slice(1)).toMatchObject([{ clear_body: true }, { clear_body: true }]);
    expect(problems).toEqual([]);
    call.end();
  });

  it.each([long(32_769), head()])('passes what may be too long for it to be withheld', async (message) => {
    const { call, inbox } = await open();
    call.write(first(eager, message));
    expect(destination(await inbox.next())).toBeUndefined();
    call.write(body(CHAT));
    expect((await inbox.next()).request_body?.response).toBeDefined();
    expect(problems).toEqual(['request_body_streamed']);
    call.end();
  });
});
