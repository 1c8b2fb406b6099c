import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootstrapOptions } from '../../../src/envoy/bootstrap/options.ts';
import { renderBootstrap } from '../../../src/envoy/bootstrap/render.ts';
import { bootstrapOptions } from '../../unit/envoy/bootstrap/options.ts';
import { envoyBinary } from './envoy-binary.ts';
import { freePort } from './free-port.ts';

/** A node as the last-known file and the scripted EDS name it. */
export interface TestEndpoint {
  readonly name: string;
  readonly port: number;
  readonly host?: string;
  readonly token?: string;
  readonly hostname?: string;
  /** Name of the TLS transport; plain without. */
  readonly tls?: string;
  readonly health?: 'HEALTHY' | 'UNHEALTHY' | 'DRAINING';
}

/** Real Envoy with the bootstrap under test, everything in its own temporary folder. */
export class TestEnvoy {
  readonly dir: string;
  readonly options: BootstrapOptions;
  #child: ChildProcess | undefined;
  log = '';

  private constructor(dir: string, options: BootstrapOptions) {
    this.dir = dir;
    this.options = options;
  }

  get port(): number {
    return this.options.listen.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Socket on which the control plane should listen. */
  get grpcSocket(): string {
    return join(this.dir, 'grpc.sock');
  }

  static async create(overrides: Partial<BootstrapOptions> = {}): Promise<TestEnvoy> {
    const dir = await mkdtemp(join(tmpdir(), 'warmpath-dp-'));
    const lastKnownFile = join(dir, 'last-known.json');
    await writeFile(lastKnownFile, JSON.stringify({ version_info: '0', resources: [] }));
    const options = bootstrapOptions({
      listen: { host: '127.0.0.1', port: await freePort() },
      grpc: { kind: 'unix', path: join(dir, 'grpc.sock') },
      admin: { kind: 'unix', path: join(dir, 'admin.sock') },
      lastKnownFile,
      ...overrides,
    });
    return new TestEnvoy(dir, options);
  }

  /** Writes the last-known file as the control plane does. */
  async lastKnown(endpoints: readonly TestEndpoint[]): Promise<void> {
    const resource = {
      '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
      cluster_name: 'nodes_last_known',
      endpoints: [{ lb_endpoints: endpoints.map(lbEndpoint) }],
    };
    const path = this.options.lastKnownFile;
    await writeFile(
      `${path}.new`,
      JSON.stringify({ version_info: `${performance.now()}`, resources: [resource] }),
    );
    await rename(`${path}.new`, path);
  }

  async start(logLevel = 'warning'): Promise<void> {
    const config = join(this.dir, 'bootstrap.yaml');
    await writeFile(config, renderBootstrap(this.options));
    const { path, missing } = envoyBinary();
    if (path === undefined) throw new Error(missing);
    const args = ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', logLevel];
    this.#child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.on('data', (text: Buffer) => {
      this.log += text.toString();
    });
    for (let tries = 0; tries < 200; tries++) {
      if (this.#child.exitCode !== null) break;
      const state = await this.admin('/ready').catch(() => '');
      if (state.startsWith('LIVE')) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await this.stop();
    throw new Error(`Envoy did not become ready:\n${this.log}`);
  }

  /** Text of one page of Envoy's admin interface. */
  admin(path: string, method = 'GET'): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    request({ socketPath: join(this.dir, 'admin.sock'), path, method }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
    return promise;
  }

  /** One counter or gauge; 0 where Envoy has none of that name. */
  async stat(name: string): Promise<number> {
    const text = await this.admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** One endpoint in the JSON of Envoy's protos. */
export function lbEndpoint(endpoint: TestEndpoint): object {
  const {
    name,
    port,
    host = '127.0.0.1',
    token,
    hostname = `${name}.test`,
    tls,
    health = 'HEALTHY',
  } = endpoint;
  return {
    health_status: health,
    endpoint: { hostname, address: { socket_address: { address: host, port_value: port } } },
    metadata: {
      filter_metadata: {
        warmpath: { name, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        ...(tls === undefined ? {} : { 'envoy.transport_socket_match': { tls } }),
      },
    },
  };
}
