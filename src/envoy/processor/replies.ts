import type { Reply } from '../../app/error-reply.ts';
import type { ReadReply } from '../../app/fleet-reads.ts';
import type { RouteDecision } from '../../app/types.ts';
import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOption,
} from '../gen/envoy/config/core/v3/base.ts';
import type { ProcessingResponse } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { StatusCode } from '../gen/envoy/type/v3/http_status.ts';
import { DETAILS, DETAILS_PREFIX } from '../names.ts';
import type { StreamModes } from './modes.ts';
import type { RequestHead } from './request-head.ts';
import type { Step } from './state.ts';

/** What goes out with a decision. */
export interface Routed {
  /** What the answer is for. */
  readonly step: 'request_headers' | 'request_body';
  readonly head: RequestHead;
  readonly modes: StreamModes;
  /** What goes on instead of the body that came; undefined: that one. */
  readonly body?: Uint8Array | undefined;
}

/** Makes every answer that the processor gives; what they hold of a decision is the profile's matter. */
export abstract class Replies {
  /** The headers did not suffice: the whole body, please. */
  abstract askBody(modes: StreamModes): ProcessingResponse;
  /** The request goes on without a decision of ours. */
  abstract pass(step: Step): ProcessingResponse;
  abstract routed(decision: RouteDecision, routed: Routed): ProcessingResponse;

  /** Lets the message at hand pass as it is. */
  continue(step: Step): ProcessingResponse {
    return CONTINUE[step];
  }

  /** The answer takes longer than Envoy waits: at most `ms` from now. */
  hold(ms: number): ProcessingResponse {
    const whole = Math.max(1, Math.ceil(ms));
    return {
      override_message_timeout: { seconds: Math.floor(whole / 1000), nanos: (whole % 1000) * 1_000_000 },
    };
  }

  refusal(reply: Reply, code: string): ProcessingResponse {
    return immediate(reply.status, reply.headers, Buffer.from(reply.body), `${DETAILS_PREFIX}${code}`);
  }

  read(reply: ReadReply): ProcessingResponse {
    const isJson = reply.contentType.startsWith('application/json');
    const details = isJson ? DETAILS.readJson : DETAILS.readText;
    return immediate(reply.status, { 'content-type': reply.contentType }, reply.body, details);
  }
}

export const CONTINUE: Readonly<Record<Step, ProcessingResponse>> = {
  request_headers: { request_headers: { response: {} } },
  request_body: { request_body: { response: {} } },
  request_trailers: { request_trailers: {} },
  response_headers: { response_headers: { response: {} } },
  response_body: { response_body: { response: {} } },
  response_trailers: { response_trailers: {} },
};

export function setHeader(key: string, value: string): HeaderValueOption {
  return { header: { key, raw_value: Buffer.from(value) }, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD };
}

function immediate(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  details: string,
): ProcessingResponse {
  return {
    immediate_response: {
      // Sound: the statuses that we answer with are all in Envoy's list.
      status: { code: status as StatusCode },
      headers: { set_headers: Object.entries(headers).map(([key, value]) => setHeader(key, value)) },
      body,
      details,
    },
  };
}
