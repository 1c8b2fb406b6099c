import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP, type LookupFunction } from 'node:net';
import { Client } from 'undici';
import { formatOrigin } from '../app/host-port.ts';
import type { Clock } from '../app/ports.ts';
import type { ToldAbilities } from '../fleet/model-abilities.ts';
import type { ModelOnDisk, NodeSpec, ResidentModel } from '../fleet/types.ts';
import { parseJson } from './parse-json.ts';
import { parseShow } from './parse-show.ts';
import { PollError, pollErrorFrom } from './poll-error.ts';
import { parseResident, parseTags, parseVersion } from './schemas.ts';

export interface ClientOptions {
  readonly connectTimeoutMs: number;
  /** For a whole answer, connection included. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly clock: Clock;
}

/** What a node said, and how long its answer took. */
export interface Answer<Value> {
  readonly value: Value;
  readonly rttMs: number;
  /** Unix seconds by the node's own clock, where it told. */
  readonly nodeTime: number | undefined;
}

interface Body {
  readonly bytes: Buffer;
  readonly nodeTime: number | undefined;
}

interface Remembered {
  /** Of the answer's bytes: the bytes themselves would be most of what a node takes in memory. */
  readonly hash: string;
  readonly value: unknown;
}

/**
 * Asks one node at one address, over one connection that stays open. Every method rejects with PollError only.
 * The address is settled by the caller: the client never resolves a name and never follows a redirect.
 */
export class OllamaClient {
  readonly address: string;
  readonly #spec: NodeSpec;
  readonly #options: ClientOptions;
  readonly #remembered = new Map<string, Remembered>();
  #client: Promise<Client> | undefined;
  /** The last answer came over a connection that may still be open. */
  #isConnected = false;

  constructor(spec: NodeSpec, ip: string, options: ClientOptions) {
    this.#spec = spec;
    this.address = ip;
    this.#options = options;
  }

  /** Models in memory. */
  resident(signal: AbortSignal): Promise<Answer<readonly ResidentModel[]>> {
    return this.#get('/api/ps', (body) => this.#parse('/api/ps', body, parseResident), signal);
  }

  /** Models on disk. */
  tags(signal: AbortSignal): Promise<Answer<readonly ModelOnDisk[]>> {
    return this.#get('/api/tags', (body) => this.#parse('/api/tags', body, parseTags), signal);
  }

  version(signal: AbortSignal): Promise<Answer<string>> {
    return this.#get('/api/version', (body) => this.#parse('/api/version', body, parseVersion), signal);
  }

  /** What a model can do; undefined: a node too old to tell. Reads the model's file, so it may take a while. */
  show(model: string, signal: AbortSignal): Promise<Answer<ToldAbilities | undefined>> {
    return this.#ask('/api/show', { model }, (body) => parseShow(parseJson(body)), signal);
  }

  /** Cuts the connection; what is under way rejects. */
  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.destroy();
  }

