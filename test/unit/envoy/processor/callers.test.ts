import { describe, expect, it } from 'vitest';
import { type CallerPolicy, createCallers, deadlineMs } from '../../../../src/envoy/processor/callers.ts';
import type { RequestHead } from '../../../../src/envoy/processor/request-head.ts';

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
    requestClass: '',
    deadline: '',
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
