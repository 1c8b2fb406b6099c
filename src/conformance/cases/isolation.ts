import { type Case, demand, NotApplicable } from '../case.ts';
import { type Answer, describe, immediateOf } from '../exchange/answer.ts';
import { askDuplex, hear, requestIsAnswered, tell } from '../exchange/drive.ts';
import type { ProcessCall } from '../exchange/process-call.ts';
import { bodyMessages, chatBody, type HttpRequest, headersMessage } from '../exchange/request.ts';
import { respond } from '../exchange/response.ts';
import { prefix } from '../grpc/frames.ts';
import type { ProcessingRequest } from '../grpc/messages.ts';
import { type Picker, saidPicked } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { completion } from './answers.ts';
import { demandOrder, demandWhole } from './echo.ts';

const STREAMS = 200;
/** A proxy has one connection per worker thread. */
const CONNECTIONS = 4;
const RESETS = 1_500;

export const ISOLATION: readonly Case[] = [
  {
    id: 'ISO-1',
    title: `${STREAMS} streams at once, their pieces interleaved: each gets its own body and destination`,
    level: 'MUST',
    source: SOURCE.processor,
    run: (picker) => crowd(picker),
  },
  {
    id: 'ISO-2',
    title: 'a proxy that hangs up at any step leaves others served',
    level: 'MUST',
    source: SOURCE.processor,
    run: (picker) =>
      besides(picker, (call, steps) => {
        tell(call, steps);
        call.raw.reset();
      }),
  },
  {
    id: 'ISO-3',
    title: 'a proxy that half-closes at any step leaves others served',
    level: 'MUST',
    source: SOURCE.processor,
    run: (picker) =>
      besides(picker, (call, steps) => {
        tell(call, steps);
        call.raw.halfClose();
      }),
  },
  {
    id: 'ISO-4',
    title: 'a stream that is half-closed is ended by the picker',
    level: 'SHOULD',
    source: SOURCE.processor,
    async run(picker) {
      const { call, answer } = await picker.ask(picker.chat());
      call.raw.halfClose();
      const all = await hear(call, () => false, picker.options.timeoutMs, answer.replies);
      demand(all.ending !== undefined, 'the end of the stream', describe(all));
      return undefined;
    },
  },
  {
    id: 'ISO-5',
    title: 'bytes that are no message end their own stream only, others on the connection go on',
    level: 'SHOULD',
    source: SOURCE.robustness,
    run: (picker) =>
      besides(picker, (call, steps) => {
        tell(call, steps);
        call.raw.write(Buffer.from('{"this": "is no ProcessingRequest"}'));
      }),
  },
  {
    id: 'ISO-6',
    title: 'a message that claims to be 4 GiB long, or compressed, hurts no other stream',
    level: 'SHOULD',
    source: SOURCE.robustness,
    run: (picker) =>
      besides(picker, (call, steps) => {
        tell(call, steps);
        call.raw.writeRaw(steps.length % 2 === 0 ? prefix(0xffff_ffff) : prefix(12, 1));
        call.raw.writeRaw(Buffer.alloc(1_000, 0x7f));
      }),
  },
  {
    id: 'ISO-7',
    title: 'messages that no proxy sends, in any order, hurt no other stream',
    level: 'SHOULD',
    source: SOURCE.robustness,
    run: (picker) => strangeOrders(picker),
  },
  {
    id: 'ISO-8',
    title: 'a proxy that never reads does not hold others up',
    level: 'SHOULD',
    source: SOURCE.robustness,
    run: (picker) => neverReads(picker),
  },
  {
    id: 'ISO-9',
    title: 'a connection that is cut leaves those on other connections served',
    level: 'MUST',
    source: SOURCE.processor,
    async run(picker) {
      const lost = await picker.connect();
      for (let i = 0; i < 20; i += 1) tell(await picker.stream(lost), steps(picker).slice(0, 1 + (i % 3)));
      const alive = await picker.stream();
      tell(alive, [headersMessage(picker.chat(), 'duplex')]);
      lost.cut();
      await demandServed(picker, alive);
      return undefined;
    },
  },
  {
    id: 'ISO-10',
    title: `${RESETS} streams reset one after the other, as timeouts do, leave the connection usable`,
    level: 'SHOULD',
    source: SOURCE.robustness,
    run: (picker) => manyResets(picker),
  },
];

/** One request as its messages. */
function steps(picker: Picker, request: HttpRequest = picker.chat({ pieces: [40] })): ProcessingRequest[] {
  return [headersMessage(request, 'duplex'), ...bodyMessages(request)];
}

