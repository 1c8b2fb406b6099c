import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { waitFor } from './wait-for.ts';

/** An object as manifests have it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name?: string; readonly namespace?: string };
}

export interface KubeAnswer {
  readonly status: number;
  /** Parsed JSON, or the text where it is none. */
  readonly body: unknown;
}

/** Groups of custom resource definitions in ./crds. */
export const CRD_GROUPS = [
  'gateway-api',
  'inference-extension',
  'envoy-gateway',
  'istio',
  'prometheus-operator',
] as const;

interface Kind {
  readonly plural: string;
  readonly isNamespaced: boolean;
}

/** One user's way to an API server. */
export class KubeApi {
  readonly #port: number;
  readonly #certificate: string;
  readonly #token: string;
  readonly #kinds = new Map<string, Promise<ReadonlyMap<string, Kind>>>();

  constructor(port: number, certificate: string, token: string) {
    this.#port = port;
    this.#certificate = certificate;
    this.#token = token;
  }

  call(method: string, path: string, body?: object, contentType = 'application/json'): Promise<KubeAnswer> {
    return new Promise((resolve, reject) => {
      const ask = request(
        {
          ...{ host: '127.0.0.1', port: this.#port, method, path, agent: false, timeout: 10_000 },
          ca: readFileSync(this.#certificate),
          headers: { authorization: `Bearer ${this.#token}`, 'content-type': contentType },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          const end = (): void => resolve({ status: response.statusCode ?? 0, body: parsed(text) });
          response.on('end', end).on('error', reject);
        },
      );
      ask.on('error', reject).on('timeout', () => ask.destroy(new Error('no answer')));
      ask.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** As `call`, but anything else than success is an error that says what the server said. */
  async must(method: string, path: string, body?: object, contentType?: string): Promise<unknown> {
    const answer = await this.call(method, path, body, contentType);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** What the server says to `kubectl apply --server-side`, unknown fields refused. Undefined: it takes it. */
  async applied(object: Manifest, { isDryRun }: { isDryRun: boolean }): Promise<string | undefined> {
    const path = await this.#pathOf(object);
    if (path === undefined) return `knows no ${object.kind} in ${object.apiVersion}`;
    const query = `fieldManager=test&force=true&fieldValidation=Strict${isDryRun ? '&dryRun=All' : ''}`;
    const { status, body } = await this.call(
      'PATCH',
      `${path}?${query}`,
      object,
      'application/apply-patch+yaml',
    );
    if (status < 300) return undefined;
    return `${status} ${messageOf(body)}`;
  }

  /** The object as the server has it; undefined: it has none of that kind and name. */
  async find(object: Manifest): Promise<unknown> {
    const path = await this.#pathOf(object);
    if (path === undefined) return undefined;
    const { status, body } = await this.call('GET', path);
    return status === 200 ? body : undefined;
  }

  /** Installs custom resource definitions and waits until their kinds are served. */
  async install(groups: readonly (typeof CRD_GROUPS)[number][]): Promise<void> {
    const definitions = groups.flatMap((group) => {
      const packed = readFileSync(join(import.meta.dirname, 'crds', `${group}.json.gz`));
      return JSON.parse(gunzipSync(packed).toString('utf8')) as Manifest[];
    });
    const root = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    for (const { status, body } of await Promise.all(
      definitions.map((one) => this.call('POST', root, one)),
    )) {
      // What is there already is as good.
      if (status >= 300 && status !== 409) throw new Error(`a definition is refused: ${messageOf(body)}`);
    }
    const isEstablished = async ({ metadata }: Manifest): Promise<boolean> => {
      const found = (await this.must('GET', `${root}/${metadata.name}`)) as {
        status?: { conditions?: { type: string; status: string }[] };
      };
      return (
        found.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True') ??
        false
      );
    };
    await waitFor('the definitions are served', async () =>
      (await Promise.all(definitions.map(isEstablished))).every(Boolean),
    );
    this.#kinds.clear();
  }

  async #pathOf({ apiVersion, kind, metadata }: Manifest): Promise<string | undefined> {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const asked = this.#kinds.get(root) ?? this.#kindsOf(root);
    this.#kinds.set(root, asked);
    const found = (await asked).get(kind);
    if (found === undefined) return undefined;
    const place = found.isNamespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : '';
    return `${root}${place}/${found.plural}/${metadata.name}`;
  }

  async #kindsOf(root: string): Promise<ReadonlyMap<string, Kind>> {
    const { status, body } = await this.call('GET', root);
    if (status !== 200) return new Map();
    const { resources } = body as { resources: { name: string; kind: string; namespaced: boolean }[] };
    return new Map(
      resources
        .filter(({ name }) => !name.includes('/'))
        .map(({ name, kind, namespaced }) => [kind, { plural: name, isNamespaced: namespaced }]),
    );
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function messageOf(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'message' in body) return String(body.message);
  return String(body);
}
