import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { ollamaProblem } from '../../../src/agent/check-ollama.ts';
import { freePort } from '../../support/free-port.ts';

const NEVER = new AbortController().signal;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function answering(status: number): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(status).end('{}'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  // Port 0 was asked for on an IP socket, so there is an address.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const found = (host?: string) => ({ env: host === undefined ? {} : { OLLAMA_HOST: host }, from: 'a test' });

it('an Ollama that answers where it is said to be is no problem', async () => {
  expect(await ollamaProblem(await answering(200), found(), NEVER)).toBeUndefined();
});

it('something else there is named with its status', async () => {
  expect(await ollamaProblem(await answering(404), found(), NEVER)).toContain(
    'with status 404: is that Ollama? Name its address with --url',
  );
});

// 0.0.0.0 leads to this machine, where nobody listens on that port, and is no loopback address by its looks.
it.each([
  ['by default', found(), 'Ollama listens on 127.0.0.1 only'],
  ['as its environment says', found('localhost:11434'), 'Ollama listens on localhost only'],
])(
  'an Ollama that listens on loopback only, %s, is told how to listen on the network',
  async (_, environment, says) => {
    const problem = await ollamaProblem(`http://0.0.0.0:${await freePort()}`, environment, NEVER);
    expect(problem).toContain(says);
    expect(problem).toContain('OLLAMA_HOST=0.0.0.0');
  },
);

it.each([
  ['listens on all addresses', found('0.0.0.0')],
  ['is not known', undefined],
])('an Ollama that does not answer and %s is to be started, or named', async (_, environment) => {
  const problem = await ollamaProblem(`http://0.0.0.0:${await freePort()}`, environment, NEVER);
  expect(problem).toMatch(/^Ollama does not answer at http:\/\/0\.0\.0\.0:\d+ \(.+\): start it/);
});

it('says nothing where the agent ends meanwhile', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  expect(await ollamaProblem(url, found(), AbortSignal.abort())).toBeUndefined();
});
