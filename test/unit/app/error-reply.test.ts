import { describe, expect, it } from 'vitest';
import { errorReply } from '../../../src/app/error-reply.ts';
import { STATUS } from '../../../src/app/status.ts';
import { type ErrorCode, RouterError } from '../../../src/request/errors.ts';
import type { ApiFamily } from '../../../src/request/types.ts';

function reply(code: ErrorCode, family: ApiFamily) {
  const { status, headers, body } = errorReply(new RouterError(code, 'model \'x\' "y"'), family, {
    requestId: 'id-1',
  });
  return { status, headers, body: JSON.parse(body) as unknown };
}

describe('a refusal', () => {
  it('has Ollama’s shape on /api', () => {
    expect(reply('model_not_found', 'ollama')).toEqual({
      status: 404,
      headers: { 'content-type': 'application/json; charset=utf-8', 'x-warmpath-error': 'model_not_found' },
      body: { error: 'model \'x\' "y"' },
    });
  });

  it.each<{ code: ErrorCode; status: number; type: string }>([
    { code: 'invalid_json', status: 400, type: 'invalid_request_error' },
    { code: 'model_not_found', status: 404, type: 'not_found_error' },
    { code: 'not_allowed', status: 403, type: 'api_error' },
    { code: 'body_too_large', status: 413, type: 'api_error' },
    { code: 'no_node', status: 503, type: 'api_error' },
  ])('has OpenAI’s shape on /v1: $code', ({ code, status, type }) => {
    expect(reply(code, 'openai')).toMatchObject({
      status,
      body: { error: { message: 'model \'x\' "y"', type, param: null, code } },
    });
  });

  it.each<{ code: ErrorCode; type: string }>([
    { code: 'invalid_json', type: 'invalid_request_error' },
    { code: 'not_allowed', type: 'permission_error' },
    { code: 'model_not_found', type: 'not_found_error' },
    { code: 'body_too_large', type: 'request_too_large' },
    { code: 'unsupported_encoding', type: 'api_error' },
    { code: 'no_node', type: 'overloaded_error' },
    { code: 'internal', type: 'api_error' },
  ])('has Anthropic’s shape on /v1/messages: $code', ({ code, type }) => {
    expect(reply(code, 'anthropic').body).toEqual({
      type: 'error',
      error: { type, message: 'model \'x\' "y"' },
      request_id: 'req_id-1',
    });
  });

  it('names its code in a header, whatever the shape', () => {
    for (const code of Object.keys(STATUS) as ErrorCode[]) // sound: STATUS has exactly these keys
      for (const family of ['ollama', 'openai', 'anthropic'] as const)
        expect(reply(code, family).headers['x-warmpath-error']).toBe(code);
  });

  it.each([
    { seconds: undefined, want: '1' },
    { seconds: 0.2, want: '1' },
    { seconds: 6.1, want: '7' },
  ])('says when to come back ($seconds s)', ({ seconds, want }) => {
    const error = new RouterError(
      'no_node',
      'm',
      seconds === undefined ? {} : { retryAfterSeconds: seconds },
    );
    expect(errorReply(error, 'ollama').headers['retry-after']).toBe(want);
  });

  it('that coming back does not help has no Retry-After', () => {
    expect(reply('model_not_found', 'ollama').headers).not.toHaveProperty('retry-after');
  });
});
