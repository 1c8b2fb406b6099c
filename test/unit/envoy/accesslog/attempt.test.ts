import { describe, expect, it } from 'vitest';
import { readAttempt } from '../../../../src/envoy/accesslog/attempt.ts';
import type { ResponseFlags } from '../../../../src/envoy/gen/envoy/data/accesslog/v3/accesslog.ts';
import type { FailureReason } from '../../../../src/fleet/types.ts';
import { entry } from './fixtures.ts';

describe('an entry of the log of attempts', () => {
  it.each<{ name: string; status?: number; flags?: ResponseFlags; transport?: string; want: FailureReason }>([
    {
      name: 'F50 refused',
      flags: { upstream_connection_failure: true },
      transport: 'delayed connect error: Connection refused',
      want: 'refused',
    },
    {
      name: 'F51 no connection in time',
      flags: { upstream_connection_failure: true },
      transport: '',
      want: 'connect_timeout',
    },
    {
      name: 'F72 a certificate that does not fit',
      flags: { upstream_connection_failure: true },
      transport: 'TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED',
      want: 'tls',
    },
    { name: 'F52 no first byte in time', flags: { upstream_request_timeout: true }, want: 'timeout' },
    { name: 'cut before the answer', flags: { upstream_connection_termination: true }, want: 'reset' },
    { name: 'reset before the answer', flags: { upstream_remote_reset: true }, want: 'reset' },
    {
      name: 'F54 cut inside the answer',
      status: 200,
      flags: { upstream_protocol_error: true },
      want: 'truncated',
    },
    { name: 'F65 not HTTP', flags: { upstream_protocol_error: true }, want: 'bad_answer' },
    { name: 'F56 500', status: 500, want: 'server_error' },
    { name: '502', status: 502, want: 'server_error' },
    { name: 'F58 503', status: 503, want: 'busy' },
    { name: 'F58 429', status: 429, want: 'busy' },
    { name: 'F59 404', status: 404, want: 'model_missing' },
  ])('$name is $want', ({ status = 0, flags = {}, transport = '', want }) => {
    const common = { response_flags: flags, upstream_transport_failure_reason: transport };
    expect(readAttempt(entry({ status, common }))).toEqual({
      decisionId: 'd-1',
      address: '10.0.0.1:11434',
      reason: want,
      status: status === 0 ? undefined : status,
      retryAfterMs: undefined,
    });
  });

  it.each<{ name: string; status: number; flags?: ResponseFlags }>([
    { name: 'a good answer', status: 200 },
    { name: 'F60 a bad request', status: 400 },
    { name: 'F03 a client that hung up', status: 200, flags: { downstream_connection_termination: true } },
    { name: 'our own circuit breaker', status: 0, flags: { upstream_overflow: true } },
  ])('$name is no failure of the node', ({ status, flags = {} }) => {
    expect(readAttempt(entry({ status, common: { response_flags: flags } }))).toBeUndefined();
  });

  it('of a request without a decision, or without a node, tells nothing', () => {
    expect(readAttempt(entry({ status: 500, requestHeaders: {} }))).toBeUndefined();
    expect(readAttempt({ ...entry({ status: 500 }), common_properties: {} })).toBeUndefined();
  });

  it('that only says that a connection is ready is none', () => {
    expect(readAttempt(entry({ status: 500, common: { access_log_type: 7 } }))).toBeUndefined();
  });

  it.each([
    { header: '7', want: 7_000 },
    { header: '999999999', want: 3_600_000 },
    { header: '-1', want: undefined },
    { header: 'Wed, 21 Oct 2026 07:28:00 GMT', want: undefined },
  ])('reads how long a busy node asks to wait: $header', ({ header, want }) => {
    expect(
      readAttempt(entry({ status: 503, responseHeaders: { 'retry-after': header } }))?.retryAfterMs,
    ).toBe(want);
  });
});
