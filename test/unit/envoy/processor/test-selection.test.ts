import { describe, expect, it } from 'vitest';
import { readHead } from '../../../../src/envoy/processor/request-head.ts';
import { testSelection, testServedHeader } from '../../../../src/envoy/processor/test-selection.ts';
import { head } from './fakes.ts';
import { overTheWire, stringValue } from './wire.ts';

const NODES = ['10.0.0.1:3000', '10.0.0.1:3002', '10.0.0.2:3000', '[fd00::1]:3000'];

function selected(value: string | undefined) {
  const headers: Record<string, string> = value === undefined ? {} : { 'test-epp-endpoint-selection': value };
  const message = overTheWire(head({ method: 'GET', path: '/', hasBody: false, headers }));
  return testSelection(readHead(message, message.request_headers ?? {}), () => NODES);
}

describe('what a conformance test selects', () => {
  it.each([
    { name: 'an address: all its ports', value: '10.0.0.1', want: ['10.0.0.1:3000', '10.0.0.1:3002'] },
    { name: 'an address and a port', value: '10.0.0.1:3002', want: ['10.0.0.1:3002'] },
    {
      name: 'several, in its order',
      value: '10.0.0.2, 10.0.0.1:3000',
      want: ['10.0.0.2:3000', '10.0.0.1:3000'],
    },
    { name: 'IPv6', value: 'FD00:0::1,[fd00::1]:3000', want: ['[fd00::1]:3000'] },
    { name: 'known ones beside others', value: '10.9.9.9,nobody,10.0.0.2', want: ['10.0.0.2:3000'] },
    { name: 'nothing, where it says nothing', value: undefined, want: undefined },
  ])('is $name', ({ value, want }) => {
    expect(selected(value)).toEqual(want);
  });

  it.each(['', ',', '10.9.9.9', '10.0.0.1:1', 'x'.repeat(100_000)])(
    'is refused where it names no node: %.20s',
    (value) => {
      expect(() => selected(value)).toThrow(expect.objectContaining({ code: 'no_node' }));
    },
  );
});

it('the endpoint that served is told as the proxy tells it', () => {
  const lb = { fields: { 'x-gateway-destination-endpoint-served': stringValue('10.0.0.1:3002') } };
  const told = overTheWire({
    response_headers: {},
    metadata_context: { filter_metadata: { 'envoy.lb': lb } },
  });
  const option = testServedHeader(told);
  expect(option?.header?.key).toBe('x-conformance-test-served-endpoint');
  expect(Buffer.from(option?.header?.raw_value ?? []).toString()).toBe('10.0.0.1:3002');
  expect(testServedHeader(overTheWire({ response_headers: {} }))).toBeUndefined();
  const { metadata_context } = told;
  expect(
    testServedHeader(overTheWire({ response_body: {}, ...(metadata_context && { metadata_context }) })),
  ).toBeUndefined();
});
