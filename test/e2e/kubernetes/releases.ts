import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHART } from '../../deploy/chart.ts';
import { VALUES } from '../../deploy/chart-values.ts';
import { CRD_GROUPS, type Manifest } from '../../support/kube-api.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import { manifestsIn } from '../../support/manifests.ts';
import { requireReal } from '../../support/require-real.ts';
import { staticTool } from '../../support/static-tools.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';

const NAMESPACE = 'release';
const run = promisify(execFile);

export function releasesSuite(serverOf: () => KubeApiServer): void {
  describe('the chart in a cluster', () => {
    let server: KubeApiServer;
    let dir: TempDir;

    beforeAll(async () => {
      server = serverOf();
      dir = tempDir();
      await server.admin.install(CRD_GROUPS);
      // A source looks there.
      const elsewhere: Manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gpus' } };
      await server.admin.applied(elsewhere, { isDryRun: false });
    });

    afterAll(() => dir?.remove());

    it('is installed, becomes another by an upgrade, and leaves nothing behind', async (context) => {
      const path = requireReal(context, staticTool('helm'));
      const helm = async (...args: string[]): Promise<string> => {
        const env = { ...process.env, HOME: dir.path, KUBECONFIG: server.kubeconfig };
        const { stdout } = await run(path, [...args, '--namespace', NAMESPACE], { env });
        return stdout;
      };
      const valuesFile = (name: string, values: object): string => {
        const file = join(dir.path, `${name}.json`);
        writeFileSync(file, JSON.stringify(values));
        return file;
      };
      const made = async (): Promise<Manifest[]> =>
        manifestsIn(await helm('get', 'manifest', 'w'), 'helm get manifest').map(({ manifest }) => ({
          ...manifest,
          metadata: { namespace: NAMESPACE, ...manifest.metadata },
        }));
      /** Of those that are asked for, the ones that the server does not have. */
      const missing = async (objects: readonly Manifest[]): Promise<string[]> => {
        const found = await Promise.all(objects.map((object) => server.admin.find(object)));
        return objects.filter((_, i) => found[i] === undefined).map(nameOf);
      };

      const dataOf = async (secret: Manifest): Promise<unknown> => {
        const found = await server.admin.find(secret);
        return found !== null && typeof found === 'object' && 'data' in found ? found.data : undefined;
      };

      // A run before this one may have left it.
      await helm('uninstall', 'w', '--ignore-not-found');
      await helm('install', 'w', CHART, '--create-namespace', '--values', valuesFile('small', VALUES.redis));
      const small = await made();
      expect(await missing(small)).toEqual([]);
      const secrets = small.filter(({ kind }) => kind === 'Secret');
      const passwords = await Promise.all(secrets.map(dataOf));
      expect(passwords).toContainEqual({ password: expect.any(String) });
      expect(passwords).toContainEqual({ token: expect.any(String) });

      const all = { ...VALUES.everything, adminTokenSecret: {}, store: {}, redis: VALUES.redis.redis };
      await helm('upgrade', 'w', CHART, '--values', valuesFile('all', all));
      const first = await made();
      expect(first.length).toBeGreaterThan(small.length);
      expect(await missing(first)).toEqual([]);
      // What it has made up at the first install is kept.
      expect(await Promise.all(secrets.map(dataOf))).toEqual(passwords);

      await helm('upgrade', 'w', CHART, '--values', valuesFile('picker', { ...VALUES.epp, replicas: 3 }));
      const second = await made();
      expect(await missing(second)).toEqual([]);
      const deployments = await Promise.all(
        second.filter(({ kind }) => kind === 'Deployment').map((object) => server.admin.find(object)),
      );
      expect(deployments).toEqual([
        expect.objectContaining({ spec: expect.objectContaining({ replicas: 3 }) }),
      ]);
      const kept = new Set(second.map(nameOf));
      const gone = first.filter((object) => !kept.has(nameOf(object)));
      expect(gone.length).toBeGreaterThan(0);
      expect(await missing(gone)).toEqual(gone.map(nameOf));

      await helm('uninstall', 'w');
      expect(await missing(second)).toEqual(second.map(nameOf));
    });
  });
}

function nameOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`;
}
