import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { RouteDecision } from '../../../../src/app/types.ts';
import type { ProcessingRequest } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { toStruct } from '../../../../src/envoy/grpc/well-known.ts';
import { RouterError } from '../../../../src/request/errors.ts';
import { until } from '../grpc/harness.ts';
import { DuplexRig, destinationOf, duplexHead, headersOf, wholeEcho } from './duplex.ts';
import { body, DECISION } from './fakes.ts';

const CHAT = '{"model":"llama3","messages":[]}';
const LIST = DECISION.addresses.join(',');
const PIECE = { request_body: { body: Buffer.from(CHAT), end_of_stream: true } };

let rig: DuplexRig;
afterEach(() => rig.stop());
const started = async (...args: ConstructorParameters<typeof DuplexRig>) => {
  rig = await new DuplexRig(...args).start();
  return rig.open();
};

describe('a request whose body streams', () => {
  it('is answered when its body is whole: headers with the list, then the body', async () => {
    const { call, inbox } = await started();
    call.write(duplexHead());
    call.write(body(CHAT.slice(0, 10), false));
    call.write(body(CHAT.slice(10)));
    const reply = await inbox.next();
    expect(headersOf(reply)).toEqual({
      'x-gateway-destination-endpoint': LIST,
      'x-warmpath-decision': 'd-1',
    });
    expect(destinationOf(reply)).toBe(LIST);
    expect(reply.request_headers?.response?.clear_route_cache).toBe(true);
    expect(reply.mode_override).toBeFalsy();
    expect((await wholeEcho(inbox)).body.toString()).toBe(CHAT);
    expect(rig.router.routed).toMatchObject([{ model: { key: 'llama3:latest' }, bodyBytes: CHAT.length }]);
    call.end();
    expect((await inbox.status).code).toBe(status.OK);
    await until(() => rig.router.finished.length > 0);
    expect(rig.router.finished).toEqual(['d-1']);
  });

  it.each([1, 61_999, 62_000, 62_001, 8 * 1024 * 1024])(
    'of %d more bytes comes back whole, in pieces of 62,000',
    async (size) => {
      const { call, inbox } = await started();
      const sent = Buffer.from(
        `{"model":"llama3","prompt":"${'é'.repeat(size / 2)}${'x'.repeat(size % 2)}"}`,
      );
      call.write(duplexHead());
      for (let at = 0; at < sent.length; at += 65_536)
        call.write(body(sent.subarray(at, at + 65_536), false));
      call.write(body('', true));
      await inbox.next();
      const echo = await wholeEcho(inbox);
      expect(echo.body.equals(sent)).toBe(true);
      expect(Math.max(...echo.sizes)).toBeLessThanOrEqual(62_000);
      call.end();
    },
  );

  it('goes on changed, with its new length', async () => {
    const { call, inbox } = await started();
    rig.router.answer = () => ({ ...DECISION, edits: [{ field: 'model', to: 'qwen3:32b' }] });
    call.write(duplexHead());
    call.write(PIECE);
    const changed = CHAT.replace('llama3', 'qwen3:32b');
    const reply = await inbox.next();
    expect(headersOf(reply)['content-length']).toBe(String(changed.length));
    expect(reply.request_headers?.response?.body_mutation).toBeFalsy();
    expect((await wholeEcho(inbox)).body.toString()).toBe(changed);
    call.end();
  });

  it('may end with trailers, which come after the body', async () => {
    const { call, inbox } = await started();
    call.write(duplexHead());
    call.write(body(CHAT, false));
    call.write({ request_trailers: {} });
    expect(destinationOf(await inbox.next())).toBe(LIST);
    expect((await inbox.next()).request_body?.response?.body_mutation?.streamed_response).toMatchObject({
      body: Buffer.from(CHAT),
    });
    expect(await inbox.next()).toMatchObject({ request_trailers: {} });
    expect(
      inbox.messages[1]?.request_body?.response?.body_mutation?.streamed_response?.end_of_stream,
    ).not.toBe(true);
    call.end();
  });

  it.each<{ name: string; late: ProcessingRequest }>([
    { name: 'a second end', late: body('', true) },
    { name: 'more of the body', late: body('more', false) },
    { name: 'trailers', late: { request_trailers: {} } },
  ])('heeds nothing after its end: $name', async ({ late }) => {
    const { call, inbox } = await started();
    call.write(duplexHead());
    call.write(PIECE);
    call.write(late);
    await inbox.next();
    await wholeEcho(inbox);
    call.write({ response_headers: {} });
    expect(await inbox.next()).toMatchObject({ response_headers: { response: {} } });
    call.end();
  });

  it('F23 is read in slices, so that another stream is answered meanwhile', async () => {
    const large = await started();
    large.call.write(duplexHead());
    large.call.write(body(`{"messages":[${'{},'.repeat(3_000_000)}0],"model":"llama3"}`));
    const small = rig.open();
    small.call.write(duplexHead());
    small.call.write(PIECE);
    await small.inbox.next();
    expect(large.inbox.messages).toHaveLength(0);
    expect(destinationOf(await large.inbox.next())).toBe(LIST);
    large.call.end();
    small.call.end();
  });
});

