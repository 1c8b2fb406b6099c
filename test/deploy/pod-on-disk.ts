import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import type { Container, Rendered } from './chart.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const TLS = resolve(import.meta.dirname, '../e2e/dataplane/tls');

/** Contents of the Secrets that the tests' values name, by path in the pod's volume; anything else is a token. */
const FILES: Readonly<Record<string, string>> = {
  'agents.crt': 'node.pem',
  'agents.key': 'node.key',
  'picker.crt': 'node.pem',
  'picker.key': 'node.key',
  'store-ca.pem': 'ca.pem',
};

/** A pod of the chart without a cluster: its volumes are folders, its containers processes with exactly their own arguments. */
export class PodOnDisk {
  readonly #rendered: Rendered;
  readonly #names: readonly (readonly [string, string])[];
  readonly #dir: TempDir = tempDir('wp-pod-');
  readonly #programs: string;
  readonly #processes: SpawnedProcess[] = [];

  /** `envoy`: the binary that stands for the one in Envoy's image; `names`: what stands for the cluster's names. */
  constructor(rendered: Rendered, envoy?: string, names: Readonly<Record<string, string>> = {}) {
    this.#rendered = rendered;
    this.#names = Object.entries(names);
    for (const folder of ['config', 'state', 'secrets', 'certificates', 'bin']) mkdirSync(this.#at(folder));
    writeFileSync(this.#at('config', 'warmpath.yaml'), this.#inHere(rendered.config));
    for (const volume of ['secrets', 'certificates']) {
      for (const path of this.#projected(volume)) {
        const file = this.#at(volume, path);
        const source = FILES[path] ?? (path.endsWith('-ca.pem') ? 'ca.pem' : undefined);
        if (source !== undefined) cpSync(join(TLS, source), file);
        else writeFileSync(file, `token-of-${path}-with-some-length\n`);
      }
    }
    // What the images have on their PATH.
    this.#programs = this.#at('bin');
    this.#program('node', `exec '${process.execPath}' "$@"`);
    if (envoy !== undefined) this.#program('envoy', `exec '${envoy}' "$@"`);
  }

  get configFile(): string {
    return this.#at('config', 'warmpath.yaml');
  }

  /** A file of the shared state. */
  state(name: string): string {
    return this.#at('state', name);
  }

  /** Starts a container. Without a command, the image's entry is what the Dockerfile says: Node with bin/warmpath.js. */
  start(container: Container): SpawnedProcess {
    const command = container.command ?? ['node', '/app/bin/warmpath.js'];
    return this.#run(container, [...command, ...(container.args ?? [])]);
  }

  /** As `kubectl exec`. */
  exec(container: Container, command: readonly string[]): SpawnedProcess {
    return this.#run(container, command);
  }

  /** Its hook before it is stopped, as the kubelet runs it. */
  preStop(container: Container): SpawnedProcess {
    if (container.lifecycle === undefined) throw new Error(`${container.name} has no hook`);
    return this.#run(container, container.lifecycle.preStop.exec.command);
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.stop(2_000)));
    this.#dir.remove();
  }

  #run({ env }: Container, command: readonly string[]): SpawnedProcess {
    const [program = '', ...args] = command.map((word) => this.#inHere(word));
    const path = `${this.#programs}:/usr/bin:/bin`;
    const own = env.map(({ name, value = '' }) => [name, this.#inHere(value)]);
    const child = spawnProcess(program, args, {
      env: { NO_COLOR: '1', WARMPATH_CONFIG: undefined, ...Object.fromEntries(own), PATH: path },
    });
    this.#processes.push(child);
    return child;
  }

  #program(name: string, line: string): void {
    writeFileSync(join(this.#programs, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  }

  /** The pod's paths as they are on this machine. */
  #inHere(text: string): string {
    return this.#names
      .reduce((changed, [name, address]) => changed.replaceAll(name, address), text)
      .replaceAll('/etc/warmpath', this.#at('config'))
      .replaceAll('/var/lib/warmpath', this.#at('state'))
      .replaceAll('/run/warmpath/secrets', this.#at('secrets'))
      .replaceAll('/run/warmpath/certificates', this.#at('certificates'))
      .replaceAll('/app/', `${ROOT}/`);
  }

  /** Paths of the files in one of the pod's projected volumes. */
  #projected(name: string): string[] {
    const volume = this.#rendered.pod.volumes.find((each) => each.name === name);
    if (volume === undefined) return [];
    const { sources } = volume.projected as { sources: { secret: { items: { path: string }[] } }[] };
    return sources.flatMap(({ secret }) => secret.items.map(({ path }) => path));
  }

  #at(...parts: string[]): string {
    const path = join(this.#dir.path, ...parts);
    if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true });
    return path;
  }
}
