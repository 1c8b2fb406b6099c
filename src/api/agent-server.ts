import { readFile } from 'node:fs/promises';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { AgentIntake, AgentReply, AgentRequest } from '../app/agents/agent-intake.ts';
import { AGENT_HEADERS, AGENT_PATHS, MAX_AGENT_BODY_BYTES } from '../app/agents/agent-protocol.ts';
import { clientErrorOf } from './client-error.ts';

/** A report has a few KiB; whoever needs longer holds a connection for nothing. */
const REQUEST_MS = 5_000;
const IDLE_MS = 75_000;
const MAX_PER_SENDER = 512;

export interface AgentServerOptions {
  readonly intake: Pick<AgentIntake, 'admit' | 'handle' | 'tooLarge'>;
  /** PEM; undefined: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Connections at once, of all agents together. */
  readonly maxConnections: number;
  /** A request failed inside; the reply tells no more than that. */
  readonly onError: (error: unknown) => void;
}

/** Reads the files named in the configuration. Throws with the path where one cannot be read. */
export async function readAgentTls(paths: {
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
}): Promise<AgentServerOptions['tls']> {
  if (paths.tlsCert === undefined || paths.tlsKey === undefined) return undefined;
  const [cert, key] = await Promise.all([readFile(paths.tlsCert, 'utf8'), readFile(paths.tlsKey, 'utf8')]);
  return { cert, key };
}

/** Where agents join and report: two paths, POST only. The caller listens. */
export function createAgentServer(options: AgentServerOptions): FastifyInstance {
  const { intake, tls } = options;
  const common = {
    logger: false,
    bodyLimit: MAX_AGENT_BODY_BYTES,
    requestTimeout: REQUEST_MS,
    connectionTimeout: IDLE_MS,
    keepAliveTimeout: IDLE_MS,
    routerOptions: { maxParamLength: 8 },
    forceCloseConnections: true,
    return503OnClosing: false,
  };
  const http = { maxHeaderSize: 8 * 1024, headersTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 };
  const server: FastifyInstance =
    tls === undefined
      ? fastify({ ...common, http })
      : // Sound: the routes use nothing in which the two kinds of server differ.
        (fastify({
          ...common,
          https: { ...http, ...tls, minVersion: 'TLSv1.2' },
        }) as unknown as FastifyInstance);
  boundConnections(server, options.maxConnections);

  // Only agents that are who they say keep their connection.
  server.addHook('onSend', async (_request, reply) => {
    if (reply.statusCode !== 200) reply.header('connection', 'close');
  });
  // The signature is over the bytes as they came: nothing is parsed here.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  server.setNotFoundHandler((_request, reply) => {
    return reply.code(404).send({ error: 'not found; agents POST to /agent/v1/join and /agent/v1/report' });
  });
  server.setErrorHandler((error, request, reply) => {
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
    if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      return send(reply, intake.tooLarge(kindOf(request)));
    }
    const status = clientErrorOf(error);
    if (status !== undefined) return reply.code(status).send({ error: 'bad request', code: 'malformed' });
    options.onError(error);
    return reply.code(500).send({ error: 'internal error', code: 'internal' });
  });

  for (const [kind, path] of Object.entries(AGENT_PATHS) as [AgentRequest['kind'], string][]) {
    server.route({
      method: 'POST',
      url: path,
      onRequest: async (request, reply) => {
        reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
        const refused = intake.admit(kind, senderOf(request));
        if (refused !== undefined) return send(reply, refused);
      },
      handler: async (request, reply) => send(reply, await intake.handle(requestOf(kind, request))),
    });
  }
  return server;
}

function requestOf(kind: AgentRequest['kind'], request: FastifyRequest): AgentRequest {
  const header = (name: string): string => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : '';
  };
  return {
    kind,
    node: header(AGENT_HEADERS.node),
    time: header(AGENT_HEADERS.time),
    nonce: header(AGENT_HEADERS.nonce),
    signature: header(AGENT_HEADERS.signature),
    body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    sender: senderOf(request),
  };
}

/** The peer of the connection: what a header says of it is the sender's own word. */
function senderOf(request: FastifyRequest): string {
  return request.socket.remoteAddress ?? '';
}

function kindOf(request: FastifyRequest): AgentRequest['kind'] {
  return request.url.startsWith(AGENT_PATHS.join) ? 'join' : 'report';
}

function send(reply: FastifyReply, { status, body }: AgentReply): FastifyReply {
  if (status === 429) reply.header('retry-after', '5');
  return reply.code(status).send(body);
}

/** Connections cost memory before anybody has shown who they are. */
function boundConnections(server: FastifyInstance, maxConnections: number): void {
  const bySender = new Map<string, number>();
  server.server.maxConnections = maxConnections;
  server.server.on('connection', (socket) => {
    const sender = socket.remoteAddress ?? '';
    const count = (bySender.get(sender) ?? 0) + 1;
    bySender.set(sender, count);
    socket.once('close', () => {
      const left = (bySender.get(sender) ?? 1) - 1;
      if (left > 0) bySender.set(sender, left);
      else bySender.delete(sender);
    });
    if (count > Math.min(MAX_PER_SENDER, maxConnections / 2)) socket.destroy();
  });
}
