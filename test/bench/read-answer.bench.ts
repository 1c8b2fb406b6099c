// node test/bench/read-answer.bench.ts — what following an answer in the ext_proc stream costs, for each token and each request.

import { ProcessingMode_BodySendMode as BodyMode } from '../../src/envoy/gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { ProcessingRequest } from '../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { loadService } from '../../src/envoy/grpc/load-proto.ts';
import { watchAnswers } from '../../src/envoy/processor/answer-observer.ts';
import { bodyEcho } from '../../src/envoy/processor/body-echo.ts';
import { readHead } from '../../src/envoy/processor/request-head.ts';
import { delta, EVENTS, last, lines, NDJSON, token } from '../support/counted-answers.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { DECISION, head } from '../unit/envoy/processor/fakes.ts';

const ROUND_MS = 400;
const CALLS = 20;
const TOKENS = 200;
const MODES = { request: BodyMode.BUFFERED, response: BodyMode.FULL_DUPLEX_STREAMED, isEager: false };
const REPORTS = { attemptFailed: NOTHING, servedBy: NOTHING, requestEnded: NOTHING };
const CLOCK = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: async () => undefined,
  after: () => NOTHING,
};

const { Process } = loadService(
  'envoy/service/ext_proc/v3/external_processor.proto',
  'envoy.service.ext_proc.v3.ExternalProcessor',
);
if (Process === undefined) throw new Error('the service has no method Process');
const { requestSerialize, requestDeserialize } = Process;
let echoes: readonly object[] = [];

const watchAnswer = watchAnswers({
  recorder: REPORTS,
  clock: CLOCK,
  log: new MemoryLog(),
  onProblem: NOTHING,
});
const message = head();
const request = readHead(message, message.request_headers ?? {});

function NOTHING(): undefined {
  return undefined;
}

/** Microseconds of one call, in the best of many short rounds: others use the machine too. */
function time(work: () => void): number {
  for (let i = 0; i < 50; i += 1) work();
  const end = performance.now() + ROUND_MS;
  let best = Number.POSITIVE_INFINITY;
  while (performance.now() < end) {
    const start = performance.now();
    for (let i = 0; i < CALLS; i += 1) work();
    best = Math.min(best, ((performance.now() - start) * 1_000) / CALLS);
  }
  return best;
}

function begun(type: string) {
  const watch = watchAnswer(request, MODES);
  watch?.routed(DECISION);
  watch?.headers(headers(type));
  return watch;
}

function headers(type: string): ProcessingRequest {
  const all = { ':status': '200', 'content-type': type, date: 'x', 'x-envoy-upstream-service-time': '5' };
  const served = { fields: { 'x-gateway-destination-endpoint-served': { stringValue: '10.0.0.1:11434' } } };
  return {
    response_headers: {
      headers: {
        headers: Object.entries(all).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })),
      },
    },
    metadata_context: { filter_metadata: { 'envoy.lb': served } },
  };
}

const CASES = [
  { name: 'Ollama, a line for each token', type: NDJSON, piece: Buffer.from(token(' sky')), end: last },
  { name: '/v1, an event for each token', type: EVENTS, piece: Buffer.from(delta), end: 'data: [DONE]\n\n' },
  { name: 'pieces of 16 KiB', type: NDJSON, piece: Buffer.from(lines(170)), end: last },
];

for (const { name, type, piece, end } of CASES) {
  const whole = time(() => {
    const watch = begun(type);
    for (let i = 0; i < TOKENS; i += 1) watch?.body(piece, false);
    watch?.body(Buffer.from(end), true);
    watch?.over();
  });
  const none = time(() => {
    const watch = begun(type);
    watch?.body(Buffer.from(end), true);
    watch?.over();
  });
  const wire = requestSerialize({ response_body: { body: piece } });
  const received = time(() => {
    requestDeserialize(wire);
  });
  const echoed = time(() => {
    echoes = [...bodyEcho('response_body', piece, false)];
  });
  if (echoes.length === 0) throw new Error('nothing was echoed');
  const perToken = (whole - none) / TOKENS;
  console.log(
    `${name.padEnd(32)} ${perToken.toFixed(3)} µs for each piece of ${piece.length} bytes, ${none.toFixed(1)} µs for each answer`,
  );
  console.log(
    `${''.padEnd(32)} beside ${received.toFixed(2)} µs to receive and ${echoed.toFixed(2)} µs to echo a piece`,
  );
}
