import type { Ending } from '../grpc/call.ts';
import type {
  CommonResponse,
  HeaderMutation,
  ProcessingResponse,
  ReplyKind,
  Struct,
} from '../grpc/messages.ts';
import { NAMES } from './request.ts';

/** All that a picker said to one phase (request or response) of one HTTP request. */
export interface Answer {
  readonly replies: readonly ProcessingResponse[];
  /** The stream was over before the phase was. */
  readonly ending: Ending | undefined;
  /** The picker owed something and said nothing for the whole time that it is given. */
  readonly isSilent: boolean;
}

export interface Destination {
  readonly header: string | undefined;
  readonly isRaw: boolean;
  /** How many times the header is set. */
  readonly times: number;
  readonly metadata: string | undefined;
  readonly clearsRouteCache: boolean;
}

export interface Echo {
  readonly bytes: Buffer;
  readonly pieces: readonly { readonly bytes: number; readonly isEnd: boolean }[];
  /** Answers to body messages that are no StreamedBodyResponse. */
  readonly others: number;
}

/** What the first answer that names one says about where the request goes. */
export function destinationOf(answer: Answer): Destination | undefined {
  for (const reply of answer.replies) {
    const common = commonOf(reply);
    const set = settings(common?.header_mutation, NAMES.destination);
    const metadata = metadataOf(reply);
    if (set.length === 0 && metadata === undefined) continue;
    return {
      header: set[0]?.text,
      isRaw: set[0]?.isRaw ?? false,
      times: set.length,
      metadata,
      clearsRouteCache: common?.clear_route_cache === true,
    };
  }
  return undefined;
}

/** What goes on as the body in duplex mode. */
export function echoOf(answer: Answer, kind: 'request_body' | 'response_body'): Echo {
  const chunks: Buffer[] = [];
  const pieces: { bytes: number; isEnd: boolean }[] = [];
  let others = 0;
  for (const reply of answer.replies) {
    if (reply.response !== kind) continue;
    const streamed = reply[kind]?.response?.body_mutation?.streamed_response;
    if (streamed === undefined || streamed === null) {
      others += 1;
      continue;
    }
    const body = streamed.body ?? Buffer.alloc(0);
    chunks.push(body);
    pieces.push({ bytes: body.length, isEnd: streamed.end_of_stream === true });
  }
  return { bytes: Buffer.concat(chunks), pieces, others };
}

export function immediateOf(answer: Answer): { status: number } | undefined {
  const found = answer.replies.find((reply) => reply.response === 'immediate_response');
  return found === undefined ? undefined : { status: found.immediate_response?.status?.code ?? 0 };
}

export function find(answer: Answer, kind: ReplyKind): ProcessingResponse | undefined {
  return answer.replies.find((reply) => reply.response === kind);
}

/** The values that a mutation gives to one header. */
export function settings(
  mutation: HeaderMutation | undefined | null,
  name: string,
): { readonly text: string; readonly isRaw: boolean }[] {
  const out: { text: string; isRaw: boolean }[] = [];
  for (const { header } of mutation?.set_headers ?? []) {
    if (header?.key?.toLowerCase() !== name) continue;
    const raw = header.raw_value ?? new Uint8Array(0);
    const isRaw = raw.length > 0;
    out.push({ text: isRaw ? Buffer.from(raw).toString() : (header.value ?? ''), isRaw });
  }
  return out;
}

/** In words, for a report. */
export function describe(answer: Answer): string {
  const parts: string[] = [];
  for (const reply of answer.replies) {
    const word = describeReply(reply);
    const last = parts.at(-1);
    const times = last === undefined ? undefined : /^(.*) × (\d+)$/.exec(last);
    if (last === word) parts[parts.length - 1] = `${word} × 2`;
    else if (times?.[1] === word) parts[parts.length - 1] = `${word} × ${Number(times[2]) + 1}`;
    else parts.push(word);
  }
  if (answer.ending !== undefined) parts.push(describeEnding(answer.ending));
  if (answer.isSilent) parts.push(parts.length === 0 ? 'silence' : 'then silence');
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

export function describeEnding(ending: Ending): string {
  if (ending.kind === 'http') return `stream ended with HTTP ${ending.status}`;
  if (ending.kind === 'reset') return `stream reset (HTTP/2 code ${ending.code})`;
  return `stream ended with gRPC status ${ending.code}${ending.message === '' ? '' : ` "${ending.message.slice(0, 120)}"`}`;
}

function describeReply(reply: ProcessingResponse): string {
  const kind = reply.response;
  if (kind === undefined)
    return reply.override_message_timeout ? 'more time asked for' : 'an answer without content';
  if (kind === 'immediate_response')
    return `ImmediateResponse ${reply.immediate_response?.status?.code ?? 'without status'}`;
  if (kind !== 'request_body' && kind !== 'response_body') return kind;
  const streamed = reply[kind]?.response?.body_mutation?.streamed_response;
  if (streamed === undefined || streamed === null) return kind;
  return streamed.end_of_stream === true ? `${kind} piece with end_of_stream` : `${kind} piece`;
}

function commonOf(reply: ProcessingResponse): CommonResponse | undefined {
  const kind = reply.response;
  if (kind === 'request_headers' || kind === 'request_body') return reply[kind]?.response ?? undefined;
  return undefined;
}

function metadataOf(reply: ProcessingResponse): string | undefined {
  const inner: Struct | undefined = reply.dynamic_metadata?.fields?.[NAMES.lb]?.structValue;
  const value = inner?.fields?.[NAMES.destination];
  return value?.stringValue ?? (value === undefined ? undefined : '(not a string)');
}
