import { isIPv4, isIPv6 } from 'node:net';
import { type Case, demand, Skipped } from '../case.ts';
import { type Answer, type Destination, describe, destinationOf, find } from '../exchange/answer.ts';
import type { Picker } from '../picker.ts';
import { splitEndpoints } from '../picker.ts';
import { SOURCE } from '../sources.ts';

export const DESTINATION: readonly Case[] = [
  {
    id: 'DST-1',
    title: 'the answer sets the header x-gateway-destination-endpoint, once',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { destination, answer } = await route(picker);
      demand(destination.header !== undefined, 'the header', describe(answer));
      demand(destination.times === 1, 'the header set once', `set ${destination.times} times`);
      return destination.header;
    },
  },
  {
    id: 'DST-2',
    title: 'the answer has the dynamic metadata envoy.lb / x-gateway-destination-endpoint',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { destination } = await route(picker);
      demand(destination.metadata !== undefined, 'the metadata', 'only the header');
      return destination.metadata;
    },
  },
  {
    id: 'DST-3',
    title: 'header and metadata have the same value',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { header, metadata } = (await route(picker)).destination;
      demand(header === metadata, 'the same value', `header ${header}, metadata ${metadata}`);
      return undefined;
    },
  },
  {
    id: 'DST-4',
    title: 'the value is a list of ip:port, separated by commas',
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const { header, metadata } = (await route(picker)).destination;
      const value = header ?? metadata ?? '';
      for (const endpoint of splitEndpoints(value))
        demand(isEndpoint(endpoint), 'ip:port for each endpoint', JSON.stringify(value));
      return value;
    },
  },
  {
    id: 'DST-5',
    title: 'the header comes with the answer to the headers, which a proxy needs before it connects',
    level: 'MUST',
    source: SOURCE.headerMutation,
    async run(picker) {
      const { answer } = await route(picker);
      const reply = find(answer, 'request_headers');
      const alone = reply === undefined ? undefined : destinationOf({ ...answer, replies: [reply] });
      demand(
        alone?.header !== undefined && alone.metadata !== undefined,
        'header and metadata with the request_headers answer',
        describe(answer),
      );
      return undefined;
    },
  },
  {
    id: 'DST-6',
    title: 'the header is written as raw_value',
    level: 'SHOULD',
    source: SOURCE.headerMutation,
    async run(picker) {
      const { destination } = await route(picker);
      demand(destination.isRaw, 'raw_value, which Envoy reads by default', 'the old field value');
      return undefined;
    },
  },
  {
    id: 'DST-7',
    title: 'the route cache is cleared, so that routes may match by the new header',
    level: 'SHOULD',
    source: SOURCE.common,
    async run(picker) {
      const { destination } = await route(picker);
      demand(destination.clearsRouteCache, 'clear_route_cache: true', 'not set');
      return undefined;
    },
  },
  {
    id: 'DST-8',
    title: 'every endpoint of the value is one of the pool',
    level: 'MUST',
    source: SOURCE.subset,
    async run(picker) {
      const pool = picker.options.endpoints;
      if (pool === undefined) throw new Skipped('needs --endpoints, to know the pool');
      for (let i = 0; i < 10; i += 1) {
        const { header = '' } = (await route(picker)).destination;
        const strangers = splitEndpoints(header).filter((endpoint) => !pool.includes(endpoint));
        demand(strangers.length === 0, `only ${pool.join(', ')}`, header);
      }
      return undefined;
    },
  },
  {
    id: 'DST-9',
    title: "a client's own x-gateway-destination-endpoint header does not decide",
    level: 'MUST',
    source: SOURCE.destination,
    async run(picker) {
      const headers = { 'x-gateway-destination-endpoint': '192.0.2.66:66' };
      const { header, metadata } = (await route(picker, headers)).destination;
      demand(
        header !== undefined && header !== headers['x-gateway-destination-endpoint'] && header === metadata,
        'an endpoint of the pool in header and metadata',
        `header ${header}, metadata ${metadata}`,
      );
      return undefined;
    },
  },
];

async function route(
  picker: Picker,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly destination: Destination; readonly answer: Answer }> {
  const { call, answer } = await picker.ask(picker.chat({ headers }));
  call.raw.reset();
  const destination = destinationOf(answer);
  demand(destination !== undefined, 'a destination in header and metadata', describe(answer));
  return { destination, answer };
}

function isEndpoint(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return false;
  const [, v6, v4, port] = match;
  return (v6 === undefined ? isIPv4(v4 ?? '') : isIPv6(v6)) && Number(port) > 0 && Number(port) < 65_536;
}
