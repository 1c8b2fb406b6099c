import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import {
  AGENT_HEADERS,
  AGENT_PATHS,
  type AgentReport,
  isJoinSignature,
  isReportSignature,
  type JoinRequest,
  joinSchema,
  reportSchema,
  type SignedParts,
} from '../../../src/app/agents/agent-protocol.ts';

interface Reply {
  readonly status: number;
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The control plane's end of the agents' protocol over a real socket: checks every signature as the real one does. */
export class TestControlPlane {
  readonly reports: AgentReport[] = [];
  readonly joins: JoinRequest[] = [];
  /** All bytes and headers that came, to look for what must not be among them. */
  readonly heard: string[] = [];
  /** Says something else than the truth; undefined: the truth. */
  answer: ((path: string) => Reply | undefined) | undefined;
  readonly #keys = new Map<string, string>();
  readonly #nonces = new Set<string>();
  readonly #token: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #scheme: 'http' | 'https';

  constructor(token: string, tls?: { readonly cert: string; readonly key: string }) {
    this.#token = token;
    this.#scheme = tls === undefined ? 'http' : 'https';
    const listener = (request: IncomingMessage, response: ServerResponse) =>
      void this.#serve(request, response);
    this.#server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  }

  /** Its origin. Given a port, it comes back where it was. */
  async listen(port = 0): Promise<URL> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return new URL(`${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** As one that was restarted without a shared store. */
  forget(): void {
    this.#keys.clear();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    this.heard.push(`${JSON.stringify(request.headers)} ${body.toString()}`);
    const reply = this.answer?.(request.url ?? '') ?? this.#judge(request, body);
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? {}));
  }

  #judge(request: IncomingMessage, body: Buffer): Reply {
    const header = (name: string) => String(request.headers[name] ?? '');
    const parts: SignedParts = {
      method: request.method ?? '',
      path: request.url ?? '',
      node: header(AGENT_HEADERS.node),
      time: header(AGENT_HEADERS.time),
      nonce: header(AGENT_HEADERS.nonce),
      body,
    };
    const signature = header(AGENT_HEADERS.signature);
    const refuse = (status: number, code: string): Reply => ({
      status,
      body: { error: `refused: ${code}`, code },
    });
    if (!/^[0-9a-f]{16,64}$/.test(parts.nonce) || this.#nonces.has(parts.nonce))
      return refuse(401, 'replayed');
    this.#nonces.add(parts.nonce);
    if (request.url === AGENT_PATHS.join) {
      if (!isJoinSignature(this.#token, parts, signature)) return refuse(401, 'bad_signature');
      const join = joinSchema.parse(JSON.parse(body.toString()));
      if ((this.#keys.get(join.node) ?? join.publicKey) !== join.publicKey) return refuse(409, 'name_taken');
      this.#keys.set(join.node, join.publicKey);
      this.joins.push(join);
      return { status: 200, body: { node: join.node, state: 'member' } };
    }
    const key = this.#keys.get(parts.node);
    if (key === undefined) return refuse(401, 'join_required');
    if (!isReportSignature(key, parts, signature)) return refuse(401, 'bad_signature');
    this.reports.push(reportSchema.parse(JSON.parse(body.toString())));
    return { status: 200, body: { node: parts.node, state: 'member' } };
  }
}
