import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, it } from 'vitest';
import { statusSchema } from '../../../src/api/status-schema.ts';
import { startSimulatedNode } from '../../../src/demo/node-simulator.ts';
import { freePort } from '../../support/free-port.ts';
import { send } from '../../support/http-client.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import { ALLOWED_SKIP } from '../../support/reporter.ts';
import { spawnProcess } from '../../support/spawn-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { Pods } from './pods.ts';

const NAMESPACE = 'serving';
const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** Where a pod may stand: a source may not name loopback addresses. */
function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}

export function servingSuite(serverOf: () => KubeApiServer): void {
  describe('a control plane with a pool as its source', () => {
    let server: KubeApiServer;
    let used: number;
    const open: (() => unknown)[] = [];

    beforeAll(async () => {
      server = serverOf();
      used = await freePort();
      const unused = await freePort();
      await server.admin.install(['inference-extension']);
      await server.admin.must('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
      await server.admin.must(
        'POST',
        `/apis/inference.networking.k8s.io/v1/namespaces/${NAMESPACE}/inferencepools`,
        {
          apiVersion: 'inference.networking.k8s.io/v1',
          kind: 'InferencePool',
          metadata: { name: 'ollama' },
          spec: {
            selector: { matchLabels: { app: 'ollama' } },
            targetPorts: [{ number: used }, { number: unused }],
            endpointPickerRef: { name: 'warmpath', port: { number: 9_002 } },
          },
        },
      );
    });

    afterEach(async () => {
      for (const close of open.splice(0).reverse()) await close();
      await new Pods(server.admin, NAMESPACE).finishAll();
    });

    it('takes pods in without approval, drains them by the cluster’s word, and judges them by its own polls', async (context) => {
      const host = ownAddress();
      if (host === undefined) return context.skip(`${ALLOWED_SKIP}this machine has no address but loopback`);
      const model = { name: 'alpha', sizeBytes: 1_000_000 };
      const node = await startSimulatedNode({ name: 'ollama', host, port: used, models: [model] });
      open.push(() => node.close());
      const pods = new Pods(server.admin, NAMESPACE);
      await pods.create('ollama-0', { ip: host });
      // Ready, so that the other may be drained; its address is refused.
      await pods.create('ollama-1', { ip: '127.0.0.9' });

      const admin = await serve(server.kubeconfig);
      const seen = async (): Promise<string> => {
        const { nodes } = statusSchema.parse((await send(`${admin}/status`)).json());
        return nodes.map(({ name, status }) => `${name} ${status}`).join(', ');
      };
      const name = `ollama-0-${used}`;
      const sees = (want: string) =>
        waitFor(want, async () => (await seen()) === want, { timeoutMs: 20_000 });
      // On the other port nobody answers, whatever the cluster says of the pod.
      await sees(`${name} ready`);
      await pods.report('ollama-0', { ip: host, isReady: false });
      await sees(`${name} draining`);
      await pods.report('ollama-0', { ip: host });
      await sees(`${name} ready`);
      await node.close();
      await sees(`${name} down`);
    }, 60_000);

    /** The command that a user runs; answers where its status is. */
    async function serve(kubeconfig: string): Promise<string> {
      const dir = tempDir();
      const [adminPort, grpcPort] = [await freePort(), await freePort()];
      const args = [
        ...['serve', '--profile', 'epp', '--discover', `inferencepool:${NAMESPACE}/ollama`],
        ...['--grpc', `127.0.0.1:${grpcPort}`, '--admin', `127.0.0.1:${adminPort}`, '--state-dir', dir.path],
      ];
      const env = {
        ...{ KUBECONFIG: kubeconfig, WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined },
        WARMPATH_POLL_INTERVAL: '250ms',
      };
      const child = spawnProcess(process.execPath, [MAIN, ...args], { env });
      open.push(async () => {
        await child.stop();
        dir.remove();
      });
      const admin = `http://127.0.0.1:${adminPort}`;
      await waitFor('the control plane', async () => (await send(`${admin}/healthz`)).status === 200, {
        timeoutMs: 20_000,
        gaveUp: () => (child.isRunning ? undefined : `it has ended:\n${child.output}`),
      });
      return admin;
    }
  });
}
