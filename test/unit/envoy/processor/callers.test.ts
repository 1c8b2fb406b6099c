import { describe, expect, it } from 'vitest';
import { type CallerPolicy, createCallers, deadlineMs } from '../../../../src/envoy/processor/callers.ts';
import { type RequestHead, readHead } from '../../../../src/envoy/processor/request-head.ts';
import { head as headMessage } from './fakes.ts';
import { overTheWire } from './wire.ts';

const KEY = 'a-key-of-some-length';
const POLICY: CallerPolicy = {
  maxWaitMs: 30_000,
  defaultClass: 'normal',
  classes: { '/api/embed': 'batch' },
  trustHeaders: true,
  clients: [
    { name: 'ci', key: KEY, class: 'batch', isPrivileged: true },
    { name: 'chat', key: 'another-key-of-some-length', isPrivileged: false },
  ],
};

function head(fields: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'POST',
    path: '/api/chat',
    query: '',
    requestId: 'r-1',
    contentLength: 10,
    encoding: '',
    address: '192.0.2.7',
    forwardedFor: '',
    requestClass: '',
    deadline: '',
    objective: '',
    fairnessId: '',
    firstTokenMs: '',
    testSelection: undefined,
    authorization: '',
    apiKey: '',
    hasBody: true,
    bones: undefined,
    ...fields,
  };
}

describe('who asks', () => {
  const caller = createCallers(POLICY);

  it('is the address where no key is known', () => {
    expect(caller(head())).toEqual({
      id: '192.0.2.7',
      class: 'normal',
      maxWaitMs: 30_000,
      hasOwnDeadline: false,
      isPrivileged: false,
    });
    expect(caller(head({ authorization: 'Bearer unknown-key-of-some-length' })).id).toBe('192.0.2.7');
    expect(caller(head({ authorization: `Basic ${KEY}` })).id).toBe('192.0.2.7');
    expect(caller(head({ authorization: `Bearer ${KEY} ` })).id).toBe('192.0.2.7');
    expect(caller(head({ authorization: 'x'.repeat(1e6) })).id).toBe('192.0.2.7');
  });

  it('is the client whose key came', () => {
    expect(caller(head({ authorization: `bearer ${KEY}` }))).toMatchObject({
      id: 'ci',
      isPrivileged: true,
    });
    expect(caller(head({ apiKey: KEY, path: '/v1/messages' }))).toMatchObject({ id: 'ci' });
  });
});

describe('how urgent a request is', () => {
  const caller = createCallers(POLICY);
  it.each([
    { name: 'the default', fields: {}, want: 'normal' },
    { name: 'the path', fields: { path: '/api/embed' }, want: 'batch' },
    {
      name: 'its own word, over the path',
      fields: { path: '/api/embed', requestClass: ' Interactive' },
      want: 'interactive',
    },
    {
      name: 'the client, over its word',
      fields: { requestClass: 'interactive', authorization: `Bearer ${KEY}` },
      want: 'batch',
    },
    { name: 'the default, where the word is none', fields: { requestClass: 'urgent' }, want: 'normal' },
  ])('is said by $name', ({ fields, want }) => {
    expect(caller(head(fields)).class).toBe(want);
  });

  it('is nothing that a client may say where it is not trusted', () => {
    const strict = createCallers({ ...POLICY, trustHeaders: false });
    const said = strict(head({ requestClass: 'interactive', deadline: '1s' }));
    expect(said).toMatchObject({ class: 'normal', maxWaitMs: 30_000 });
  });
});

describe('how long a request may wait', () => {
  const caller = createCallers(POLICY);
  it.each([
    { text: '5', want: 5_000 },
    { text: '1.5', want: 1_500 },
    { text: '250ms', want: 250 },
    { text: '1m30s', want: 90_000 },
    { text: '0', want: 1 },
    { text: '1h', want: 600_000 },
    { text: 'soon', want: 30_000 },
    { text: '-5', want: 30_000 },
    { text: '1e9', want: 30_000 },
    { text: '5 s', want: 30_000 },
  ])('is $want ms where it says "$text"', ({ text, want }) => {
    expect(caller(head({ deadline: text })).maxWaitMs).toBe(want);
  });

  it('is nothing where nobody waits, whatever it says', () => {
    expect(createCallers({ ...POLICY, maxWaitMs: 0 })(head({ deadline: '10s' })).maxWaitMs).toBe(0);
  });

  it('may be longer than ten minutes where the configuration says so', () => {
    expect(createCallers({ ...POLICY, maxWaitMs: 3_600_000 })(head({ deadline: '45m' })).maxWaitMs).toBe(
      2_700_000,
    );
  });

  it('is read within a bounded time', () => {
    expect(deadlineMs('1h'.repeat(100_000))).toBeUndefined();
  });
});

