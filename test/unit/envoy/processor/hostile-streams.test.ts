import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessingRequest } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { until } from '../grpc/harness.ts';
import { DuplexRig, destinationOf, duplexHead, wholeEcho } from './duplex.ts';
import { body, head } from './fakes.ts';

const CHAT = '{"model":"llama3","messages":[]}';
const WHOLE = body(CHAT);
const HALF = body(CHAT.slice(0, 10), false);
const ANSWER = { response_headers: {} };
const PIECE = { response_body: { body: Buffer.from('x') } };
const ANSWER_END = { response_body: { body: Buffer.from('x'), end_of_stream: true } };

let rig: DuplexRig;
beforeEach(async () => {
  rig = await new DuplexRig({ maxBodyBytes: 1024 * 1024, bodyBudgetBytes: 16 * 1024 * 1024 }).start();
});
afterEach(() => rig.stop());

/** Of a filter that buffers bodies. */
function bufferedHead(length: string): ProcessingRequest {
  return { ...head({ headers: { 'content-length': length } }), protocol_config: { request_body_mode: 2 } };
}

/** A request of somebody else, on a connection of its own, still goes its way. */
async function othersGoOn(): Promise<void> {
  const { call, inbox } = rig.open();
  call.write(duplexHead());
  call.write(WHOLE);
  expect(destinationOf(await inbox.next())).toBeDefined();
  expect((await wholeEcho(inbox)).body.toString()).toBe(CHAT);
  call.end();
  expect((await inbox.status).code).toBe(status.OK);
}

describe('S24 messages out of order end their stream', () => {
  it.each<{ name: string; messages: ProcessingRequest[] }>([
    { name: 'a body first', messages: [WHOLE] },
    { name: 'an answer first', messages: [{ ...ANSWER, protocol_config: { request_body_mode: 4 } }] },
    { name: 'headers twice', messages: [duplexHead(), duplexHead()] },
    { name: 'headers again after the body', messages: [duplexHead(), WHOLE, duplexHead()] },
    { name: 'an empty message', messages: [duplexHead(), {}] },
    { name: 'headers of the answer twice', messages: [duplexHead(), WHOLE, ANSWER, ANSWER] },
    { name: 'headers of the answer after its body', messages: [duplexHead(), WHOLE, ANSWER, PIECE, ANSWER] },
  ])('$name', async ({ messages }) => {
    const { call, inbox } = rig.open();
    for (const message of messages) call.write(message);
    expect((await inbox.status).code).toBe(status.INVALID_ARGUMENT);
    await until(() => rig.telemetry.closed === 1);
    expect(rig.router.finished).toHaveLength(rig.router.routed.length);
    expect(rig.problems).toEqual(['protocol_violation']);
    await othersGoOn();
  });
});

describe('S24 what comes too late is ignored', () => {
  it('of the request, and of the answer', async () => {
    const { call, inbox } = rig.open();
    for (const message of [duplexHead(), WHOLE, WHOLE, HALF, { request_trailers: {} }]) call.write(message);
    for (const message of [ANSWER, ANSWER_END, ANSWER_END, PIECE, { response_trailers: {} }])
      call.write(message);
    call.end();
    expect((await inbox.status).code).toBe(status.OK);
    // Headers and one piece each way.
    expect(inbox.messages).toHaveLength(4);
    expect(rig.problems).toEqual([]);
  });
});

