import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { kubeProblem, openKube } from '../../../src/discovery/kube-client.ts';
import { tempDir } from '../../support/temp-dir.ts';

const home = tempDir('wp-kube-');
afterEach(() => vi.unstubAllEnvs());

/** Somebody's machine, outside of any cluster. */
function outside(kubeconfig = ''): void {
  vi.stubEnv('HOME', home.path);
  vi.stubEnv('KUBECONFIG', kubeconfig === '' ? undefined : kubeconfig);
  vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
}

describe('the way to an API server', () => {
  it('is asked for where there is none, and nothing is guessed', async () => {
    outside();
    const error = await openKube(undefined).catch((thrown: unknown) => thrown);
    expect(kubeProblem(error, 'default')).toMatch(/no kubeconfig is here; name one with kubeconfig: FILE/);
  });

  it('is that of the user’s own kubeconfig', async () => {
    const file = join(home.path, 'config.yaml');
    const named = (kind: object): object[] => [{ name: 'mine', ...kind }];
    writeFileSync(
      file,
      stringify({
        'current-context': 'mine',
        clusters: named({ cluster: { server: 'https://127.0.0.1:6443' } }),
        users: named({ user: {} }),
        contexts: named({ context: { cluster: 'mine', user: 'mine' } }),
      }),
    );
    outside(file);
    const { config } = await openKube(undefined);
    expect(config.getCurrentCluster()?.server).toBe('https://127.0.0.1:6443');
  });
});
