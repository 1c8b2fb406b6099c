import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../app/log.ts';
import { type NodeAdmin, NodeAdminError } from '../app/registry/registry-types.ts';
import type { AdminSource } from './admin-source.ts';
import { nodesText, registeredReport } from './nodes-report.ts';
import { drainBody, emptyBody, nodeParams } from './nodes-schema.ts';
import { type WriteGuardOptions, writeRefusal } from './write-guard.ts';

const STATUS = { unknown_node: 404, conflict: 409, refused: 409, store_down: 503 } as const satisfies Record<
  NodeAdminError['reason'],
  number
>;
/** The only place of the admin interface where something can be changed. */
const WRITES = /^\/nodes\/[^/?]{1,128}(?:\/(?:approve|drain|undrain))?(?:\?|$)/;

export interface NodeRoutesOptions extends WriteGuardOptions {
  readonly admin: NodeAdmin;
  readonly log: Log;
}

/** Whether this may be a change, rather than a mistake. */
export function isNodeWrite(method: string, url: string): boolean {
  return (method === 'POST' || method === 'DELETE') && WRITES.test(url);
}

/** What operators see of all known nodes and do to them. Each change leaves one line in the log. */
export function addNodeRoutes(
  server: FastifyInstance,
  source: AdminSource,
  options: NodeRoutesOptions,
): void {
  const { admin, log } = options;
  const report = (id: string): object => {
    const node = admin.list().find((each) => each.id === id);
    const record = source.records().find(({ spec }) => spec.id === id);
    return { node: node === undefined ? null : registeredReport(source, node, record) };
  };
  const change = async (
    request: FastifyRequest,
    action: string,
    fields: object,
    work: (id: string) => Promise<void>,
  ): Promise<object> => {
    const { id } = nodeParams.parse(request.params);
    const audit = { audit: `operator_${action}`, node: id, remote: request.ip, ...fields };
    try {
      await work(id);
    } catch (error) {
      if (error instanceof NodeAdminError)
        log.info({ ...audit, reason: error.reason }, `an operator's "${action}" of node ${id} was not done`);
      throw error;
    }
    log.info(audit, `an operator asked for "${action}" of node ${id}`);
    return report(id);
  };

  server.addHook('onRequest', async (request, reply) => {
    if (!isNodeWrite(request.method, request.url)) return;
    const refusal = writeRefusal(request.method, request.headers, options);
    if (refusal === undefined) return;
    log.warn({ audit: 'operator_refused', remote: request.ip, status: refusal.status }, refusal.message);
    return refuse(reply, refusal.status, refusal.message);
  });
  server.get('/nodes', (_request, reply) =>
    reply
      .type('application/json; charset=utf-8')
      .send(Readable.from(nodesText(source, admin.list()), { objectMode: false })),
  );
  server.post('/nodes/:id/approve', (request) => {
    emptyBody.parse(request.body);
    return change(request, 'approve', {}, (id) => admin.approve(id));
  });
  server.post('/nodes/:id/drain', (request) => {
    const { note, removeAfterMs } = drainBody.parse(request.body);
    return change(request, 'drain', { note, removeAfterMs }, (id) =>
      admin.drain(id, { note, removeAfterMs }),
    );
  });
  server.post('/nodes/:id/undrain', (request) => {
    emptyBody.parse(request.body);
    return change(request, 'undrain', {}, (id) => admin.undrain(id));
  });
  server.delete('/nodes/:id', (request) => change(request, 'remove', {}, (id) => admin.remove(id)));
}

/** How a refused change is answered; undefined for other errors. */
export function nodeAdminStatus(error: unknown): { status: number; message: string } | undefined {
  return error instanceof NodeAdminError
    ? { status: STATUS[error.reason], message: error.message }
    : undefined;
}

function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error: message });
}