describe('F26 a stream that is reset', () => {
  it.each<{ name: string; messages: ProcessingRequest[]; replies: number }>([
    { name: 'before it said anything', messages: [], replies: 0 },
    { name: 'after the headers', messages: [duplexHead()], replies: 0 },
    { name: 'in the body', messages: [duplexHead(), HALF], replies: 0 },
    { name: 'after the body', messages: [duplexHead(), WHOLE], replies: 2 },
    { name: 'after the headers of the answer', messages: [duplexHead(), WHOLE, ANSWER], replies: 3 },
    { name: 'in the answer', messages: [duplexHead(), WHOLE, ANSWER, PIECE], replies: 4 },
  ])('$name leaves nothing behind', async ({ messages, replies }) => {
    const { call, inbox } = rig.open();
    for (const message of messages) call.write(message);
    for (let i = 0; i < replies; i++) await inbox.next();
    call.cancel();
    await inbox.status;
    await until(() => rig.telemetry.closed === rig.telemetry.opened);
    expect(rig.router.finished).toHaveLength(rig.router.routed.length);
    expect(rig.heldBytes).toBe(0);
    expect(rig.clock.pending).toBeLessThanOrEqual(1);
    await othersGoOn();
  });
});

describe('memory', () => {
  it('of thousands of bodies that never end is bounded, and comes back', async () => {
    const client = rig.client();
    const streams = Array.from({ length: 2_000 }, () => rig.open(client));
    for (const { call } of streams) {
      call.write(duplexHead({ headers: { 'content-length': '1000000' } }));
      call.write(HALF);
      call.write(HALF);
    }
    await until(() => rig.telemetry.opened === 2_000);
    await othersGoOn();
    expect(rig.heldBytes).toBeLessThanOrEqual(16 * 1024 * 1024);
    for (let i = 0; i < 15; i++) await rig.clock.advance(5_000);
    await until(() => rig.telemetry.closed === rig.telemetry.opened);
    expect(rig.heldBytes).toBe(0);
    await othersGoOn();
  });

  it('that is kept for bodies that never come goes to others in time', async () => {
    const silent = Array.from({ length: 4 }, () => rig.open());
    for (const { call, inbox } of silent) {
      call.write(bufferedHead('8000000'));
      await Promise.race([inbox.next(), until(() => rig.heldBytes >= 16_000_000)]);
    }
    const { call, inbox } = rig.open();
    call.write(bufferedHead('1000'));
    await until(() => rig.telemetry.opened === 5);
    expect(inbox.messages).toEqual([]);
    for (let i = 0; i < 26; i++) await rig.clock.advance(5_000);
    expect((await inbox.next()).mode_override).toBeTruthy();
    call.write(WHOLE);
    expect(destinationOf(await inbox.next())).toBeDefined();
    call.end();
    for (const each of silent) each.call.cancel();
  });

  it('of a body that is larger than it was said to be ends at the limit', async () => {
    const { call, inbox } = rig.open();
    call.write(duplexHead({ headers: { 'content-length': '10' } }));
    for (let i = 0; i < 20; i++) call.write(body(Buffer.alloc(64 * 1024, 'x'), false));
    expect((await inbox.next()).immediate_response?.status?.code).toBe(413);
    expect((await inbox.status).code).toBe(status.OK);
    expect(rig.heldBytes).toBe(0);
    await othersGoOn();
  });

  it('of giant headers is that of one message', async () => {
    const { call, inbox } = rig.open();
    call.write(duplexHead({ headers: { 'x-giant': 'x'.repeat(900_000) } }));
    call.write(WHOLE);
    expect(destinationOf(await inbox.next())).toBeDefined();
    call.end();
    const many = rig.open();
    const headers = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`x-${i}`, 'y']));
    many.call.write(duplexHead({ headers }));
    many.call.write(WHOLE);
    expect(destinationOf(await many.inbox.next())).toBeDefined();
    many.call.end();
    await othersGoOn();
  });
});

it('S24 half a message, then silence or the end, costs nobody else anything', async () => {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(rig.path) });
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
    'content-type': 'application/grpc',
  });
  stream.on('error', () => undefined).resume();
  stream.write(Buffer.from([0, 0, 0, 1, 0, 1, 2, 3]));
  await until(() => rig.telemetry.opened === 1);
  await othersGoOn();
  session.destroy();
  await until(() => rig.telemetry.closed === rig.telemetry.opened);
});
