import { MODEL_ENDPOINTS, READ_PATHS } from './endpoints.ts';
import { COMPATIBLE_JSON, errorReply, OLLAMA_JSON } from './error-replies.ts';
import { modelAnswer, modelListAnswer, tagsAnswer } from './inventory.ts';
import { canonicalName, type SimulatedModel } from './models.ts';

export interface OtherContext {
  readonly models: Map<string, SimulatedModel>;
  readonly version: string;
  readonly ps: () => Record<string, unknown>;
}

export interface PlainAnswer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Everything that needs no runner: inventory, health, management, and what does not exist. */
export function answerOther(method: string, path: string, body: Buffer, context: OtherContext): PlainAnswer {
  if (method === 'OPTIONS') return { status: 204, body: '' };
  const modelId = /^\/v1\/models\/(.+)$/.exec(path)?.[1];
  const methods = modelId === undefined ? methodsOf(path) : ['GET'];
  if (methods === undefined) return { status: 404, body: '404 page not found', contentType: 'text/plain' };
  if (!methods.includes(method)) {
    const headers = { Allow: methods.join(', ') };
    return { status: 405, body: '405 method not allowed', contentType: 'text/plain', headers };
  }
  if (modelId !== undefined) return answerModel(decodeURIComponent(modelId), context);
  const models = [...context.models.values()];
  switch (path) {
    case '/':
      return { status: 200, body: 'Ollama is running', contentType: 'text/plain; charset=utf-8' };
    case '/api/version':
      return json({ version: context.version });
    case '/api/status':
      return json({ cloud: { disabled: true, source: 'env' } });
    case '/api/tags':
      return json(tagsAnswer(models));
    case '/api/ps':
      return json(context.ps());
    case '/v1/models':
      return compatibleJson(modelListAnswer(models));
    default:
      return manage(path, body, context);
  }
}

function answerModel(id: string, { models }: OtherContext): PlainAnswer {
  const model = models.get(canonicalName(id));
  if (model !== undefined) return compatibleJson(modelAnswer(model, id));
  return { status: 404, ...errorReply('openai', 404, `model '${id}' not found`) };
}

const MANAGEMENT: ReadonlyMap<string, readonly string[]> = new Map([
  ['/api/pull', ['POST']],
  ['/api/push', ['POST']],
  ['/api/create', ['POST']],
  ['/api/copy', ['POST']],
  ['/api/delete', ['DELETE']],
  ['/api/me', ['POST']],
  ['/api/signout', ['POST']],
]);

function methodsOf(path: string): readonly string[] | undefined {
  if (MODEL_ENDPOINTS.has(path)) return ['POST'];
  if (path.startsWith('/api/blobs/')) return ['POST', 'HEAD'];
  return READ_PATHS.get(path) ?? MANAGEMENT.get(path);
}

/** Management works on the simulated disk: whoever reaches it has done real harm, as on a real node. */
function manage(path: string, body: Buffer, { models }: OtherContext): PlainAnswer {
  switch (path) {
    case '/api/delete': {
      const name = field(body, 'model') || field(body, 'name');
      return models.delete(canonicalName(name))
        ? { status: 200, body: '' }
        : missing(`model '${name}' not found`);
    }
    case '/api/copy': {
      const source = models.get(canonicalName(field(body, 'source')));
      if (source === undefined) return missing(`model "${field(body, 'source')}" not found`);
      const name = canonicalName(field(body, 'destination'));
      models.set(name, { ...source, name });
      return { status: 200, body: '' };
    }
    default:
      return json({ status: 'success' });
  }
}

function field(body: Buffer, name: string): string {
  try {
    const value: unknown = Reflect.get(Object(JSON.parse(body.toString())), name);
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}

function missing(message: string): PlainAnswer {
  return { status: 404, ...errorReply('ollama', 404, message) };
}

function json(value: Record<string, unknown>): PlainAnswer {
  return { status: 200, body: JSON.stringify(value), contentType: OLLAMA_JSON };
}

function compatibleJson(value: Record<string, unknown>): PlainAnswer {
  return { status: 200, body: `${JSON.stringify(value)}\n`, contentType: COMPATIBLE_JSON };
}
