import { existsSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { runCheck } from '../../src/cli/check.ts';
import { EXIT } from '../../src/cli/exit-code.ts';
import { QUICK } from '../e2e/faults/arena.ts';
import { startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { staticTool } from '../support/static-tools.ts';
import { waitFor } from '../support/wait-for.ts';
import { aFakeIo } from '../unit/cli/fake-io.ts';
import { render } from './chart.ts';
import { VALUES, VALUES_NAMES } from './chart-values.ts';
import { PodOnDisk } from './pod-on-disk.ts';

const MODEL = 'alpha:latest';
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function pod(...of: ConstructorParameters<typeof PodOnDisk>): PodOnDisk {
  const made = new PodOnDisk(...of);
  cleanups.push(() => made.close());
  return made;
}

describeReal(staticTool('helm'), 'a pod of the chart', () => {
  it.for(VALUES_NAMES)('has a configuration that Warmpath takes: %s', async (name) => {
    const io = aFakeIo();
    const code = await runCheck(
      io,
      { node: [], config: pod(render(VALUES[name])).configFile },
      { json: false },
    );
    expect(io.err.text).toBe('');
    expect(code).toBe(EXIT.ok);
  });
});

describeReal(await realEnvoy(), 'a pod of the chart, its containers as processes', (envoyPath) => {
  it('serves, goes on while either container is restarted, and ends its requests before it ends itself', async () => {
    const fleet = await startFleet(2, { ...QUICK, tokensPerSecond: 30 });
    cleanups.push(() => fleet.close());
    await fleet.node('n2').load(MODEL);
    const [clients, admin] = [await freePort(), await freePort()];
    const rendered = render({
      nodes: fleet.specs,
      ports: { clients, admin },
      envoy: { concurrency: 1 },
      drain: { delaySeconds: 1, timeoutSeconds: 30 },
      config: { poll: { interval: '250ms' } },
    });
    const here = pod(rendered, envoyPath);
    const [init, plane, envoy] = ['envoy-config', 'control-plane', 'envoy'].map((name) =>
      rendered.container(name),
    );
    if (init === undefined || plane === undefined || envoy === undefined) throw new Error('not reached');
    const url = `http://127.0.0.1:${clients}`;
    const adminUrl = `http://127.0.0.1:${admin}`;

    expect(await here.start(init).exited).toEqual({ code: 0, signal: null });
    let planeRuns = here.start(plane);
    let envoyRuns = here.start(envoy);
    const isReady = async () =>
      (await send(`${adminUrl}/readyz`)).status === 200 && (await send(`${url}/api/version`)).status === 200;
    const gaveUp = () => {
      const ended = [planeRuns, envoyRuns].find(({ isRunning }) => !isRunning);
      return ended === undefined ? undefined : `a container has ended: ${ended.output.slice(-2_000)}`;
    };
    const untilReady = () => waitFor('the pod to be ready', isReady, { timeoutMs: 20_000, gaveUp });
    const ask = (tokens: number) =>
      post(`${url}/api/generate`, { model: MODEL, prompt: 'Hello', options: { num_predict: tokens } });
    const routed = async (): Promise<number> =>
      Number(
        /^warmpath_ext_proc_seconds_count (\d+)/m.exec((await send(`${adminUrl}/metrics`)).text)?.[1] ?? 0,
      );
    /** Until Envoy has seen that the control plane is healthy, requests pass unrouted. */
    const warm = async (): Promise<void> => {
      const before = await routed();
      await waitFor('requests to be routed', async () => {
        await send(`${url}/api/version`);
        return (await routed()) > before;
      });
      const { status, headers } = await ask(1);
      expect(headers['x-warmpath-decision']).toBeDefined();
      expect([status, headers['x-warmpath-node']]).toEqual([200, 'n2']);
    };
    await untilReady();
    await warm();

    // Commands inside the pod find the admin interface, and may change the fleet.
    const drained = here.exec(plane, ['node', '/app/bin/warmpath.js', 'nodes', 'drain', 'n1']);
    expect(await drained.exited, drained.output).toEqual({ code: 0, signal: null });

    // Killed by the kubelet alone, the control plane lets Envoy be: nothing of the pod is about to end.
    const alone = here.preStop(plane);
    planeRuns.kill('SIGKILL');
    await planeRuns.exited;
    expect((await send(`${url}/api/version`)).status).toBe(200);
    planeRuns = here.start(plane);
    await untilReady();
    await warm();
    expect((await alone.exited).code).toBe(0);
    expect(existsSync(here.state('drained'))).toBe(false);

    // A crashed Envoy finds its sockets' files in the way.
    envoyRuns.kill('SIGKILL');
    await envoyRuns.exited;
    envoyRuns = here.start(envoy);
    await untilReady();
    await warm();

    // The pod ends: both hooks at once, then SIGTERM for each container whose hook has returned.
    const running = ask(60);
    await waitFor('the request to run', () => fleet.inference.some(({ endedAt }) => endedAt === undefined));
    const [planeHook, envoyHook] = [here.preStop(plane), here.preStop(envoy)];
    await waitFor('Envoy to let its clients go', async () => {
      const { headers } = await send(`${url}/api/version`);
      return headers.connection === 'close';
    });
    expect(envoyHook.isRunning).toBe(true);
    const answer = await running;
    expect(answer).toMatchObject({ status: 200, isComplete: true });
    expect(answer.lines().at(-1)).toMatchObject({ done: true });
    expect((await planeHook.exited).code).toBe(0);
    expect((await envoyHook.exited).code).toBe(0);
    expect((await envoyRuns.stop()).code).toBe(0);
    expect((await planeRuns.stop()).code).toBe(0);
  }, 120_000);

  it('with failover: has its requests routed by another pod while its own control plane is down', async () => {
    const fleet = await startFleet(2, QUICK);
    cleanups.push(() => fleet.close());
    await fleet.node('n2').load(MODEL);
    const [clients, admin] = [await freePort(), await freePort()];
    const peers = [await freePort(), await freePort()];
    const [here, other] = peers.map((own, index) =>
      render({
        nodes: fleet.specs,
        ports: { clients, admin, peers: own },
        failover: { enabled: true },
        envoy: { concurrency: index + 1 },
      }),
    );
    if (here === undefined || other === undefined) throw new Error('not reached');
    const names = { [`warmpath-peers.ai.svc:${peers[0]}`]: `127.0.0.1:${peers[1]}` };
    const [down, up] = [pod(here, envoyPath, names), pod(other, envoyPath)];
    expect(await down.start(here.container('envoy-config')).exited).toEqual({ code: 0, signal: null });
    const plane = up.start(other.container('control-plane'));
    const envoy = down.start(here.container('envoy'));
    const gaveUp = () => (plane.isRunning && envoy.isRunning ? undefined : `${plane.output}${envoy.output}`);
    const version = () => send(`http://127.0.0.1:${clients}/api/version`);
    await waitFor(
      'requests to be routed',
      async () => {
        expect((await version()).status).toBe(200);
        const { text } = await send(`http://127.0.0.1:${admin}/metrics`);
        return /^warmpath_ext_proc_seconds_count [1-9]/m.test(text);
      },
      { timeoutMs: 20_000, gaveUp },
    );
    const { headers } = await post(`http://127.0.0.1:${clients}/api/generate`, {
      model: MODEL,
      prompt: 'Hello',
    });
    expect(headers['x-warmpath-decision']).toBeDefined();
    expect(headers['x-warmpath-node']).toBe('n2');
  }, 120_000);

  it('with failover: has a configuration that Envoy takes, names and all', async () => {
    const rendered = render(VALUES.failover);
    const here = pod(rendered, envoyPath);
    expect(await here.start(rendered.container('envoy-config')).exited).toEqual({ code: 0, signal: null });
    const checked = here.exec(rendered.container('envoy'), [
      ...['envoy', '--mode', 'validate', '-c', '/var/lib/warmpath/envoy.yaml'],
    ]);
    expect(await checked.exited, checked.output).toEqual({ code: 0, signal: null });
    expect(checked.output).toContain('OK');
  });
});
