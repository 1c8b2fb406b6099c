import type {
  AccessLogCommon,
  HTTPAccessLogEntry,
} from '../../../../src/envoy/gen/envoy/data/accesslog/v3/accesslog.ts';

/** A Struct as it is on the wire. */
export function struct(values: Record<string, number | boolean | string>): { [key: string]: unknown } {
  const fields = Object.entries(values).map(([name, value]) => {
    if (typeof value === 'number') return [name, { numberValue: value }];
    return [name, typeof value === 'boolean' ? { boolValue: value } : { stringValue: value }];
  });
  return { fields: Object.fromEntries(fields) };
}

/** UInt32Value as proto-loader gives it; the generated type says number. */
export function wrapped(value: number): number {
  return { value } as unknown as number;
}

export interface EntryOptions {
  readonly status?: number;
  readonly details?: string;
  readonly common?: AccessLogCommon;
  readonly requestHeaders?: Record<string, string>;
  readonly responseHeaders?: Record<string, string>;
}

/** An answered chat on 10.0.0.1:11434. */
export function entry({
  status = 200,
  details = 'via_upstream',
  common = {},
  requestHeaders = { 'x-warmpath-decision': 'd-1' },
  responseHeaders = {},
}: EntryOptions = {}): HTTPAccessLogEntry {
  return {
    common_properties: {
      upstream_remote_address: { socket_address: { address: '10.0.0.1', port_value: 11434 } },
      upstream_request_attempt_count: 1,
      duration: { seconds: 1, nanos: 500_000_000 },
      time_to_first_downstream_tx_byte: { nanos: 250_000_000 },
      ...common,
    },
    request: {
      request_method: 3,
      path: '/api/chat?x=1',
      request_body_bytes: 300,
      request_headers: requestHeaders,
    },
    response: {
      ...(status === 0 ? {} : { response_code: wrapped(status) }),
      response_code_details: details,
      response_body_bytes: 4_000,
      response_headers: responseHeaders,
    },
  };
}
