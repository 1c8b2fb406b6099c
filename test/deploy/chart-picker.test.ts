import { spawnSync } from 'node:child_process';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import { QUICK } from '../e2e/faults/arena.ts';
import { startFleet } from '../sim/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { redisServer } from '../support/redis.ts';
import { describeReal } from '../support/require-real.ts';
import { spawnProcess } from '../support/spawn-process.ts';
import { staticTool } from '../support/static-tools.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { render, workloadOf } from './chart.ts';
import { PodOnDisk } from './pod-on-disk.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describeReal(staticTool('helm'), 'a pod of the chart in mode epp', () => {
  it('answers the kubelet’s probes over gRPC, and takes itself out before it ends', async () => {
    const fleet = await startFleet(1, QUICK);
    cleanups.push(() => fleet.close());
    const ports = { grpc: await freePort(), health: await freePort(), admin: await freePort() };
    const rendered = render({ mode: 'epp', nodes: fleet.specs, ports });
    const pod = new PodOnDisk(rendered);
    cleanups.push(() => pod.close());
    const container = rendered.container('control-plane');
    const running = pod.start(container);
    const probe = (which: 'livenessProbe' | 'readinessProbe', port = ports.health): Promise<number> => {
      const { grpc } = container[which] as { grpc: { port: number; service: string } };
      expect(grpc.port).toBe(ports.health);
      return health(port, grpc.service);
    };
    const gaveUp = () => (running.isRunning ? undefined : running.output);
    await waitFor('it to be ready', async () => (await probe('readinessProbe')) === SERVING, { gaveUp });
    expect(await probe('livenessProbe')).toBe(SERVING);
    // Who asks the picker itself without TLS is not understood there.
    await expect(probe('livenessProbe', ports.grpc)).rejects.toThrow();
    running.kill('SIGTERM');
    await waitFor('it to be taken out', async () => (await probe('readinessProbe')) === NOT_SERVING);
    expect(await probe('livenessProbe')).toBe(SERVING);
    expect((await running.exited).code).toBe(0);
  });
});

describeReal(redisServer, 'the Redis of the chart', (server) => {
  it('lets nobody in without the password, which stands in no argument', async (context) => {
    if (staticTool('helm').path === undefined) context.skip(staticTool('helm').missing);
    const [container] = workloadOf(render({ redis: { enabled: true } }).object('StatefulSet warmpath-redis'))
      .spec.template.spec.containers;
    const dir = tempDir();
    cleanups.push(() => dir.remove());
    const port = await freePort();
    const password = 'Abc123';
    const words = [...(container?.command ?? []), ...(container?.args ?? []), '--port', String(port)];
    const [shell = '', ...args] = words.map((word) =>
      word
        .replaceAll('/run/redis', dir.path)
        .replace(/^\/data$/, dir.path)
        .replace('exec redis-server', `exec ${server}`),
    );
    const running = spawnProcess(shell, args, { env: { REDISCLI_AUTH: password } });
    cleanups.push(() => running.stop());
    const ping = (env: Record<string, string>): string => {
      const done = spawnSync('redis-cli', ['-p', String(port), 'ping'], {
        encoding: 'utf8',
        env: { ...process.env, ...env },
      });
      return `${done.stdout}${done.stderr}`.trim();
    };
    await waitFor('Redis', () => ping({ REDISCLI_AUTH: password }) === 'PONG', {
      gaveUp: () => (running.isRunning ? undefined : running.output),
    });
    expect(ping({})).toContain('NOAUTH');
    expect(args.join(' ')).not.toContain(password);
  });
});

const SERVING = 1;
const NOT_SERVING = 2;

/** `grpc.health.v1.Health/Check` without TLS, as the kubelet asks; the status. */
function health(port: number, service: string): Promise<number> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const ask = Buffer.from(service);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  client.makeUnaryRequest(
    '/grpc.health.v1.Health/Check',
    () => Buffer.concat([Buffer.from([0x0a, ask.length]), ask]),
    (answer: Buffer) => answer[1] ?? 0,
    undefined,
    { deadline: Date.now() + 2_000 },
    (error: ServiceError | null, status) => {
      client.close();
      if (error !== null) reject(error);
      else resolve(status ?? 0);
    },
  );
  return promise;
}
