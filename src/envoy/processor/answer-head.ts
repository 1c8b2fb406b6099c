import { count, text } from '../accesslog/fields.ts';
import { flagsOfBits } from '../accesslog/flag-bits.ts';
import type { Flag } from '../accesslog/flags.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { HEADER } from '../names.ts';
import { attributeNumber, attributesOf, attributeText } from './answer-attributes.ts';
import { type AnswerKind, answerKind } from './answer-usage.ts';
import { headerValue } from './request-head.ts';
import { type ServedEndpoint, servedEndpoint } from './served-endpoint.ts';

/** What the headers of an answer say, and what the proxy says beside them. */
export interface AnswerHead {
  readonly status: number;
  /** Undefined: its body is not read, for what it is or because it is compressed. */
  readonly kind: AnswerKind | undefined;
  readonly lengthBytes: number | undefined;
  readonly retryAfterMs: number | undefined;
  /** No body and no trailers follow. */
  readonly isWhole: boolean;
  readonly served: ServedEndpoint | undefined;
  /** Nodes that were tried, 0 for none; undefined where the proxy does not tell. */
  readonly attempts: number | undefined;
  /** Whether a node answered, or the proxy by itself; undefined where nobody knows. */
  readonly isFromNode: boolean | undefined;
  /** Envoy's response_code_details; empty where it does not tell. */
  readonly details: string;
  readonly flags: ReadonlySet<Flag>;
}

const MAX_DETAILS = 256;
const MAX_ATTEMPTS = 1_000;
const MAX_RETRY_AFTER_S = 3_600;

export function readAnswerHead(message: ProcessingRequest): AnswerHead {
  let status = '';
  let type = '';
  let encoding = '';
  let length = '';
  let retryAfter = '';
  let tried = '';
  let hasUpstreamTime = false;
  for (const header of message.response_headers?.headers?.headers ?? []) {
    switch (header.key) {
      case ':status':
        status = headerValue(header);
        break;
      case 'content-type':
        type = headerValue(header);
        break;
      case 'content-encoding':
        encoding = headerValue(header).trim().toLowerCase();
        break;
      case 'content-length':
        length = headerValue(header);
        break;
      case 'retry-after':
        retryAfter = headerValue(header);
        break;
      case HEADER.attemptCount:
        tried = headerValue(header);
        break;
      case HEADER.upstreamTime:
        hasUpstreamTime = true;
        break;
    }
  }
  const attributes = attributesOf(message);
  const details = text(attributeText(attributes, 'response.code_details'), MAX_DETAILS);
  const isPlain = encoding === '' || encoding === 'identity';
  const code = /^\d{3}$/.test(status) ? Number(status) : 0;
  return {
    status: code,
    kind: code === 200 && isPlain ? answerKind(type) : undefined,
    lengthBytes: wholeNumber(length),
    retryAfterMs: retryAfterMs(retryAfter),
    isWhole: message.response_headers?.end_of_stream === true,
    served: servedEndpoint(message, attributes),
    attempts: attemptsTold(attributeNumber(attributes, 'upstream.request_attempt_count'), tried),
    isFromNode: details === '' ? (hasUpstreamTime ? true : undefined) : details === 'via_upstream',
    details,
    flags: flagsOfBits(attributeNumber(attributes, 'response.flags') ?? 0),
  };
}

function attemptsTold(attribute: number | undefined, header: string): number | undefined {
  const told = count(attribute) ?? wholeNumber(header);
  return told === undefined ? undefined : Math.min(Math.trunc(told), MAX_ATTEMPTS);
}

/** Seconds alone: no node of ours sends a date. */
function retryAfterMs(value: string): number | undefined {
  const seconds = wholeNumber(value);
  return seconds === undefined ? undefined : Math.min(seconds, MAX_RETRY_AFTER_S) * 1_000;
}

function wholeNumber(value: string): number | undefined {
  return /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
