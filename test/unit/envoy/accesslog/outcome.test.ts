import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OutcomeEnd } from '../../../../src/app/types.ts';
import { readOutcome } from '../../../../src/envoy/accesslog/outcome.ts';
import type { ResponseFlags } from '../../../../src/envoy/gen/envoy/data/accesslog/v3/accesslog.ts';
import { entry, struct } from './fixtures.ts';

describe('an entry of the log of requests', () => {
  it('becomes an outcome', () => {
    const tap = struct({
      prompt_tokens: 12,
      completion_tokens: 34,
      total_ns: 5_000_000,
      load_ns: 1_000_000,
      prompt_eval_ns: 500_000,
      eval_ns: 3_000_000,
    });
    expect(
      readOutcome(entry({ common: { metadata: { filter_metadata: { 'warmpath.tap': tap } } } })),
    ).toEqual({
      decisionId: 'd-1',
      path: '/api/chat',
      method: 'POST',
      status: 200,
      details: 'via_upstream',
      flags: [],
      address: '10.0.0.1:11434',
      attempts: 1,
      firstByteMs: 250,
      totalMs: 1_500,
      requestBytes: 300,
      responseBytes: 4_000,
      usage: {
        promptTokens: 12,
        completionTokens: 34,
        totalMs: 5,
        loadMs: 1,
        promptEvalMs: 0.5,
        evalMs: 3,
        sawError: false,
      },
      end: 'complete',
    });
  });

  it('of a request that nobody routed has no decision and no usage', () => {
    const outcome = readOutcome({ common_properties: {}, request: {}, response: {} });
    expect(outcome).toMatchObject({
      decisionId: undefined,
      address: undefined,
      firstByteMs: undefined,
      totalMs: 0,
      status: 0,
      end: 'failed',
    });
    expect(readOutcome({})).toEqual(outcome);
  });

  it('names the request as Envoy does', () => {
    expect(readOutcome({ request: { request_id: 'ab-12\n' } }).requestId).toBe('ab-12');
  });

  it('writes IPv6 addresses in brackets', () => {
    const upstream_remote_address = { socket_address: { address: 'fd00::1', port_value: 80 } };
    expect(readOutcome(entry({ common: { upstream_remote_address } })).address).toBe('[fd00::1]:80');
  });

  it.each<{
    name: string;
    status: number;
    details: string;
    flags?: ResponseFlags;
    attempts?: number;
    error?: boolean;
    want: OutcomeEnd;
  }>([
    { name: 'answered', status: 200, details: 'via_upstream', want: 'complete' },
    { name: 'refused by the node', status: 400, details: 'via_upstream', want: 'complete' },
    { name: 'answered by us', status: 200, details: 'warmpath_read', attempts: 0, want: 'complete' },
    {
      name: 'answered by us in text',
      status: 200,
      details: 'warmpath_read_text',
      attempts: 0,
      want: 'complete',
    },
    {
      name: 'unknown to every node tried',
      status: 404,
      details: 'via_upstream',
      flags: { upstream_retry_limit_exceeded: true },
      attempts: 2,
      want: 'complete',
    },
    { name: 'refused by us', status: 404, details: 'warmpath_model_not_found', attempts: 0, want: 'refused' },
    { name: 'no node for it', status: 503, details: 'warmpath_no_node', attempts: 0, want: 'refused' },
    {
      name: 'denied by the route table',
      status: 403,
      details: 'direct_response',
      attempts: 0,
      want: 'refused',
    },
    { name: 'too large', status: 413, details: 'request_payload_too_large', attempts: 0, want: 'refused' },
    {
      name: 'garbage',
      status: 400,
      details: 'http1.codec_error',
      flags: { downstream_protocol_error: true },
      attempts: 0,
      want: 'refused',
    },
    {
      name: 'client gone mid-stream',
      status: 200,
      details: 'downstream_remote_disconnect',
      flags: { downstream_connection_termination: true },
      want: 'client_gone',
    },
    {
      name: 'client gone before headers',
      status: 0,
      details: '',
      flags: { downstream_connection_termination: true },
      want: 'client_gone',
    },
    {
      name: 'client reset its h2 stream',
      status: 200,
      details: 'x',
      flags: { downstream_remote_reset: true },
      want: 'client_gone',
    },
    {
      name: 'node died mid-stream',
      status: 200,
      details: 'upstream_reset_after_response_started{protocol_error}',
      flags: { upstream_protocol_error: true },
      want: 'truncated',
    },
    {
      name: 'connection ended mid-stream',
      status: 200,
      details: 'x',
      flags: { upstream_connection_termination: true },
      want: 'truncated',
    },
    {
      name: 'an error line in the answer',
      status: 200,
      details: 'via_upstream',
      error: true,
      want: 'in_band_error',
    },
    {
      name: 'refused on all tries',
      status: 503,
      details: 'x',
      flags: { upstream_connection_failure: true, upstream_retry_limit_exceeded: true },
      attempts: 2,
      want: 'failed',
    },
    {
      name: 'all 500',
      status: 500,
      details: 'via_upstream',
      flags: { upstream_retry_limit_exceeded: true },
      attempts: 2,
      want: 'failed',
    },
    {
      name: 'timeout on all tries',
      status: 504,
      details: 'upstream_per_try_timeout',
      flags: { upstream_request_timeout: true },
      want: 'failed',
    },
    {
      name: 'no endpoint at all',
      status: 503,
      details: 'no_healthy_upstream',
      flags: { no_healthy_upstream: true },
      attempts: 0,
      want: 'failed',
    },
    { name: 'busy everywhere', status: 429, details: 'via_upstream', want: 'failed' },
  ])('ends as $want: $name', ({ status, details, flags, attempts = 1, error = false, want }) => {
    const outcome = readOutcome(
      entry({
        status,
        details,
        common: {
          ...(flags === undefined ? {} : { response_flags: flags }),
          upstream_request_attempt_count: attempts,
          metadata: { filter_metadata: { 'warmpath.tap': struct({ error }) } },
        },
      }),
    );
    expect(outcome.end).toBe(want);
  });

  it('names every flag in its short form', () => {
    const flags = {
      upstream_connection_failure: true,
      upstream_retry_limit_exceeded: true,
      unauthorized_details: {},
    };
    expect(readOutcome(entry({ common: { response_flags: flags } })).flags).toEqual(['UF', 'URX', 'UAEX']);
  });
});

