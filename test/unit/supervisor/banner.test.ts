import { describe, expect, it } from 'vitest';
import { banner } from '../../../src/supervisor/banner.ts';
import type { NodeSummary } from '../../../src/supervisor/messages.ts';
import { loadText } from '../config/load-text.ts';

const NODE: NodeSummary = {
  id: 'gpu1',
  url: 'http://gpu1:11434',
  status: 'ready',
  models: 2,
  warm: [],
  failure: undefined,
};

async function shown(nodes: readonly Partial<NodeSummary>[], text = '{}') {
  const { config } = await loadText(text);
  return banner({
    version: '0.1.0',
    envoyVersion: '1.40.0',
    config,
    nodes: nodes.map((node) => ({ ...NODE, ...node })),
  });
}

describe('the banner', () => {
  it('says where clients and operators connect, as one on this machine types it', async () => {
    const text = await shown([{}]);
    expect(text).toContain('warmpath 0.1.0 is up, with Envoy 1.40.0');
    expect(text).toContain('clients   http://localhost:11434 ');
    expect(text).toContain('operators http://localhost:9411/status');
    expect(text).not.toContain('--admin');
  });

  it('puts another admin address into the commands to try', async () => {
    const text = await shown([{}], "admin: '[::1]:9500'\nlisten: 192.168.1.5:8080");
    expect(text).toContain('curl http://192.168.1.5:8080/api/tags');
    expect(text).toContain('npx warmpath status --admin [::1]:9500');
  });

  it('says what to do without any node', async () => {
    expect(await shown([])).toContain('none: clients get 503 until there is one. Add --node');
  });

  it.each([
    'discovery: { sources: [{ kind: mdns }] }',
    'agents: { listen: 127.0.0.1:9412, joinToken: abcdefghijklmnopqrst }',
  ])('asks for no --node where nodes come by themselves: %s', async (text) => {
    const said = await shown([], text);
    expect(said).toContain('none yet');
    expect(said).not.toContain('--node');
  });

  it('suggests a model that is warm', async () => {
    expect(await shown([{}, { warm: ['llama3:8b'] }])).toContain('npx warmpath explain llama3:8b');
    expect(await shown([{}])).toContain('npx warmpath explain MODEL');
  });

  it.each<{ node: Partial<NodeSummary>; want: string }>([
    { node: { models: 1 }, want: 'ready, 1 model' },
    { node: { warm: ['a', 'b'] }, want: 'ready, 2 models, warm: a, b' },
    { node: { models: 0 }, want: 'ready, but it has no models: run `ollama pull` there' },
    { node: { models: undefined, warm: ['a'] }, want: 'ready, warm: a\n' },
    { node: { status: 'unknown', models: undefined }, want: 'no answer yet\n' },
    { node: { status: 'draining', failure: 'refused' }, want: 'draining, 2 models' },
    { node: { status: 'ready', failure: 'refused' }, want: 'ready, 2 models' },
    { node: { status: 'down', failure: 'refused' }, want: 'refuses connections: is Ollama running there' },
    { node: { status: 'suspect', failure: 'dns' }, want: 'has a name that cannot be resolved' },
    { node: { status: 'down', failure: 'tls' }, want: 'fails the TLS handshake: check tlsCa' },
  ])('tells of a node: $want', async ({ node, want }) => {
    expect(await shown([node])).toContain(`gpu1  http://gpu1:11434  ${want}`);
  });

  it('aligns the nodes’ names', async () => {
    const lines = (await shown([{ id: 'a' }, { id: 'longer' }])).split('\n');
    const columns = lines
      .filter((line) => line.includes('http://gpu1'))
      .map((line) => line.indexOf('http://'));
    expect(new Set(columns).size).toBe(1);
  });
});