describe("what somebody else's gateway says of a request", () => {
  const gateway = {
    objectives: new Map([['premium', 'interactive'] as const, ['batch', 'normal'] as const]),
  };
  const caller = createCallers({ ...POLICY, gateway });
  /** As the headers are read off the wire. */
  const said = (headers: Record<string, string>, asked = caller) => {
    const message = overTheWire(headMessage({ headers }));
    return asked(readHead(message, message.request_headers ?? {}));
  };

  it.each([
    {
      name: 'that of its objective',
      headers: { 'x-gateway-inference-objective': 'premium' },
      want: 'interactive',
    },
    {
      name: "that of its objective, in llm-d's spelling",
      headers: { 'x-llm-d-inference-objective': 'premium' },
      want: 'interactive',
    },
    {
      name: "llm-d's, where both came",
      headers: { 'x-llm-d-inference-objective': 'interactive', 'x-gateway-inference-objective': 'batch' },
      want: 'interactive',
    },
    {
      name: 'what the configuration makes of a name that is a class',
      headers: { 'x-gateway-inference-objective': 'batch' },
      want: 'normal',
    },
    {
      name: 'the class of that name',
      headers: { 'x-gateway-inference-objective': ' Interactive ' },
      want: 'interactive',
    },
    {
      name: 'the default, where nobody knows the objective',
      headers: { 'x-gateway-inference-objective': 'food-review' },
      want: 'normal',
    },
    {
      name: 'the default, where it is no name',
      headers: { 'x-gateway-inference-objective': `premium${' '.repeat(300)}x` },
      want: 'normal',
    },
    {
      name: "Warmpath's own word, over the objective",
      headers: { 'x-warmpath-class': 'batch', 'x-gateway-inference-objective': 'premium' },
      want: 'batch',
    },
    {
      name: "the client's own, over both",
      headers: { authorization: `Bearer ${KEY}`, 'x-gateway-inference-objective': 'premium' },
      want: 'batch',
    },
  ])('makes it as urgent as $name', ({ headers, want }) => {
    expect(said(headers).class).toBe(want);
  });

  it.each([
    {
      name: 'its fairness id',
      headers: { 'x-gateway-inference-fairness-id': 'team-a' },
      want: 'fairness:team-a',
    },
    {
      name: "its fairness id, in llm-d's spelling",
      headers: { 'x-llm-d-inference-fairness-id': 'b', 'x-gateway-inference-fairness-id': 'a' },
      want: 'fairness:b',
    },
    {
      name: 'a known client, whatever its fairness id',
      headers: { authorization: `Bearer ${KEY}`, 'x-gateway-inference-fairness-id': 'chat' },
      want: 'ci',
    },
    {
      name: 'an id that no client has',
      headers: { 'x-gateway-inference-fairness-id': 'ci' },
      want: 'fairness:ci',
    },
    {
      name: 'its address, where the id is nothing',
      headers: { 'x-gateway-inference-fairness-id': ' \u0007 ', 'x-envoy-external-address': '192.0.2.1' },
      want: '192.0.2.1',
    },
    {
      name: 'the address that the gateway saw',
      headers: { 'x-forwarded-for': '6.6.6.6, 192.0.2.9' },
      want: '192.0.2.9',
    },
    {
      name: 'nobody, where that is no address',
      headers: { 'x-forwarded-for': '6.6.6.6, unknown' },
      want: '',
    },
  ])('makes it that of $name', ({ headers, want }) => {
    expect(said(headers).id).toBe(want);
  });

  it('keeps fairness ids short and printable, and different ones different', () => {
    const id = (text: string) => said({ 'x-gateway-inference-fairness-id': text }).id;
    expect(id('a\u001b[31mb\nc\u00e9')).toBe('fairness:a [31mb c');
    const ids = ['x'.repeat(10_000), 'x'.repeat(10_001)].map(id);
    expect(new Set(ids).size).toBe(2);
    for (const each of ids) expect(each).toMatch(/^fairness:[!-~]{64}$/);
  });

  it.each([
    { name: 'a first token', headers: { 'x-slo-ttft-ms': '2500' }, want: 2_500 },
    {
      name: "a first token, in llm-d's spelling",
      headers: { 'x-llm-d-slo-ttft-ms': '1500.5', 'x-slo-ttft-ms': '9' },
      want: 1_500.5,
    },
    {
      name: "Warmpath's own word",
      headers: { 'x-warmpath-deadline': '3s', 'x-slo-ttft-ms': '9' },
      want: 3_000,
    },
    { name: 'at most the longest wait', headers: { 'x-slo-ttft-ms': '999999999' }, want: 600_000 },
  ])('is a deadline: $name', ({ headers, want }) => {
    expect(said(headers)).toMatchObject({ hasOwnDeadline: true, maxWaitMs: want });
  });

  it.each(['0', '-5', 'soon', '1e9', '9'.repeat(40)])('is no deadline where it says %s', (text) => {
    expect(said({ 'x-slo-ttft-ms': text })).toMatchObject({ hasOwnDeadline: false, maxWaitMs: 30_000 });
  });

  const WORDS = {
    'x-gateway-inference-objective': 'premium',
    'x-gateway-inference-fairness-id': 'a',
    'x-slo-ttft-ms': '9',
  };
  it.each([
    { where: 'headers are not trusted', asked: createCallers({ ...POLICY, gateway, trustHeaders: false }) },
    { where: 'there is no gateway but ours', asked: createCallers(POLICY) },
  ])('is not heeded where $where', ({ asked }) => {
    const headers = { ...WORDS, 'x-envoy-external-address': '192.0.2.1' };
    expect(said(headers, asked)).toEqual({
      id: '192.0.2.1',
      class: 'normal',
      maxWaitMs: 30_000,
      hasOwnDeadline: false,
      isPrivileged: false,
    });
  });
});
