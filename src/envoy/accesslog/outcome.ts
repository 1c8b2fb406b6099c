import type { Outcome } from '../../app/types.ts';
import { RequestMethod } from '../gen/envoy/config/core/v3/base.ts';
import type { HTTPAccessLogEntry } from '../gen/envoy/data/accesslog/v3/accesslog.ts';
import { unwrapNumber } from '../grpc/well-known.ts';
import { HEADER, MAX_REQUEST_ID, METADATA } from '../names.ts';
import { addressText, count, decisionId, durationMs, text } from './fields.ts';
import { shortFlags } from './flags.ts';
import { outcomeEnd } from './outcome-end.ts';
import { readUsage } from './usage.ts';

const MAX_PATH = 256;
const MAX_DETAILS = 256;
const METHODS = new Map<number, string>(Object.entries(RequestMethod).map(([name, value]) => [value, name]));

/** An entry of the log of requests. */
export function readOutcome(entry: HTTPAccessLogEntry): Outcome {
  const { request, response, common_properties: common } = entry;
  const status = count(unwrapNumber(response?.response_code)) ?? 0;
  const details = text(response?.response_code_details, MAX_DETAILS);
  const flags = shortFlags(common?.response_flags);
  const attempts = count(common?.upstream_request_attempt_count) ?? 0;
  const usage = readUsage(common?.metadata?.filter_metadata?.[METADATA.tap]);
  return {
    decisionId: decisionId(request?.request_headers, HEADER.decision),
    requestId: text(request?.request_id, MAX_REQUEST_ID) || undefined,
    path: pathOf(request?.path),
    method: METHODS.get(request?.request_method ?? 0) ?? 'METHOD_UNSPECIFIED',
    status,
    details,
    flags: [...flags],
    address: addressText(common?.upstream_remote_address),
    attempts,
    firstByteMs:
      durationMs(common?.time_to_first_downstream_tx_byte) ??
      durationMs(common?.time_to_first_upstream_rx_byte),
    totalMs: durationMs(common?.duration) ?? durationMs(common?.time_to_last_downstream_tx_byte) ?? 0,
    requestBytes: count(request?.request_body_bytes) ?? 0,
    responseBytes: count(response?.response_body_bytes) ?? 0,
    usage,
    end: outcomeEnd({ status, details, flags, attempts, sawError: usage.sawError }),
  };
}

function pathOf(target: string | undefined): string {
  const path = text(target, MAX_PATH);
  const mark = path.indexOf('?');
  return mark < 0 ? path : path.slice(0, mark);
}
