import { anthropicErrorType, openAiErrorType } from '../../app/error-types.ts';
import type { ApiFamily } from '../../request/types.ts';
import { DETAILS_PREFIX, HEADER } from '../names.ts';
import { extension, type Message } from './message.ts';
import type { BootstrapOptions } from './options.ts';

/** One reason for which Envoy itself answers, and what the client is told. */
interface Reply {
  readonly when: Message;
  /** What the client sees; Envoy's own where `answersWith` is not set. */
  readonly status: number;
  /** Sent instead of Envoy's status. */
  readonly answersWith?: number;
  readonly code: string;
  /** Undefined: what the route's direct response says. */
  readonly message?: string;
  readonly retryAfterSeconds?: number;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const FAMILIES: readonly ApiFamily[] = ['anthropic', 'openai', 'ollama'];

/** Every answer that Envoy makes by itself, in the shape of the API that was called. First match wins. */
export function localReplyConfig(options: BootstrapOptions): Message {
  const shaped = replies(options).flatMap((reply) =>
    FAMILIES.map((family) => mapper(reply, family, options.exposeHeaders)),
  );
  return { mappers: [readyMade(), notAnError(), ...shaped] };
}

/** Answers to preflights: no body may follow a 204. */
function notAnError(): Message {
  return { filter: status('LE', 399) };
}

/** What ext_proc answered has its shape already. */
function readyMade(): Message {
  return {
    filter: details(`response.code_details.startsWith('${DETAILS_PREFIX}')`),
    body_format_override: {
      text_format_source: { inline_string: '%LOCAL_REPLY_BODY%' },
      content_type: JSON_TYPE,
    },
  };
}

function replies({ limits }: BootstrapOptions): readonly Reply[] {
  return [
    {
      when: details("response.code_details.startsWith('rbac_access_denied')"),
      status: 403,
      code: 'not_allowed',
      message: 'pages of this origin may not call this server: list the origin in its configuration',
    },
    {
      when: details("response.code_details == 'cdn_loop_detected'"),
      status: 508,
      answersWith: 508,
      code: 'loop_detected',
      message: 'this request has been here before: the URL of a node leads back to this router',
    },
    ...direct(403, 'not_allowed'),
    ...direct(405, 'method_not_allowed'),
    ...direct(415, 'unsupported_encoding'),
    ...direct(417, 'unsupported_expectation'),
    {
      when: status('EQ', 413),
      status: 413,
      code: 'body_too_large',
      message: `the request body is larger than ${readable(limits.bodyBytes)}`,
    },
    {
      when: status('EQ', 408),
      status: 408,
      code: 'request_timeout',
      message: 'the request did not arrive in time',
    },
    {
      when: status('EQ', 431),
      status: 431,
      code: 'headers_too_large',
      message: 'the request headers are too large',
    },
    {
      when: status('EQ', 426),
      status: 426,
      code: 'upgrade_required',
      message: 'this version of HTTP is not supported: use HTTP/1.1',
    },
    { when: status('EQ', 404), status: 404, code: 'not_allowed', message: '404 page not found' },
    {
      when: details("response.code_details == 'upgrade_failed'"),
      status: 403,
      code: 'not_allowed',
      message: 'protocol upgrades are not supported',
    },
    {
      when: status('EQ', 403),
      status: 403,
      code: 'not_allowed',
      message: 'this request is not allowed here',
    },
    {
      when: details("response.code_details.startsWith('overload')"),
      status: 503,
      code: 'overloaded',
      message: 'the router is out of memory for now: please try again',
      retryAfterSeconds: 5,
    },
    {
      when: { response_flag_filter: { flags: ['UH'] } },
      status: 503,
      code: 'no_node',
      message: 'no node can take this request now: none is known',
      retryAfterSeconds: 2,
    },
    {
      when: status('EQ', 504),
      status: 504,
      code: 'upstream_timeout',
      message: 'no node began its answer in time',
    },
    {
      when: { or_filter: { filters: [status('EQ', 502), status('EQ', 503)] } },
      status: 503,
      code: 'upstream_failed',
      message: 'no node took this request: each one tried refused it or failed',
      retryAfterSeconds: 1,
    },
    {
      when: status('GE', 500),
      status: 500,
      code: 'internal',
      message: 'the router could not handle this request',
    },
    {
      when: { not_health_check_filter: {} },
      status: 400,
      code: 'bad_request',
      message: 'this is not a valid HTTP request',
    },
  ];
}

/** A route's own refusal: its text says why. */
function direct(code: number, name: string): readonly Reply[] {
  const when = {
    and_filter: {
      filters: [details("response.code_details == 'direct_response'"), status('EQ', code)],
    },
  };
  return [{ when, status: code, code: name }];
}

function mapper(reply: Reply, family: ApiFamily, exposeHeaders: boolean): Message {
  const headers = [
    { key: HEADER.error, value: reply.code },
    ...(reply.retryAfterSeconds === undefined
      ? []
      : [{ key: 'retry-after', value: String(reply.retryAfterSeconds) }]),
    ...(exposeHeaders ? [{ key: HEADER.decision, value: `%REQ(${HEADER.decision})%` }] : []),
  ];
  return {
    filter: { and_filter: { filters: [ofFamily(family), reply.when] } },
    ...(reply.answersWith === undefined ? {} : { status_code: reply.answersWith }),
    ...(reply.message === undefined ? {} : { body: { inline_string: reply.message } }),
    body_format_override: { json_format: shape(family, reply), content_type: JSON_TYPE },
    headers_to_add: headers.map((header) => ({
      header,
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
      keep_empty_value: false,
    })),
  };
}

/** The error object of one API around Envoy's text. */
function shape(family: ApiFamily, { status: code, code: name }: Reply): Message {
  const message = '%LOCAL_REPLY_BODY%';
  switch (family) {
    case 'ollama':
      return { error: message };
    case 'openai':
      return { error: { message, type: openAiErrorType(code), param: null, code: name } };
    case 'anthropic':
      return {
        type: 'error',
        error: { type: anthropicErrorType(code), message },
        request_id: 'req_%STREAM_ID%',
      };
  }
}

function ofFamily(family: ApiFamily): Message {
  const path = (prefix: string) => ({
    header_filter: { header: { name: ':path', string_match: { prefix } } },
  });
  switch (family) {
    case 'anthropic':
      return path('/v1/messages');
    case 'openai':
      return path('/v1/');
    case 'ollama':
      return { not_health_check_filter: {} };
  }
}

function status(op: 'EQ' | 'GE' | 'LE', code: number): Message {
  return { status_code_filter: { comparison: { op, value: { default_value: code, runtime_key: 'none' } } } };
}

function details(expression: string): Message {
  return {
    extension_filter: extension('cel', 'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter', {
      expression,
    }),
  };
}

function readable(bytes: number): string {
  const mebibytes = bytes / (1024 * 1024);
  return mebibytes >= 1 && Number.isInteger(mebibytes) ? `${mebibytes} MiB` : `${bytes} bytes`;
}
