import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { z } from 'zod';
import { inputToJson } from '../app/decision-input-json.ts';
import { STATUS } from '../app/status.ts';
import { RouterError } from '../request/errors.ts';
import type { AdminSource } from './admin-source.ts';
import { clientErrorOf } from './client-error.ts';
import { decisionReport } from './decision-report.ts';
import { explanationReport } from './explain-report.ts';
import { createHostGuard } from './host-guard.ts';
import { addNodeRoutes, isNodeWrite, type NodeRoutesOptions, nodeAdminStatus } from './nodes-routes.ts';
import { statusText } from './status-report.ts';

const MAX_DECISIONS = 1000;

export interface AdminOptions {
  /** Where it will listen, `host:port`, for people to read. */
  readonly address: string;
  /** Host names that may be asked for, beside `localhost` and IP literals. */
  readonly allowedHosts: Iterable<string>;
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
  /** What operators may do to nodes; undefined: nothing, the server is read-only. */
  readonly nodes?: NodeRoutesOptions;
  /** A request failed inside; the reply tells no more than that. */
  readonly onError: (error: unknown) => void;
}

const explainQuery = z.strictObject({
  model: z.string().min(1).max(512),
  num_ctx: z.coerce.number().int().min(1).max(1e9).optional(),
  path: z.string().max(128).default('/api/chat'),
});
const decisionsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MAX_DECISIONS).default(100),
});

/** Operators' view of a running Warmpath: health, metrics, status, decisions; changes to nodes. The caller listens. */
export function createAdminServer(source: AdminSource, options: AdminOptions): FastifyInstance {
  const server = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    connectionTimeout: 30_000,
    routerOptions: { maxParamLength: 128 },
    forceCloseConnections: true,
    return503OnClosing: false,
  });
  const isAllowedHost = createHostGuard(options.allowedHosts);

  server.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    if (!isAllowedHost(request.headers.host)) {
      return refuse(reply, 421, 'this host name is not served here; use the IP address or localhost');
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead && !(options.nodes !== undefined && isNodeWrite(request.method, request.url))) {
      reply.header('allow', 'GET, HEAD');
      return refuse(reply, 405, 'this interface is read-only');
    }
  });
  server.setNotFoundHandler((_request, reply) => refuse(reply, 404, 'not found'));
  server.setErrorHandler((error, _request, reply) => {
    if (error instanceof z.ZodError) return refuse(reply, 400, describe(error));
    if (error instanceof RouterError) return refuse(reply, STATUS[error.code].http, error.message);
    const refused = nodeAdminStatus(error);
    if (refused !== undefined) return refuse(reply, refused.status, refused.message);
    const status = clientErrorOf(error);
    if (status !== undefined)
      return refuse(reply, status, status === 413 ? 'the request is too large' : 'bad request');
    options.onError(error);
    return refuse(reply, 500, 'internal error');
  });

  if (options.nodes !== undefined) addNodeRoutes(server, source, options.nodes);
  const nodes = options.nodes === undefined ? [] : ['/nodes'];
  server.get('/', () => ({
    name: 'warmpath',
    version: source.version,
    paths: [
      '/status',
      ...nodes,
      '/metrics',
      '/healthz',
      '/readyz',
      '/decisions',
      '/decisions/{id}',
      '/decisions/{id}/input',
      '/explain?model=',
    ],
  }));
  server.get('/healthz', () => ({ status: 'ok' }));
  server.get('/readyz', (_request, reply) => {
    const reasons = source.unreadyReasons();
    return reasons.length === 0 ? { status: 'ready' } : reply.code(503).send({ status: 'unready', reasons });
  });
  server.get('/metrics', async (_request, reply) => {
    reply.type(options.metrics.contentType);
    return options.metrics.render();
  });
  server.get('/status', (_request, reply) =>
    reply
      .type('application/json; charset=utf-8')
      .send(Readable.from(statusText(source, options.address), { objectMode: false })),
  );
  server.get('/decisions', (request) => ({
    decisions: source.decisions(decisionsQuery.parse(request.query).limit),
  }));
  server.get<{ Params: { id: string } }>('/decisions/:id', (request, reply) => {
    return decisionReport(source, request.params.id) ?? refuse(reply, 404, 'no such decision is remembered');
  });
  server.get<{ Params: { id: string } }>('/decisions/:id/input', (request, reply) => {
    const input = source.decisionInput(request.params.id);
    const text = input && inputToJson(input);
    if (text === undefined)
      return refuse(reply, 404, 'what this decision followed from is not remembered, or too large');
    return reply.type('application/json; charset=utf-8').send(text);
  });
  server.get('/explain', (request) => {
    const { model, num_ctx: numCtx, path } = explainQuery.parse(request.query);
    return explanationReport(source, source.explain({ model, numCtx, path }));
  });
  return server;
}

function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error: message });
}

function describe(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'request'}: ${issue.message}`).join('; ');
}
