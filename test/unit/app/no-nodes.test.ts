import { expect, it } from 'vitest';
import { noNodesWarning } from '../../../src/app/no-nodes.ts';
import { loadConfig } from '../../../src/config/load.ts';

async function warning(env: Readonly<Record<string, string>>): Promise<string | undefined> {
  const { config } = await loadConfig({ env: { HOME: '/home/me', ...env }, localIps: [] });
  return noNodesWarning(config);
}

it('says what to do where nothing could ever bring a node', async () => {
  expect(await warning({})).toMatch(/^no nodes, .* 503; .*--node http.*"nodes".*--discover.*--agents/);
});

it.each([
  ['a node is named', { WARMPATH_NODES: 'http://10.0.0.1:11434' }],
  ['nodes are looked for', { WARMPATH_DISCOVERY_SOURCES: 'mdns' }],
  [
    'agents may join',
    { WARMPATH_AGENTS_LISTEN: '127.0.0.1:9412', WARMPATH_JOIN_TOKEN: 'tell-nobody-to-join' },
  ],
  ['other replicas may share theirs', { WARMPATH_REDIS: 'redis://127.0.0.1:6379' }],
])('says nothing where %s', async (_name, env) => {
  expect(await warning(env)).toBeUndefined();
});
