import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import { type StatusReport, statusSchema } from '../../src/api/status-schema.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';
import { metricSum } from '../support/metric-sum.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { HealthClient } from '../unit/envoy/grpc/health-client.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const ENV = {
  NO_COLOR: '1',
  WARMPATH_CONFIG: undefined,
  WARMPATH_NODES: undefined,
  WARMPATH_LOG_FORMAT: 'json',
};

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

interface Served {
  readonly process: SpawnedProcess;
  readonly dir: string;
  readonly grpc: number;
  readonly admin: string;
  status(): Promise<StatusReport>;
}

/** `warmpath serve`, with its admin interface and its folder in places of its own; `GRPC` is the port for gRPC. */
async function serve(...flags: string[]): Promise<Served> {
  const dir = tempDir('wp-serve-');
  open.push({ stop: async () => dir.remove() });
  const [grpc, adminPort] = [await freePort(), await freePort()];
  const admin = `127.0.0.1:${adminPort}`;
  const given = flags.map((flag) => (flag === 'GRPC' ? `127.0.0.1:${grpc}` : flag));
  const args = [MAIN, 'serve', '--admin', admin, '--state-dir', dir.path, ...given];
  const process_ = spawnProcess(process.execPath, args, { env: ENV });
  open.push(process_);
  await process_.waitForOutput(/control plane is listening/);
  const status = async () => statusSchema.parse((await send(`http://${admin}/status`)).json());
  return { process: process_, dir: dir.path, grpc, admin, status };
}

/** A gRPC client as a proxy is one; what it is answered. */
async function asked({ grpc }: Served, how?: ChannelCredentials): Promise<string> {
  const client = new HealthClient(`127.0.0.1:${grpc}`, how);
  try {
    return await client.check('');
  } finally {
    client.close();
  }
}

it.each([
  ['without TLS', 'self-signed', credentials.createInsecure(), 'connection_plaintext', '--grpc-tls off'],
  ['with TLS', 'off', credentials.createSsl(), 'connection_tls', '--grpc-tls self-signed'],
])(
  'a proxy %s where it is otherwise (%s) is in the status, the metrics and the log, and no alarm yet',
  async (_name, tls, how, problem, remedy) => {
    const served = await serve(
      '--profile',
      'epp',
      '--grpc',
      'GRPC',
      '--grpc-tls',
      tls,
      '--discover',
      'localhost:1-1',
    );
    expect(await asked(served, how)).toMatch(/^14 /);
    await served.process.waitForOutput(new RegExp(`"problem":"${problem}".*"peer":"127.0.0.1"`));
    const { extProc, alarms } = await served.status();
    expect(extProc?.problems).toMatchObject([
      { problem, from: '127.0.0.1', remedy: expect.stringContaining(remedy) },
    ]);
    expect(alarms).toEqual([]);
    const page = (await send(`http://${served.admin}/metrics`)).text;
    expect(metricSum(page, 'warmpath_ext_proc_problems_total', { problem })).toBeGreaterThan(0);
    expect(metricSum(page, 'warmpath_ext_proc_problems_total')).toBe(
      metricSum(page, 'warmpath_ext_proc_problems_total', { problem }),
    );
    const printed = spawnProcess(process.execPath, [MAIN, 'status', '--admin', served.admin], { env: ENV });
    expect(await printed.exited).toMatchObject({ code: 0 });
    expect(printed.output).toMatch(
      new RegExp(`^${problem} ×\\d+, last .* ago from 127\\.0\\.0\\.1: a proxy speaks`, 'm'),
    );
    expect(printed.output).toContain(remedy);
  },
);

it('nothing is said of our own Envoy on its Unix socket, nor of who only looks whether somebody listens there', async () => {
  const served = await serve('--discover', 'localhost:1-1');
  const path = join(served.dir, 'grpc.sock');
  await new Promise<void>((resolve) => {
    const probe = connect(path, () => probe.destroy());
    probe.once('close', () => resolve());
  });
  const client = new HealthClient(`unix:${path}`);
  open.push({ stop: async () => client.close() });
  await waitFor('an answer on the socket', async () => (await client.check('liveness')) === 'SERVING');
  expect((await served.status()).extProc).toMatchObject({ profile: 'own', problems: [] });
  expect(served.process.output).not.toContain('"level":"warn"');
});

it('a control plane to which nothing can bring a node says so once, with what to do', async () => {
  const served = await serve('--profile', 'epp', '--grpc', 'GRPC');
  await served.process.waitForOutput(
    /"level":"warn".*no nodes, and nothing .*--node .*--discover .*--agents/,
  );
  await served.process.stop();
  expect(served.process.output.match(/no nodes/g)).toHaveLength(1);
});

it('it says nothing of the kind where nodes may be found', async () => {
  const served = await serve('--profile', 'epp', '--grpc', 'GRPC', '--discover', 'localhost:1-1');
  await served.process.stop();
  expect(served.process.output).not.toContain('no nodes');
});