describe('S23 a hostile entry', () => {
  it('cannot bring absurd numbers', () => {
    const tap = struct({
      prompt_tokens: Number.NaN,
      completion_tokens: -1,
      total_ns: Number.POSITIVE_INFINITY,
      load_ns: 1e300,
      eval_ns: 'many',
      error: 'yes',
    });
    const outcome = readOutcome(
      entry({
        common: {
          duration: { seconds: Number.NaN },
          time_to_first_downstream_tx_byte: { seconds: -5 },
          upstream_request_attempt_count: Number.NaN,
          metadata: { filter_metadata: { 'warmpath.tap': tap } },
        },
      }),
    );
    expect(outcome).toMatchObject({ totalMs: 0, firstByteMs: undefined, attempts: 0 });
    expect(outcome.usage).toEqual({
      promptTokens: undefined,
      completionTokens: undefined,
      totalMs: undefined,
      loadMs: undefined,
      promptEvalMs: undefined,
      evalMs: undefined,
      sawError: false,
    });
  });

  it('cannot bring long or dangerous text', () => {
    const hostile = entry({
      details: `\u001b[31m${'x'.repeat(10_000)}`,
      requestHeaders: { 'x-warmpath-decision': 'a b\n' },
    });
    if (hostile.request !== undefined) hostile.request.path = `/api/chat\r\n${'y'.repeat(10_000)}`;
    const outcome = readOutcome(hostile);
    expect(outcome.details.length).toBeLessThanOrEqual(256);
    expect(outcome.path.length).toBeLessThanOrEqual(256);
    expect(`${outcome.details}${outcome.path}`).toMatch(/^[ -~]*$/);
    expect(outcome.decisionId).toBeUndefined();
  });

  it('of any shape is read without throwing', () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 5 }), fc.anything(), (shape, anything) => {
        const common = {
          ...shape,
          response_flags: anything,
          duration: anything,
          metadata: { filter_metadata: { 'warmpath.tap': anything } },
        };
        const outcome = readOutcome({ common_properties: common, request: shape, response: shape } as never);
        expect(outcome.totalMs).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
