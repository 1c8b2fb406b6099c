import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import type { FleetReads, ReadReply } from '../../../../src/app/fleet-reads.ts';
import type { PlacedRequest, Placing, RequestRouter, RouteDecision } from '../../../../src/app/types.ts';
import type {
  HttpHeaders,
  ProcessingRequest,
  ProcessingResponse,
} from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { toStruct } from '../../../../src/envoy/grpc/well-known.ts';
import { type ErrorCode, RouterError } from '../../../../src/request/errors.ts';
import type { RouteRequest } from '../../../../src/request/types.ts';
import type { Caller } from '../../../../src/waiting/types.ts';

export const DECISION: RouteDecision = {
  id: 'd-1',
  addresses: ['10.0.0.1:11434', '10.0.0.2:11434', '[::1]:11434'],
  perTryTimeoutMs: 60_000,
  retryNotFound: true,
  edits: [],
};

/** Answers every request the same way and remembers what it was asked. */
export class FakeRouter implements RequestRouter {
  readonly routed: RouteRequest[] = [];
  readonly finished: string[] = [];
  readonly refusals: ErrorCode[] = [];
  answer: (request: RouteRequest) => RouteDecision = () => DECISION;

  /** Where requests wait: what they were promised, in order. */
  readonly waiting: Placing[] = [];
  /** The next requests wait until the test says otherwise. */
  holds = false;
  onFinish: (id: string) => void = (id) => this.finished.push(id);
  readonly callers: Caller[] = [];
  readonly held: number[] = [];

  place(request: RouteRequest, caller: Caller, heldBytes: number, placing: Placing): PlacedRequest {
    this.routed.push(request);
    this.callers.push(caller);
    this.held.push(heldBytes);
    let id: string | undefined;
    const watched: Placing = {
      placed: (decision) => {
        id = decision.id;
        placing.placed(decision);
      },
      refused: (error, refusalId) => placing.refused(error, refusalId),
    };
    const { holds } = this;
    if (holds) this.waiting.push(watched);
    else {
      try {
        watched.placed(this.answer(request));
      } catch (error) {
        if (!(error instanceof RouterError)) throw error;
        placing.refused(error);
      }
    }
    return {
      get isWaiting() {
        return holds && id === undefined;
      },
      finish: () => this.onFinish(id ?? 'waiting'),
    };
  }
  refused(code: ErrorCode): void {
    this.refusals.push(code);
  }
}

export class FakeReads implements FleetReads {
  readonly asked: string[] = [];
  read(method: string, path: string, query: string): ReadReply | undefined {
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    this.asked.push(`${method} ${path}?${query}`);
    if (path === '/')
      return { status: 200, contentType: 'text/plain; charset=utf-8', body: Buffer.from('here') };
    if (path !== '/api/tags') return undefined;
    return {
      status: 200,
      contentType: 'application/json; charset=utf-8',
      body: Buffer.from('{"models":[]}'),
    };
  }
}

export type ProcessCall = ClientDuplexStream<ProcessingRequest, ProcessingResponse>;

/** Opens a stream as Envoy would. */
export function process(client: Client): ProcessCall {
  const open: unknown = Reflect.get(client, 'Process');
  // Sound: the definition that the client was made from declares this method.
  return (open as (this: Client) => ProcessCall).call(client);
}

export interface HeadOptions {
  readonly method?: string;
  readonly path?: string;
  readonly bones?: string;
  readonly hasBody?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A headers message as Envoy sends it. */
export function head({
  method = 'POST',
  path = '/api/chat',
  bones,
  hasBody = true,
  headers = {},
}: HeadOptions = {}): ProcessingRequest {
  const all = {
    ':authority': 'localhost',
    ':path': path,
    ':method': method,
    'x-request-id': 'r-1',
    ...headers,
  };
  const request_headers: HttpHeaders = {
    headers: { headers: Object.entries(all).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })) },
    end_of_stream: !hasBody,
  };
  if (bones === undefined) return { request_headers };
  return { request_headers, metadata_context: { filter_metadata: { warmpath: toStruct({ bones }) } } };
}

export function body(content: string | Buffer, isLast = true): ProcessingRequest {
  return { request_body: { body: Buffer.from(content), end_of_stream: isLast } };
}
