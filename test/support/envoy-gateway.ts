import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { requireEnvoy } from './envoy.ts';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';
import { send } from './http-client.ts';
import { canHaveOwnNetwork, type OwnNetwork } from './own-network.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { type TempDir, tempDir } from './temp-dir.ts';

/** How EnvoyProxy objects name the Envoy that is found here; any version would do. */
export const ENVOY_VERSION = '1.40.0';

/** The Envoy Gateway that tests run: ENVOY_GATEWAY, else PATH, else the user's cache. */
export function realEnvoyGateway(): RealProgram {
  const cache = join(
    process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
    'warmpath-test',
    'envoy-gateway',
  );
  const program = { name: 'Envoy Gateway', mayLack: true };
  const path = firstExecutable([process.env.ENVOY_GATEWAY, ...onPath('envoy-gateway'), cache]);
  if (path === undefined) {
    const missing = `Envoy Gateway is missing: run .ci/envoy-gateway, set ENVOY_GATEWAY or have it in ${cache}`;
    return { ...program, path, missing };
  }
  if (canHaveOwnNetwork()) return { ...program, path, missing: '' };
  const missing = 'Envoy Gateway listens on fixed ports and needs a network of its own: allow unshare -n';
  return { ...program, path: undefined, missing };
}

/** Envoy Gateway without Kubernetes: it reads its objects from a file and starts Envoy itself. */
export class StandaloneGateway {
  readonly #dir: TempDir;
  readonly #network: OwnNetwork;
  readonly #process: SpawnedProcess;
  #adminPort: number | undefined;

  private constructor(dir: TempDir, network: OwnNetwork, process: SpawnedProcess) {
    this.#dir = dir;
    this.#network = network;
    this.#process = process;
  }

  static async start(
    path: string,
    network: OwnNetwork,
    objects: readonly object[],
  ): Promise<StandaloneGateway> {
    const dir = tempDir('wp-eg-');
    const place = (name: string): string => join(dir.path, name);
    // Where it looks for an Envoy before it fetches one.
    const binaries = place(`data/envoy-versions/${ENVOY_VERSION}/bin`);
    for (const folder of [binaries, place('objects'), place('state'), place('run')])
      mkdirSync(folder, { recursive: true });
    symlinkSync(await requireEnvoy(), join(binaries, 'envoy'));
    const certificates = spawnProcess(path, ['certgen', '--local', '--config-home', place('config')]);
    const { code } = await certificates.exited;
    if (code !== 0) throw new Error(`envoy-gateway certgen failed:\n${certificates.output}`);
    writeFileSync(place('gateway.yaml'), stringify(settings(place)));
    writeObjects(dir.path, objects);
    const child = network.spawn(path, ['server', '--config-path', place('gateway.yaml')], { cwd: dir.path });
    return new StandaloneGateway(dir, network, child);
  }

  /** What Envoy Gateway and Envoy have said. */
  get output(): string {
    return this.#process.output;
  }

  /** A page of Envoy's admin interface, as JSON where it is. */
  async admin(path: string): Promise<string> {
    this.#adminPort ??= await this.#network.reach(this.#ownAdminPort());
    return (await send(`http://127.0.0.1:${this.#adminPort}${path}`)).text;
  }

  get isRunning(): boolean {
    return this.#process.isRunning;
  }

  /** Other objects from now on: live within a second. */
  apply(objects: readonly object[]): void {
    writeObjects(this.#dir.path, objects);
  }

  /** Envoy takes any that is free. */
  #ownAdminPort(): number {
    const runs = join(this.#dir.path, 'run');
    const [run = ''] = readdirSync(runs);
    const address = readFileSync(join(runs, run, 'admin-address.txt'), 'utf8');
    return Number(address.slice(address.lastIndexOf(':') + 1));
  }

  async stop(): Promise<void> {
    await this.#process.stop(10_000);
    this.#dir.remove();
  }
}

/** In one step, or half a file is read. */
function writeObjects(folder: string, objects: readonly object[]): void {
  const draft = join(folder, 'draft.yaml');
  writeFileSync(draft, objects.map((object) => stringify(object)).join('---\n'));
  renameSync(draft, join(folder, 'objects', 'all.yaml'));
}

function settings(place: (name: string) => string): object {
  return {
    apiVersion: 'gateway.envoyproxy.io/v1alpha1',
    kind: 'EnvoyGateway',
    gateway: { controllerName: 'gateway.envoyproxy.io/gatewayclass-controller' },
    extensionApis: { enableBackend: true },
    telemetry: { metrics: { prometheus: { disable: true } } },
    provider: {
      type: 'Custom',
      custom: {
        resource: { type: 'File', file: { paths: [place('objects')] } },
        infrastructure: {
          type: 'Host',
          host: {
            configHome: place('config'),
            dataHome: place('data'),
            stateHome: place('state'),
            runtimeDir: place('run'),
          },
        },
      },
    },
  };
}
