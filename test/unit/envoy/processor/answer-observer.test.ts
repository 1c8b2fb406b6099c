import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ExtProcProblem } from '../../../../src/app/ext-proc-profile.ts';
import type { AnswerRecorder, AttemptReport, Outcome, RouteDecision } from '../../../../src/app/types.ts';
import { ProcessingMode_BodySendMode as BodyMode } from '../../../../src/envoy/gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type { ProcessingRequest } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { watchAnswers } from '../../../../src/envoy/processor/answer-observer.ts';
import type { AnswerWatch } from '../../../../src/envoy/processor/answer-watch.ts';
import type { StreamModes } from '../../../../src/envoy/processor/modes.ts';
import { readHead } from '../../../../src/envoy/processor/request-head.ts';
import { EVENTS, JSON_TYPE, last, lines, NDJSON } from '../../../support/counted-answers.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from '../../../support/memory-log.ts';
import { head } from './fakes.ts';
import { overTheWire } from './wire.ts';

const A = '10.0.0.1:11434';
const B = '10.0.0.2:11434';
const C = '10.0.0.3:11434';
const DECISION: RouteDecision = {
  id: 'me-1',
  addresses: [A, B, C],
  perTryTimeoutMs: 60_000,
  retryNotFound: true,
  edits: [],
};
const STREAMED: StreamModes = { request: BodyMode.BUFFERED, response: BodyMode.STREAMED, isEager: false };
const HEADERS_ONLY: StreamModes = { ...STREAMED, response: BodyMode.NONE };

class FakeRecorder implements AnswerRecorder {
  readonly failed: AttemptReport[] = [];
  readonly served: string[] = [];
  readonly ended: Outcome[] = [];
  attemptFailed(report: AttemptReport): void {
    this.failed.push(report);
  }
  servedBy(decisionId: string, address: string): void {
    this.served.push(`${decisionId} ${address}`);
  }
  requestEnded(outcome: Outcome): void {
    this.ended.push(outcome);
  }
}

interface Told {
  readonly status?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly served?: string;
  readonly attributes?: Readonly<Record<string, string | number>>;
  readonly isWhole?: boolean;
}

/** Response headers as Envoy sends them, read off the wire. */
function answer({
  status = '200',
  type = NDJSON,
  headers = {},
  served,
  attributes,
  isWhole = false,
}: Told = {}) {
  const all = { ':status': status, 'content-type': type, ...headers };
  const fields = Object.fromEntries(
    Object.entries(attributes ?? {}).map(([name, value]) => [
      name,
      typeof value === 'string' ? { stringValue: value } : { numberValue: value },
    ]),
  );
  const lb = { fields: { 'x-gateway-destination-endpoint-served': { stringValue: served ?? '' } } };
  return overTheWire({
    response_headers: {
      headers: {
        headers: Object.entries(all).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })),
      },
      end_of_stream: isWhole,
    },
    ...(served === undefined ? {} : { metadata_context: { filter_metadata: { 'envoy.lb': lb } } }),
    ...(attributes === undefined ? {} : { attributes: { 'envoy.filters.http.ext_proc': { fields } } }),
  });
}

const FROM_NODE = { 'x-envoy-upstream-service-time': '5' };

