import { describe, expect, it } from 'vitest';
import { bootstrapOptions } from '../../../src/control-plane/bootstrap-options.ts';
import { DEFAULT_TIMEOUTS } from '../../../src/envoy/bootstrap/options.ts';
import { loadText } from '../config/load-text.ts';

async function optionsOf(text: string) {
  return bootstrapOptions((await loadText(text, { flags: { stateDir: '/var/lib/w' } })).config);
}

describe('what our Envoy is told', () => {
  it('meets the control plane within the state directory', async () => {
    expect(await optionsOf('{}')).toMatchObject({
      grpc: { kind: 'unix', path: '/var/lib/w/grpc.sock' },
      admin: { kind: 'unix', path: '/var/lib/w/envoy-admin.sock' },
      lastKnownFile: '/var/lib/w/nodes/last-known.json',
    });
  });

  it('names the other control planes that it may ask', async () => {
    const options = await optionsOf(
      "grpc: 127.0.0.1:9000\nreplicas: ['10.0.0.2:9000', 'unix:/run/other.sock']\n",
    );
    expect(options.replicas).toEqual([
      { kind: 'tcp', host: '10.0.0.2', port: 9000 },
      { kind: 'unix', path: '/run/other.sock' },
    ]);
  });

  it('listens on an address, also where the configuration names this machine', async () => {
    expect((await optionsOf('listen: localhost:8080')).listen).toEqual({ host: '127.0.0.1', port: 8080 });
  });

  it('takes limits and times from the configuration', async () => {
    const options = await optionsOf(`
limits: { body: 1MiB }
routing: { maxAttempts: 5, loadTimeout: 7m, answerTimeout: 50m }
poll: { connectTimeout: 300ms, timeout: 1s }
origins: [ 'https://chat.example' ]
responseHeaders: false
`);
    expect(options.limits).toMatchObject({ bodyBytes: 1024 ** 2, attempts: 5 });
    expect(options.timeouts).toMatchObject({ connect: 300, failOpenFirstByte: 7 * 60_000 });
    expect(options.timeouts.streamIdle).toBeGreaterThan(57 * 60_000);
    expect(options).toMatchObject({ origins: ['https://chat.example'], exposeHeaders: false });
  });

  it('never closes a stream sooner than by default, however short the node’s times', async () => {
    const short = await optionsOf('routing: { loadTimeout: 1s, answerTimeout: 1s, firstByteTimeout: 1s }');
    expect(short.timeouts.streamIdle).toBe(DEFAULT_TIMEOUTS.streamIdle);
  });

  it('has one TLS transport for all nodes with the system’s CAs, also those that a reload brings', async () => {
    for (const scheme of ['http', 'https']) {
      const { tls } = await optionsOf(`nodes: [ { url: ${scheme}://gpu1 }, { url: ${scheme}://gpu2 } ]`);
      expect(tls.map(({ name }) => name)).toEqual(['tls']);
    }
  });

  it('has one for each address that a certificate must have', async () => {
    const { tls } = await optionsOf(
      'nodes: [ { url: https://10.0.0.1 }, { url: "https://[fd00::1]:11434" } ]',
    );
    expect(tls.map(({ address }) => address)).toEqual([undefined, '10.0.0.1', 'fd00::1']);
    expect(new Set(tls.map(({ caFile }) => caFile)).size).toBe(1);
  });
});
