import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExtProcProblem } from '../../../../src/app/ext-proc-profile.ts';
import type {
  ProcessingRequest,
  ProcessingResponse,
  ProtocolConfiguration,
} from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structFields } from '../../../../src/envoy/grpc/well-known.ts';
import { type ProcessorOptions, ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { CountingTelemetry, Inbox, MemoryLog, type Running, startServer } from '../grpc/harness.ts';
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

async function open(options: ProcessorOptions = { profile: 'epp' }) {
  const deps = {
    router,
    reads: new FakeReads(),
    telemetry: new CountingTelemetry(),
    log,
    clock: new FakeClock(),
  };
  const service = new ProcessorService(deps, { ...options, onProblem: (problem) => problems.push(problem) });
  running = await startServer([service]);
  const call = process(running.client(service.definition));
  return { call, inbox: new Inbox<ProcessingResponse>(call) };
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
    const { call, inbox } = await open({ profile: 'epp-single', minEndpoints: 3 });
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