describe('the answer to a request in a stream of ext_proc', () => {
  let recorder: FakeRecorder;
  let clock: FakeClock;
  let log: MemoryLog;
  let problems: ExtProcProblem[];

  beforeEach(() => {
    recorder = new FakeRecorder();
    clock = new FakeClock({ now: 1_000 });
    log = new MemoryLog();
    problems = [];
  });

  function unrouted(modes: StreamModes = STREAMED): AnswerWatch {
    const message = head({ headers: { 'content-length': '300' } });
    const onProblem = (problem: ExtProcProblem) => problems.push(problem);
    const watch = watchAnswers({ recorder, clock, log, onProblem })(
      readHead(message, message.request_headers ?? {}),
      modes,
    );
    if (watch === undefined) throw new Error('nobody watches');
    return watch;
  }

  function watching(modes?: StreamModes, decision = DECISION): AnswerWatch {
    const watch = unrouted(modes);
    watch.routed(decision);
    return watch;
  }

  function end(watch: AnswerWatch): Outcome {
    watch.over();
    watch.over();
    expect(recorder.ended).toHaveLength(1);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    return recorder.ended[0] as Outcome; // there is one
  }

  const failures = () => recorder.failed.map(({ address, reason }) => `${address} ${reason}`);

  it('is told when it is over: where it came from, when, what it cost', async () => {
    const watch = watching();
    await clock.advance(120);
    watch.headers(answer({ served: A, headers: FROM_NODE }));
    expect(recorder.served).toEqual([`me-1 ${A}`]);
    await clock.advance(800);
    watch.body(Buffer.from(lines(3)), false);
    watch.body(Buffer.from(last), true);
    await clock.advance(50);
    expect(recorder.ended).toEqual([]);
    expect(end(watch)).toEqual({
      decisionId: 'me-1',
      path: '/api/chat',
      method: 'POST',
      status: 200,
      details: '',
      flags: [],
      address: A,
      attempts: 1,
      firstByteMs: 120,
      totalMs: 920,
      requestBytes: 300,
      responseBytes: Buffer.byteLength(lines(3) + last),
      usage: {
        promptTokens: 30,
        completionTokens: 4,
        totalMs: 5.380599,
        loadMs: 1.828435,
        promptEvalMs: 0.337809,
        evalMs: 1.931696,
        sawError: false,
      },
      end: 'complete',
    });
    expect(failures()).toEqual([]);
    expect(problems).toEqual([]);
  });

  describe('names the node that served', () => {
    it.each([
      {
        name: 'by what the policy says',
        told: { served: B },
        want: B,
        failed: [`${A} unexplained`],
        attempts: 2,
      },
      {
        name: 'by the last of several that the policy says',
        told: { served: `${A},${B}` },
        want: B,
        failed: [`${A} unexplained`],
        attempts: 2,
      },
      {
        name: 'by the policy rather than by the connection',
        told: { served: B, attributes: { 'upstream.address': C } },
        want: B,
        failed: [`${A} unexplained`],
        attempts: 2,
      },
      {
        name: 'by the connection',
        told: { attributes: { 'upstream.address': B, 'upstream.request_attempt_count': 2 } },
        want: B,
        failed: [`${A} unexplained`],
        attempts: 2,
      },
      {
        name: 'by the number of attempts',
        told: { headers: { 'x-envoy-attempt-count': '3' } },
        want: C,
        failed: [`${A} unexplained`, `${B} unexplained`],
        attempts: 3,
      },
      {
        name: 'one further down that was tried first: the others were not tried',
        told: { served: C, headers: { 'x-envoy-attempt-count': '1' } },
        want: C,
        failed: [],
        attempts: 1,
      },
      {
        name: 'one further down, of which nobody says that the list was walked',
        told: { attributes: { 'upstream.address': B } },
        want: B,
        failed: [],
        attempts: 1,
      },
      {
        name: 'one that is not in the list, after all that are',
        told: { served: '10.9.9.9:1', headers: { 'x-envoy-attempt-count': '4' } },
        want: '10.9.9.9:1',
        failed: [`${A} unexplained`, `${B} unexplained`, `${C} unexplained`],
        attempts: 4,
      },
      {
        name: 'one whose turn came twice, in a list that begins again',
        told: { served: A, headers: { 'x-envoy-attempt-count': '4' } },
        want: A,
        failed: [`${B} unexplained`, `${C} unexplained`],
        attempts: 4,
      },
      {
        name: 'one that is not in the list at once: the proxy heeds none',
        told: { attributes: { 'upstream.address': '10.9.9.9:1', 'upstream.request_attempt_count': 1 } },
        want: '10.9.9.9:1',
        failed: [],
        attempts: 1,
      },
    ])('$name', ({ told, want, failed, attempts }) => {
      const watch = watching();
      watch.headers(answer(told));
      expect(recorder.served).toEqual([`me-1 ${want}`]);
      expect(failures()).toEqual(failed);
      watch.body(Buffer.from(last), true);
      expect(end(watch)).toMatchObject({ address: want, attempts, end: 'complete' });
      expect(problems).toEqual([]);
    });

    it.each([
      {},
      { served: 'nobody' },
      { served: '10.0.0.2' },
      { served: 'x'.repeat(5_000) },
      { attributes: { 'upstream.address': '/var/run/sock' } },
    ])('by the first of the list where nobody says, and that is a problem once: %j', (told) => {
      const watch = watching();
      watch.headers(answer(told));
      watch.headers(answer(told));
      expect(recorder.served).toEqual([`me-1 ${A}`]);
      expect(problems).toEqual(['served_endpoint_not_told']);
      expect(end(watch).address).toBe(A);
    });

    it('by a list of one, which leaves no doubt', () => {
      const watch = watching(STREAMED, { ...DECISION, addresses: [B] });
      watch.headers(answer());
      expect(problems).toEqual([]);
      expect(end(watch).address).toBe(B);
    });
  });

  describe('that is a failure', () => {
    it.each([
      {
        name: 'of the node',
        told: { status: '500', served: A, headers: FROM_NODE },
        failed: [`${A} server_error`],
        ended: 'failed',
      },
      {
        name: 'of a busy node',
        told: { status: '503', served: A, headers: { ...FROM_NODE, 'retry-after': '7' } },
        failed: [`${A} busy`],
        ended: 'failed',
      },
      {
        name: 'of a node without the model',
        told: { status: '404', served: A, headers: FROM_NODE },
        failed: [`${A} model_missing`],
        ended: 'complete',
      },
      {
        name: 'of the client',
        told: { status: '400', served: A, headers: FROM_NODE },
        failed: [],
        ended: 'complete',
      },
      {
        name: 'of every node in turn',
        told: { status: '502', served: C, headers: { ...FROM_NODE, 'x-envoy-attempt-count': '3' } },
        failed: [`${A} unexplained`, `${B} unexplained`, `${C} server_error`],
        ended: 'failed',
      },
      {
        name: 'that the proxy answers: refused',
        told: {
          status: '503',
          served: B,
          attributes: {
            'upstream.request_attempt_count': 2,
            'response.code_details':
              'upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}',
            'response.flags': 32_800,
          },
        },
        failed: [`${A} unexplained`, `${B} refused`],
        ended: 'failed',
      },
      {
        name: 'that the proxy answers: too late',
        told: {
          status: '504',
          served: A,
          attributes: {
            'upstream.request_attempt_count': 1,
            'response.code_details': 'upstream_per_try_timeout',
            'response.flags': 32_772,
          },
        },
        failed: [`${A} timeout`],
        ended: 'failed',
      },
      {
        name: 'that the proxy answers, having asked nobody',
        told: {
          status: '413',
          attributes: {
            'upstream.request_attempt_count': 0,
            'response.code_details': 'request_payload_too_large',
            'response.flags': 0,
          },
        },
        failed: [],
        ended: 'refused',
      },
      {
        name: 'that the proxy answers for want of endpoints',
        told: {
          status: '503',
          attributes: {
            'upstream.request_attempt_count': 0,
            'response.code_details': 'no_healthy_upstream',
            'response.flags': 2,
          },
        },
        failed: [],
        ended: 'failed',
      },
      {
        name: 'of which nobody says whose it is',
        told: { status: '503', served: A },
        failed: [`${A} unexplained`],
        ended: 'failed',
      },
      { name: 'of which nobody says anything', told: { status: '503' }, failed: [], ended: 'failed' },
      {
        name: 'that a filter of the proxy may have answered',
        told: { status: '429' },
        failed: [],
        ended: 'failed',
      },
    ])('$name', ({ told, failed, ended }) => {
      const watch = watching();
      watch.headers(answer({ type: 'application/json', ...told }));
      watch.body(Buffer.from('{"error":"x"}'), true);
      expect(failures()).toEqual(failed);
      expect(recorder.served).toEqual([]);
      expect(end(watch)).toMatchObject({ status: Number(told.status), end: ended });
    });

    it('of a busy node tells how long it wants to be left alone', () => {
      watching().headers(answer({ status: '429', served: A, headers: { ...FROM_NODE, 'retry-after': '7' } }));
      expect(recorder.failed).toEqual([
        { decisionId: 'me-1', address: A, reason: 'busy', status: 429, retryAfterMs: 7_000 },
      ]);
    });

    it('of the proxy itself names no node', () => {
      const watch = watching();
      watch.headers(
        answer({
          status: '413',
          attributes: {
            'upstream.request_attempt_count': 0,
            'response.code_details': 'request_payload_too_large',
          },
        }),
      );
      expect(end(watch)).toMatchObject({
        address: undefined,
        attempts: 0,
        details: 'request_payload_too_large',
      });
      expect(problems).toEqual([]);
    });
  });

  describe('ends', () => {
    it('with its headers where it has no body', () => {
      const watch = watching();
      watch.headers(answer({ type: '', served: A, isWhole: true }));
      expect(end(watch)).toMatchObject({ end: 'complete', responseBytes: 0 });
    });

    it('with its trailers', async () => {
      const watch = watching();
      watch.headers(answer({ served: A }));
      watch.body(Buffer.from(last), false);
      await clock.advance(10);
      watch.trailers();
      await clock.advance(1_000);
      expect(end(watch)).toMatchObject({ end: 'complete', totalMs: 10, usage: { completionTokens: 4 } });
    });

    it('early where its client leaves: nothing is learnt from half of it, and no node is to blame', () => {
      const watch = watching();
      watch.headers(answer({ served: A }));
      watch.body(Buffer.from(`${lines(3)}{"eval_count":9}`), false);
      expect(end(watch)).toMatchObject({
        end: 'client_gone',
        status: 200,
        usage: { completionTokens: undefined },
      });
      expect(failures()).toEqual([]);
    });

    it.each([
      { name: 'the last line', type: NDJSON, body: last },
      {
        name: 'the last event',
        type: EVENTS,
        body: 'data: {"usage":{"completion_tokens":4}}\n\ndata: [DONE]\n\n',
      },
    ])('well where its client leaves once it has $name', ({ type, body }) => {
      const watch = watching();
      watch.headers(answer({ served: A, type }));
      watch.body(Buffer.from(body), false);
      expect(end(watch)).toMatchObject({ end: 'complete', usage: { completionTokens: 4 } });
    });

    it('well where its client leaves once it has as many bytes as were promised', () => {
      const watch = watching();
      const body = '{"eval_count":4}';
      watch.headers(
        answer({ served: A, type: JSON_TYPE, headers: { 'content-length': String(body.length) } }),
      );
      watch.body(Buffer.from(body), false);
      expect(end(watch)).toMatchObject({ end: 'complete', usage: { completionTokens: 4 } });
    });

    it('truncated where fewer bytes came than were promised, and yet its end', () => {
      const watch = watching();
      watch.headers(answer({ served: A, type: JSON_TYPE, headers: { 'content-length': '100' } }));
      watch.body(Buffer.from('{"eval'), true);
      expect(end(watch).end).toBe('truncated');
    });

    it('in an error inside the answer', () => {
      const watch = watching();
      watch.headers(answer({ served: A }));
      watch.body(Buffer.from(`${lines(2)}{"error":"unexpected EOF"}\n`), true);
      expect(end(watch)).toMatchObject({ end: 'in_band_error', usage: { sawError: true } });
    });

    it('in an error where a stream has no body at all', () => {
      const watch = watching();
      watch.headers(answer({ served: A }));
      watch.body(new Uint8Array(), true);
      expect(end(watch).end).toBe('in_band_error');
    });

    it('before it began where the client hangs up, on the node that it was sent to', () => {
      expect(end(watching())).toMatchObject({
        end: 'client_gone',
        status: 0,
        address: A,
        decisionId: 'me-1',
      });
    });

    it('before it was decided where the client hangs up in the line', async () => {
      const watch = unrouted();
      await clock.advance(700);
      expect(end(watch)).toMatchObject({
        end: 'client_gone',
        status: 0,
        decisionId: undefined,
        totalMs: 700,
        attempts: 0,
      });
    });

    it('well, as far as anybody can tell, where the proxy shows no bodies', async () => {
      const watch = watching(HEADERS_ONLY);
      watch.headers(answer({ served: A }));
      await clock.advance(900);
      expect(end(watch)).toMatchObject({
        end: 'complete',
        totalMs: 900,
        responseBytes: 0,
        usage: { sawError: false },
      });
    });
  });

  it('is not read where it is compressed, and is no error for that', () => {
    const watch = watching();
    watch.headers(answer({ served: A, headers: { 'content-encoding': 'gzip' } }));
    watch.body(Buffer.from(last), true);
    expect(end(watch)).toMatchObject({
      end: 'complete',
      usage: { completionTokens: undefined, sawError: false },
    });
  });

  it.each([
    { status: 429, details: 'warmpath_no_slot_in_time', want: 'refused' },
    { status: 503, details: 'warmpath_no_node', want: 'refused' },
    { status: 200, details: 'warmpath_read', want: 'complete' },
  ])('is $want where it is our own: $details', ({ status, details, want }) => {
    const watch = unrouted();
    watch.replied({
      immediate_response: { status: { code: status as 200 }, details, body: Buffer.from('{}') },
    });
    expect(end(watch)).toMatchObject({
      decisionId: undefined,
      status,
      details,
      responseBytes: 2,
      end: want,
      address: undefined,
    });
  });

  it('is our own refusal of a request that was decided already: its decision is closed', () => {
    const watch = watching();
    watch.replied({ immediate_response: { status: { code: 413 }, details: 'warmpath_body_too_large' } });
    expect(end(watch)).toMatchObject({ decisionId: 'me-1', status: 413, end: 'refused', address: undefined });
  });

  it('to a request that passed without a decision is counted as that', () => {
    const watch = unrouted();
    watch.headers(answer({ served: B }));
    watch.body(Buffer.from(last), true);
    expect(end(watch)).toMatchObject({ decisionId: undefined, status: 200, end: 'complete' });
    expect([recorder.served, recorder.failed, problems]).toEqual([[], [], []]);
  });

  it('that a defect keeps from being noted is a line in the log, and no exception', () => {
    recorder.requestEnded = () => {
      throw new Error('defect');
    };
    watching().over();
    expect(log.lines.map(({ level }) => level)).toEqual(['error']);
  });

  it('is told of exactly once, whatever comes in whatever order', () => {
    const anything: fc.Arbitrary<ProcessingRequest> = fc.record({
      response_headers: fc.option(
        fc.record({
          headers: fc.record({
            headers: fc.array(
              fc.record({
                key: fc.constantFrom(
                  ':status',
                  'content-length',
                  'content-type',
                  'x-envoy-attempt-count',
                  'retry-after',
                ),
                value: fc.string(),
              }),
              { maxLength: 6 },
            ),
          }),
          end_of_stream: fc.boolean(),
        }),
        { nil: undefined },
      ),
      attributes: fc.dictionary(fc.string(), fc.anything()) as fc.Arbitrary<
        Record<string, Record<string, unknown>>
      >,
      metadata_context: fc.option(
        fc.record({
          filter_metadata: fc.dictionary(fc.constantFrom('envoy.lb', 'x'), fc.anything()) as fc.Arbitrary<
            Record<string, Record<string, unknown>>
          >,
        }),
        { nil: undefined },
      ),
    });
    const step = fc.oneof(
      anything.map((message) => (watch: AnswerWatch) => watch.headers(message)),
      fc
        .uint8Array({ maxLength: 100 })
        .map((bytes) => (watch: AnswerWatch) => watch.body(bytes, bytes.length % 2 === 0)),
      fc.constant((watch: AnswerWatch) => watch.trailers()),
      fc.constant((watch: AnswerWatch) => watch.routed(DECISION)),
      fc.constant((watch: AnswerWatch) => watch.over()),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        recorder = new FakeRecorder();
        log = new MemoryLog();
        const watch = unrouted();
        for (const each of steps) each(watch);
        const { totalMs, status } = end(watch);
        expect(totalMs >= 0 && status >= 0 && status < 1_000).toBe(true);
      }),
    );
  });
});
