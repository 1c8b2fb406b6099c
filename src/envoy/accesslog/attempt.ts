import type { AttemptReport } from '../../app/types.ts';
import type { FailureReason } from '../../fleet/types.ts';
import { AccessLogType, type HTTPAccessLogEntry } from '../gen/envoy/data/accesslog/v3/accesslog.ts';
import { unwrapNumber } from '../grpc/well-known.ts';
import { HEADER } from '../names.ts';
import { addressText, count, decisionId, text } from './fields.ts';
import { type Flag, shortFlags } from './flags.ts';

const MAX_RETRY_AFTER_S = 3_600;

/** An entry of the log of attempts; undefined where the attempt did not fail, or not through the node. */
export function readAttempt(entry: HTTPAccessLogEntry): AttemptReport | undefined {
  const { request, response, common_properties: common } = entry;
  const id = decisionId(request?.request_headers, HEADER.decision);
  const address = addressText(common?.upstream_remote_address);
  if (id === undefined || address === undefined) return undefined;
  if (common?.access_log_type === AccessLogType.UpstreamPoolReady) return undefined;
  const status = count(unwrapNumber(response?.response_code)) || undefined;
  const reason = failureReason({
    status,
    flags: shortFlags(common?.response_flags),
    transport: text(common?.upstream_transport_failure_reason, 512),
  });
  if (reason === undefined) return undefined;
  return { decisionId: id, address, reason, status, retryAfterMs: retryAfterMs(response?.response_headers) };
}

interface AttemptFacts {
  readonly status: number | undefined;
  readonly flags: ReadonlySet<Flag>;
  /** Envoy's words for why no connection came about. */
  readonly transport: string;
}

/** Undefined: the attempt went well, or what ended it was not the node. */
export function failureReason({ status, flags, transport }: AttemptFacts): FailureReason | undefined {
  if (flags.has('DC') || flags.has('DR')) return undefined;
  if (flags.has('UF')) return connectFailure(transport);
  const hasBegun = status !== undefined && status < 400;
  if (flags.has('UT') || flags.has('SI') || flags.has('DT') || flags.has('UMSDR'))
    return hasBegun ? 'truncated' : 'timeout';
  if (flags.has('UPE')) return hasBegun ? 'truncated' : 'bad_answer';
  if (flags.has('UC') || flags.has('UR') || flags.has('LR')) return hasBegun ? 'truncated' : 'reset';
  return status === undefined ? undefined : statusFailure(status);
}

/** Envoy gives a reason for every failed connect but one: that it took too long. */
function connectFailure(transport: string): FailureReason {
  if (/TLS|SSL|certificate/i.test(transport)) return 'tls';
  return transport === '' || /timed? ?out/i.test(transport) ? 'connect_timeout' : 'refused';
}

function statusFailure(status: number): FailureReason | undefined {
  if (status === 404) return 'model_missing';
  if (status === 429 || status === 503) return 'busy';
  return status >= 500 ? 'server_error' : undefined;
}

/** Seconds alone: no node of ours sends a date. */
function retryAfterMs(headers: { readonly [key: string]: string } | undefined): number | undefined {
  const value = headers?.['retry-after'];
  if (value === undefined || !/^\d{1,9}$/.test(value)) return undefined;
  return Math.min(Number(value), MAX_RETRY_AFTER_S) * 1000;
}