describe('a streamed body that must wait for a slot', () => {
  const patient = () => ({ id: 'a', class: 'normal' as const, maxWaitMs: 60_000, isPrivileged: false });

  it('is held until then, and nothing is said meanwhile', async () => {
    const { call, inbox } = await started({}, true, patient);
    rig.router.holds = true;
    call.write(duplexHead());
    call.write(PIECE);
    await until(() => rig.router.waiting.length > 0);
    expect(rig.router.held).toEqual([CHAT.length]);
    expect(inbox.messages).toEqual([]);
    rig.router.waiting[0]?.placed(DECISION);
    expect(destinationOf(await inbox.next())).toBe(LIST);
    expect((await wholeEcho(inbox)).body.toString()).toBe(CHAT);
    call.end();
  });

  it('F01 leaves the line when the client hangs up', async () => {
    const { call, inbox } = await started({}, true, patient);
    rig.router.holds = true;
    call.write(duplexHead());
    call.write(PIECE);
    await until(() => rig.router.waiting.length > 0);
    call.cancel();
    await inbox.status;
    await until(() => rig.router.finished.length > 0);
    expect(rig.router.finished).toEqual(['waiting']);
  });

  it('leaves the line when the proxy answers by itself', async () => {
    const { call, inbox } = await started({}, true, patient);
    rig.router.holds = true;
    call.write(duplexHead());
    call.write(PIECE);
    await until(() => rig.router.waiting.length > 0);
    call.write({ response_headers: {} });
    expect(await inbox.next()).toMatchObject({ response_headers: { response: {} } });
    expect(rig.router.finished).toEqual(['waiting']);
    call.end();
  });
});