  #get<Value>(path: string, read: (bytes: Buffer) => Value, signal: AbortSignal): Promise<Answer<Value>> {
    return this.#ask(path, undefined, read, signal);
  }

  /** GET, or POST where there is something to send. */
  async #ask<Value>(
    path: string,
    question: object | undefined,
    read: (bytes: Buffer) => Value,
    signal: AbortSignal,
  ): Promise<Answer<Value>> {
    const { clock, timeoutMs } = this.#options;
    const cap = new AbortController();
    const end = (): void => cap.abort();
    const cancel = clock.after(timeoutMs, end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    const start = clock.now();
    try {
      const { bytes, nodeTime } = await this.#fetchAgain(path, question, cap.signal);
      const rttMs = clock.now() - start;
      return { value: read(bytes), rttMs, nodeTime };
    } catch (error) {
      if (signal.aborted) throw new PollError('timeout', 'given up', error);
      if (cap.signal.aborted) throw new PollError('timeout', 'no whole answer in time', error);
      throw pollErrorFrom(error);
    } finally {
      cancel();
      signal.removeEventListener('abort', end);
    }
  }

  /** An idle connection may be closed by the node just as it is used again; that says nothing about the node. */
  async #fetchAgain(path: string, question: object | undefined, signal: AbortSignal): Promise<Body> {
    const isReused = this.#isConnected;
    try {
      const body = await this.#fetch(path, question, signal);
      this.#isConnected = true;
      return body;
    } catch (error) {
      this.#isConnected = false;
      if (!isReused || signal.aborted || pollErrorFrom(error).reason !== 'reset') throw error;
      return await this.#fetch(path, question, signal);
    }
  }

  async #fetch(path: string, question: object | undefined, signal: AbortSignal): Promise<Body> {
    const { maxBodyBytes } = this.#options;
    const { token } = this.#spec;
    const client = await this.#open();
    const response = await client.request({
      method: question === undefined ? 'GET' : 'POST',
      path,
      signal,
      body: question === undefined ? null : JSON.stringify(question),
      headers: {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'warmpath',
        ...(question === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    try {
      refuseUnlessJson(response.statusCode, response.headers);
      if (Number(response.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of response.body) {
        length += chunk.length;
        if (length > maxBodyBytes) throw tooLarge();
        chunks.push(chunk);
      }
      return { bytes: Buffer.concat(chunks, length), nodeTime: timeOf(response.headers.date) };
    } catch (error) {
      // Leaves the connection in no half-read state; the error event has no other listener.
      response.body.on('error', () => {}).destroy();
      if (error instanceof PollError || signal.aborted) throw error;
      const found = pollErrorFrom(error);
      throw found.reason === 'reset'
        ? new PollError('truncated', 'connection closed within the answer', error)
        : found;
    }
  }

  /** Most answers repeat the last one byte for byte: they are parsed once, and the same objects are handed out. */
  #parse<Value>(path: string, bytes: Buffer, parse: (json: unknown) => Value): Value {
    const last = this.#remembered.get(path);
    // What is remembered under a path came from the same `parse`.
    const sum = hash('sha256', bytes, 'base64');
    if (last?.hash === sum) return last.value as Value;
    const value = parse(parseJson(bytes));
    this.#remembered.set(path, { hash: sum, value });
    return value;
  }

  #open(): Promise<Client> {
    this.#client ??= this.#connect().catch((error) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  async #connect(): Promise<Client> {
    const { url, tlsCaFile } = this.#spec;
    const { connectTimeoutMs, timeoutMs } = this.#options;
    let ca: string | undefined;
    try {
      ca = tlsCaFile === undefined ? undefined : await readFile(tlsCaFile, 'utf8');
    } catch (error) {
      throw new PollError('tls', 'the CA file cannot be read', error);
    }
    return new Client(formatOrigin(url), {
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: 16 * 1024,
      keepAliveTimeout: 60_000,
      // Ours is the exact bound; these only end what it cannot reach.
      headersTimeout: timeoutMs * 2 + 1_000,
      bodyTimeout: timeoutMs * 2 + 1_000,
      connect: {
        timeout: connectTimeoutMs,
        lookup: pinned(this.address),
        autoSelectFamily: false,
        keepAlive: true,
        ...(ca === undefined ? {} : { ca }),
      },
    });
  }
}

/** A lookup that knows one answer. Sockets to an IP literal do not ask at all. */
export function pinned(ip: string): LookupFunction {
  const family = isIP(ip);
  return (_hostname, options, callback) => {
    if (options.all === true) callback(null, [{ address: ip, family }]);
    else callback(null, ip, family);
  };
}

function refuseUnlessJson(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): void {
  if (status === 429 || status === 503) throw new PollError('busy', `status ${status}`);
  if (status >= 500) throw new PollError('server_error', `status ${status}`);
  if (status === 401 || status === 403)
    throw new PollError('bad_answer', `status ${status}: it wants a token, or refuses our Host`);
  if (status !== 200) throw new PollError('bad_answer', `status ${status}`);
  const type = String(headers['content-type'] ?? '');
  if (!/^application\/json\s*(?:;|$)/i.test(type))
    throw new PollError('bad_answer', 'not JSON by its content type');
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') {
    throw new PollError('bad_answer', 'compressed without being asked');
  }
}

/** A Date header as HTTP wants it; other spellings count as none. */
function timeOf(date: string | string[] | undefined): number | undefined {
  if (typeof date !== 'string' || !/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(date))
    return undefined;
  const ms = Date.parse(date);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

function tooLarge(): PollError {
  return new PollError('bad_answer', 'answer too large');
}
