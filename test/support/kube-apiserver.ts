import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';
import { freePort } from './free-port.ts';
import { KubeApi } from './kube-api.ts';
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts';
import { tempDir } from './temp-dir.ts';
import { waitFor } from './wait-for.ts';

const TOKEN = 'test-token';

/** The API server that tests run: KUBE_APISERVER, else PATH, else the user's cache; with etcd from PATH. */
export function realKubeApiServer(): RealProgram {
  const cache = join(
    process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
    'warmpath-test',
    'kube-apiserver',
  );
  const missing = `kube-apiserver or etcd is missing: set KUBE_APISERVER or have it in ${cache}, and etcd on PATH`;
  const server = firstExecutable([process.env.KUBE_APISERVER, ...onPath('kube-apiserver'), cache]);
  return {
    name: 'kube-apiserver',
    path: etcdPath() === undefined ? undefined : server,
    missing,
    mayLack: true,
  };
}

function etcdPath(): string | undefined {
  return firstExecutable([process.env.ETCD, ...onPath('etcd'), '/usr/bin/etcd']);
}

/** etcd and an API server on loopback, with one user who may do everything. */
export class KubeApiServer {
  readonly kubeconfig: string;
  readonly port: number;
  readonly etcdPort: number;
  readonly #path: string;
  readonly #dir: string;
  readonly #remove: () => void;
  #admin: KubeApi | undefined;
  #etcd: SpawnedProcess | undefined;
  #server: SpawnedProcess | undefined;

  private constructor(path: string, ports: { etcd: number; server: number }) {
    const dir = tempDir();
    this.#path = path;
    this.#dir = dir.path;
    this.#remove = () => dir.remove();
    this.port = ports.server;
    this.etcdPort = ports.etcd;
    this.kubeconfig = join(dir.path, 'kubeconfig');
  }

  static async start(path: string): Promise<KubeApiServer> {
    const [etcd, server, peers] = [await freePort(), await freePort(), await freePort()];
    const api = new KubeApiServer(path, { etcd, server });
    api.#writeFiles();
    const client = `http://127.0.0.1:${etcd}`;
    const peer = `http://127.0.0.1:${peers}`;
    api.#etcd = spawnProcess(etcdPath() ?? 'etcd', [
      ...['--data-dir', join(api.#dir, 'etcd'), '--unsafe-no-fsync', '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `default=${peer}`],
    ]);
    await api.resume();
    return api;
  }

  /** A user who may do everything. */
  get admin(): KubeApi {
    this.#admin ??= this.as(TOKEN);
    return this.#admin;
  }

  as(token: string): KubeApi {
    return new KubeApi(this.port, this.#certificate, token);
  }

  /** A kubeconfig with that token. */
  kubeconfigWith(token: string): string {
    const path = `${this.kubeconfig}-${createHash('sha256').update(token).digest('hex').slice(0, 16)}`;
    writeFileSync(path, this.#kubeconfigFor(token), { mode: 0o600 });
    return path;
  }

  /** As after a power cut; etcd goes on. */
  async kill(): Promise<void> {
    this.#server?.kill('SIGKILL');
    await this.#server?.exited;
  }

  /** Starts the API server, again after `kill`; `flags` beyond the usual ones. */
  async resume(flags: readonly string[] = []): Promise<void> {
    const file = (name: string) => join(this.#dir, name);
    const server = spawnProcess(this.#path, [
      `--etcd-servers=http://127.0.0.1:${this.etcdPort}`,
      ...['--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', `--secure-port=${this.port}`],
      `--cert-dir=${file('certs')}`,
      `--service-account-key-file=${file('sa.pub')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--service-cluster-ip-range=10.96.0.0/16',
      `--token-auth-file=${file('tokens.csv')}`,
      ...['--authorization-mode=RBAC', '--disable-admission-plugins=ServiceAccount'],
      '--endpoint-reconciler-type=none',
      ...flags,
    ]);
    this.#server = server;
    await waitFor('kube-apiserver', () => this.#isReady(), {
      timeoutMs: 60_000,
      gaveUp: () => (server.isRunning ? undefined : `it has ended:\n${server.output.slice(-2_000)}`),
    });
  }

  /** Forgets etcd's history: whoever watches from before has to list again. */
  async compact(): Promise<void> {
    const call = async (path: string, body: object): Promise<unknown> => {
      const url = `http://127.0.0.1:${this.etcdPort}/v3/kv/${path}`;
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
      if (!response.ok) throw new Error(`etcd answers ${response.status} to ${path}`);
      return response.json();
    };
    const answer = await call('range', { key: Buffer.from('x').toString('base64') });
    // etcd's gateway writes 64-bit numbers as strings.
    const { revision } = (answer as { header: { revision: string } }).header;
    await call('compaction', { revision, physical: true });
  }

  async stop(): Promise<void> {
    this.#server?.kill('SIGKILL');
    this.#etcd?.kill('SIGKILL');
    await this.#server?.exited;
    await this.#etcd?.exited;
    this.#remove();
  }

  /** How often EndpointSlices were listed since the API server started. */
  async lists(): Promise<number> {
    const { body } = await this.admin.call('GET', '/metrics');
    const counts = String(body).matchAll(
      /^apiserver_request_total\{[^}]*resource="endpointslices"[^}]*verb="LIST"[^}]*\} (\d+)/gm,
    );
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  async #isReady(): Promise<boolean> {
    return existsSync(this.#certificate) && (await this.admin.call('GET', '/readyz')).status === 200;
  }

  get #certificate(): string {
    return join(this.#dir, 'certs', 'apiserver.crt');
  }

  #writeFiles(): void {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const write = (name: string, text: string): void =>
      writeFileSync(join(this.#dir, name), text, { mode: 0o600 });
    mkdirSync(join(this.#dir, 'certs'));
    write('sa.pub', publicKey);
    write('sa.key', privateKey);
    write('tokens.csv', `${TOKEN},admin,admin,system:masters\nweak-token,nobody,nobody\n`);
    write('kubeconfig', this.#kubeconfigFor(TOKEN));
    write('kubeconfig-weak', this.#kubeconfigFor('weak-token'));
  }

  #kubeconfigFor(token: string): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: {
            server: `https://127.0.0.1:${this.port}`,
            'certificate-authority': join(this.#dir, 'certs', 'apiserver.crt'),
          },
        },
      ],
      users: [{ name: 'user', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
      'current-context': 'test',
    });
  }

  /** Of a user who may do nothing. */
  get weakKubeconfig(): string {
    return `${this.kubeconfig}-weak`;
  }
}