describe('an answer', () => {
  async function answered() {
    const opened = await started();
    opened.call.write(duplexHead());
    opened.call.write(PIECE);
    await opened.inbox.next();
    await wholeEcho(opened.inbox);
    return opened;
  }

  it('goes on piece by piece, each at once', async () => {
    const { call, inbox } = await answered();
    call.write({ response_headers: {} });
    expect(await inbox.next()).toMatchObject({ response_headers: { response: {} } });
    for (const token of ['a', 'b'.repeat(1_000), 'c']) {
      call.write({ response_body: { body: Buffer.from(token) } });
      const piece = (await inbox.next()).response_body?.response?.body_mutation?.streamed_response;
      expect(Buffer.from(piece?.body ?? []).toString()).toBe(token);
      expect(piece?.end_of_stream ?? false).toBe(false);
    }
    call.write({ response_body: { body: Buffer.alloc(0), end_of_stream: true } });
    expect((await wholeEcho(inbox)).body.length).toBe(0);
    call.write({ response_body: { body: Buffer.alloc(0), end_of_stream: true } });
    call.end();
    await inbox.status;
    expect(inbox.messages).toHaveLength(7);
  });

  it('of one large piece goes on in small ones, and may end with trailers', async () => {
    const { call, inbox } = await answered();
    call.write({ response_headers: {} });
    await inbox.next();
    const bytes = Buffer.alloc(200_000, 'xyz');
    call.write({ response_body: { body: bytes, end_of_stream: false } });
    const parts = [await inbox.next(), await inbox.next(), await inbox.next(), await inbox.next()].map(
      (reply) => reply.response_body?.response?.body_mutation?.streamed_response?.body ?? Buffer.alloc(0),
    );
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    call.write({ response_trailers: {} });
    expect(await inbox.next()).toMatchObject({ response_trailers: {} });
    call.end();
  });

  it('may come before the request was read to its end', async () => {
    const { call, inbox } = await started();
    call.write(duplexHead());
    call.write(body('{"mod', false));
    call.write({ response_headers: { end_of_stream: true } });
    expect(await inbox.next()).toMatchObject({ response_headers: { response: {} } });
    call.write(body('el":"x"}', true));
    call.end();
    await inbox.status;
    expect(rig.router.routed).toEqual([]);
  });

  it('is shown to who follows it, to its end', async () => {
    const seen: string[] = [];
    const watchAnswer = () => ({
      routed: ({ id }: RouteDecision) => seen.push(`routed ${id}`),
      replied: () => seen.push('replied'),
      headers: () => seen.push('headers'),
      body: (bytes: Uint8Array, isLast: boolean) =>
        seen.push(`${Buffer.from(bytes)}${isLast ? ' last' : ''}`),
      trailers: () => seen.push('trailers'),
      over: () => seen.push('over'),
    });
    const { call, inbox } = await started({ watchAnswer });
    call.write(duplexHead());
    call.write(PIECE);
    await inbox.next();
    await wholeEcho(inbox);
    call.write({ response_headers: {} });
    call.write({ response_body: { body: Buffer.from('one') } });
    call.write({ response_body: { body: Buffer.from('two'), end_of_stream: true } });
    await inbox.next();
    await wholeEcho(inbox);
    call.end();
    await until(() => seen.includes('over'));
    expect(seen).toEqual(['routed d-1', 'headers', 'one', 'two last', 'over']);
  });
});

describe('what goes on without a decision', () => {
  it('streams through where the nodes are not known yet, without what the client says of endpoints', async () => {
    const { call, inbox } = await started({}, false);
    call.write(duplexHead());
    const reply = await inbox.next();
    expect(reply.request_headers?.response?.header_mutation?.remove_headers).toContain(
      'x-gateway-destination-endpoint',
    );
    expect(destinationOf(reply)).toBeUndefined();
    call.write(body('half', false));
    expect((await inbox.next()).request_body?.response?.body_mutation?.streamed_response).toMatchObject({
      body: Buffer.from('half'),
    });
    call.write(body('', true));
    expect((await wholeEcho(inbox)).body.length).toBe(0);
    call.end();
  });

  it('F25 is a request that meets a defect of ours, and its body is whole', async () => {
    const { call, inbox } = await started();
    rig.router.answer = () => {
      throw new TypeError('oops');
    };
    call.write(duplexHead());
    call.write(PIECE);
    expect(destinationOf(await inbox.next())).toBeUndefined();
    expect((await wholeEcho(inbox)).body.toString()).toBe(CHAT);
    expect(rig.log.count('error')).toBe(1);
    call.end();
  });
});

