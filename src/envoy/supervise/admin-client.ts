import { request } from 'node:http';
import type { SocketTarget } from '../bootstrap/options.ts';

const TIMEOUT_MS = 1_000;

/** The few pages of Envoy's admin interface that its supervisor needs. */
export interface EnvoyAdmin {
  isReady(): Promise<boolean>;
  /** Client requests that are not finished; undefined where Envoy does not say. */
  activeRequests(): Promise<number | undefined>;
  /** Stops taking connections gently: open ones finish what they began. */
  drain(): Promise<void>;
}

export function envoyAdmin(target: SocketTarget): EnvoyAdmin {
  return {
    isReady: async () => (await ask(target, 'GET', '/ready')).startsWith('LIVE'),
    activeRequests: async () => {
      const name = 'http.clients.downstream_rq_active';
      const text = await ask(target, 'GET', `/stats?filter=^${name.replaceAll('.', '\\.')}$`);
      const found = /: (\d+)/.exec(text)?.[1];
      return found === undefined ? undefined : Number(found);
    },
    drain: async () => {
      await ask(target, 'POST', '/drain_listeners?graceful');
    },
  };
}

/** The text of a page; empty where Envoy does not answer. */
function ask(target: SocketTarget, method: string, path: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const where =
    target.kind === 'unix' ? { socketPath: target.path } : { host: target.host, port: target.port };
  const asked = request({ ...where, method, path, timeout: TIMEOUT_MS }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
    });
    response.on('end', () => resolve(text));
    response.on('error', () => resolve(''));
  });
  asked.on('timeout', () => asked.destroy());
  asked.on('error', () => resolve(''));
  asked.end();
  return promise;
}