async function crowd(picker: Picker): Promise<string> {
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => picker.connect()));
  const all = await Promise.all(
    Array.from({ length: STREAMS }, async (_, i) => {
      const body = chatBody(picker.options.model, 300 + i * 97, `Stream ${i}.`);
      const request = picker.chat({ body, pieces: [1_000 + (i % 7)] });
      const call = await picker.stream(connections[i % CONNECTIONS]);
      return { request, call, steps: steps(picker, request) };
    }),
  );
  const longest = Math.max(...all.map((each) => each.steps.length));
  for (let turn = 0; turn < longest; turn += 1) {
    for (const { call, steps } of all) tell(call, steps.slice(turn, turn + 1));
    await new Promise(setImmediate);
  }
  const { timeoutMs } = picker.options;
  const answers = await Promise.all(
    all.map(async ({ call, request }) => {
      const answer = await hear(call, requestIsAnswered(request), 2 * timeoutMs);
      // To its end: a picker may let requests wait until others have made room.
      if (answer.ending === undefined)
        await respond(picker, call, completion(picker.options.model)).catch(NOTHING);
      call.raw.reset();
      return { request, answer };
    }),
  );
  const passed = answers.filter(({ answer }) => immediateOf(answer)?.status !== 429);
  if (passed.length === 0) throw new NotApplicable('all were refused with 429, as too many');
  for (const { request, answer } of passed) {
    demandOrder(answer, 'request');
    demandWhole(answer, 'request_body', request.body ?? Buffer.alloc(0));
  }
  return `${passed.length} passed on, ${answers.length - passed.length} refused with 429`;
}

/** `harm` on one stream at each step of a request, while another of the same connection is half way; then a fresh one. */
async function besides(
  picker: Picker,
  harm: (call: ProcessCall, done: readonly ProcessingRequest[]) => void,
): Promise<undefined> {
  const all = steps(picker);
  for (let done = 0; done <= all.length; done += 1) {
    const connection = await picker.connect();
    const bystander = await picker.stream(connection);
    tell(bystander, [headersMessage(picker.chat(), 'duplex')]);
    harm(await picker.stream(connection), all.slice(0, done));
    await demandServed(picker, bystander);
    // After the answer has come, as well.
    if (done === all.length) {
      const { call } = await picker.ask(picker.chat(), connection);
      harm(call, []);
    }
    // Hung up first: whoever has room for few requests only need not keep room for these.
    picker.disconnect();
    const next = await picker.pick();
    demand(next.kind === 'picked', 'a pick for the next request', saidPicked(next));
  }
  return undefined;
}

/** The rest of an ordinary request whose headers have been sent. */
async function demandServed(picker: Picker, call: ProcessCall): Promise<Answer> {
  const request = picker.chat();
  tell(call, bodyMessages(request));
  const answer = await hear(call, requestIsAnswered(request), picker.options.timeoutMs);
  demandOrder(answer, 'request');
  demandWhole(answer, 'request_body', request.body ?? Buffer.alloc(0));
  return answer;
}

async function strangeOrders(picker: Picker): Promise<undefined> {
  const [headers = {}, ...body] = steps(picker);
  const response = { response_headers: { headers: { headers: [] }, end_of_stream: false } };
  const trailers = { request_trailers: { trailers: { headers: [] } } };
  const orders: ProcessingRequest[][] = [
    [{}],
    [...body, headers],
    [headers, headers, ...body],
    [headers, response, ...body],
    [response],
    [trailers, headers, ...body],
    [headers, ...body, headers, ...body],
    [headers, { response_body: { body: Buffer.from('x'), end_of_stream: true } }],
    [{ request_headers: {} }],
    [{ ...headers, protocol_config: { request_body_mode: 99, response_body_mode: 99 } }, ...body],
  ];
  for (const order of orders) {
    const connection = await picker.connect();
    const bystander = await picker.stream(connection);
    tell(bystander, [headersMessage(picker.chat(), 'duplex')]);
    tell(await picker.stream(connection), order);
    await demandServed(picker, bystander);
    picker.disconnect();
  }
  return undefined;
}

async function neverReads(picker: Picker): Promise<undefined> {
  const connection = await picker.connect();
  const large = picker.chat({ body: chatBody(picker.options.model, 4 << 20) });
  for (let i = 0; i < 3; i += 1) {
    const call = await picker.stream(connection);
    call.raw.pause();
    tell(call, steps(picker, large));
  }
  const call = await picker.stream(connection);
  const answer = await askDuplex(call, picker.chat(), picker.options.timeoutMs);
  demandOrder(answer, 'request');
  return undefined;
}

function NOTHING(): void {}

async function manyResets(picker: Picker): Promise<string> {
  const connection = await picker.connect();
  const [first = {}] = steps(picker);
  for (let i = 0; i < RESETS; i += 1) {
    const call = await picker.stream(connection);
    call.send(first);
    await new Promise(setImmediate);
    call.raw.reset();
  }
  demand(connection.goAways === 0 && connection.isOpen, 'the connection as it was', 'GOAWAY');
  const picked = await picker.pick(undefined, connection);
  demand(picked.kind === 'picked', 'a pick on the same connection', saidPicked(picked));
  demand(connection.goAways === 0, 'no GOAWAY', 'GOAWAY');
  return 'no GOAWAY';
}