describe('a conformance test that says where its requests go', () => {
  const testNodes = () => ['10.0.0.7:80', '10.0.0.8:80'];
  const headers = { 'test-epp-endpoint-selection': '10.0.0.8, 10.0.0.7:80' };

  it.each([true, false])('is obeyed, whatever the path and the body (body: %s)', async (hasBody) => {
    const { call, inbox } = await started({ testNodes });
    call.write(duplexHead({ path: '/any', hasBody, headers }));
    const reply = await inbox.next();
    expect(destinationOf(reply)).toBe('10.0.0.8:80,10.0.0.7:80');
    if (hasBody) {
      call.write(body('not JSON'));
      expect((await wholeEcho(inbox)).body.toString()).toBe('not JSON');
    }
    const lb = toStruct({ 'x-gateway-destination-endpoint-served': '10.0.0.8:80' });
    call.write({ response_headers: {}, metadata_context: { filter_metadata: { 'envoy.lb': lb } } });
    const served = (await inbox.next()).response_headers?.response?.header_mutation?.set_headers?.[0]?.header;
    expect(served?.key).toBe('x-conformance-test-served-endpoint');
    expect(Buffer.from(served?.raw_value ?? []).toString()).toBe('10.0.0.8:80');
    expect(rig.router.routed).toEqual([]);
    call.end();
  });

  it('is not obeyed where it is not configured', async () => {
    const { call, inbox } = await started();
    call.write(duplexHead({ path: '/any', headers }));
    expect((await inbox.next()).immediate_response?.status?.code).toBe(403);
  });

  it('is refused where it names nobody', async () => {
    const { call, inbox } = await started({ testNodes });
    call.write(duplexHead({ headers: { 'test-epp-endpoint-selection': '10.9.9.9' } }));
    expect((await inbox.next()).immediate_response?.status?.code).toBe(503);
  });
});

describe('a refusal', () => {
  it.each([
    { name: 'no body', messages: [duplexHead({ hasBody: false })], http: 400 },
    { name: 'an empty body', messages: [duplexHead(), body('')], http: 400 },
    { name: 'no JSON', messages: [duplexHead(), body('nonsense')], http: 400 },
    { name: 'a path that nobody may call', messages: [duplexHead({ path: '/api/pull' })], http: 403 },
    {
      name: 'a body that is said to be too large',
      messages: [duplexHead({ headers: { 'content-length': '1001' } })],
      http: 413,
    },
    {
      name: 'a body that is too large',
      messages: [duplexHead(), body('x'.repeat(600), false), body('x'.repeat(600), false)],
      http: 413,
    },
  ])('$name', async ({ messages, http }) => {
    const { call, inbox } = await started({ maxBodyBytes: 1_000 });
    for (const message of messages) call.write(message);
    const reply = await inbox.next();
    expect(reply.immediate_response?.status?.code).toBe(http);
    expect((await inbox.status).code).toBe(status.OK);
    expect(rig.router.routed).toEqual([]);
  });

  it('by the router takes the shape of the API called', async () => {
    const { call, inbox } = await started();
    rig.router.answer = () => {
      throw new RouterError('model_not_found', 'no such model');
    };
    call.write(duplexHead({ path: '/v1/chat/completions' }));
    call.write(PIECE);
    const { immediate_response } = await inbox.next();
    expect(immediate_response?.status?.code).toBe(404);
    expect(JSON.parse(Buffer.from(immediate_response?.body ?? []).toString())).toMatchObject({
      error: { message: 'no such model', code: 'model_not_found' },
    });
  });

  it('meets those whose bodies find no room, and room comes back', async () => {
    const first = await started({ bodyBudgetBytes: 1_000 });
    first.call.write(duplexHead());
    first.call.write(body('x'.repeat(900), false));
    const second = rig.open();
    second.call.write(duplexHead({ path: '/v1/chat/completions' }));
    second.call.write(body('x'.repeat(900), false));
    const refused = await Promise.race([first.inbox.next(), second.inbox.next()]);
    expect(refused.immediate_response?.status?.code).toBeGreaterThanOrEqual(429);
    first.call.cancel();
    second.call.cancel();
    await until(() => rig.telemetry.closed === 2);
    const third = rig.open();
    third.call.write(duplexHead());
    third.call.write(PIECE);
    expect(destinationOf(await third.inbox.next())).toBe(LIST);
    third.call.end();
  });

  it('meets a body that never ends', async () => {
    const { call, inbox } = await started();
    call.write(duplexHead());
    call.write(body('{"model":', false));
    await until(() => rig.clock.pending > 0);
    await rig.clock.advance(70_000);
    expect((await inbox.next()).immediate_response?.status?.code).toBe(400);
    expect(rig.clock.pending).toBe(0);
  });
});
