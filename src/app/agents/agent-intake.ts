import type { NodeId, NodeUrl } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import { formatOrigin } from '../host-port.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import {
  type Candidate,
  NodeAdminError,
  type NodeRegistry,
  type RegisteredNode,
} from '../registry/registry-types.ts';
import { type AgentAddressRules, agentAddressProblem } from './agent-address.ts';
import { labelsOf, parseBody } from './agent-body.ts';
import type { AgentFleet } from './agent-fleet.ts';
import { partyOf, RateLimits, UsedOnce } from './agent-limits.ts';
import {
  AGENT_PATHS,
  AGENT_TIME_WINDOW_MS,
  isAgentPublicKey,
  isJoinSignature,
  isReportSignature,
  joinSchema,
  MAX_AGENT_BODY_BYTES,
  reportSchema,
  type SignedParts,
} from './agent-protocol.ts';
import {
  AGENT_STATUS,
  type AgentResult,
  nameTaken,
  notYourNode,
  Refusal,
  refusalOf,
  removedNode,
} from './agent-refusal.ts';

export interface AgentRequest {
  readonly kind: keyof typeof AGENT_PATHS;
  readonly node: string;
  readonly time: string;
  readonly nonce: string;
  readonly signature: string;
  /** As it came: what is signed. */
  readonly body: Uint8Array;
  /** IP address of the peer. */
  readonly sender: string;
}

export interface AgentReply {
  readonly status: number;
  readonly result: AgentResult;
  readonly body:
    | { readonly node: NodeId; readonly state: RegisteredNode['state']; readonly problem?: string }
    | { readonly error: string; readonly code: AgentResult };
}

export interface AgentIntakeOptions {
  readonly joinToken: string;
  /** Nodes that agents may register, all together; may change. */
  readonly maxNodes: () => number;
  readonly address: AgentAddressRules;
  readonly parseUrl: (text: string) => { readonly url: NodeUrl } | { readonly problem: string };
  readonly registry: Pick<NodeRegistry, 'get' | 'list' | 'join'>;
  readonly store: Pick<Store, 'isShared' | 'claimOnce'>;
  readonly fleet: Pick<AgentFleet, 'heard'>;
  readonly telemetry: { agentRequest(kind: AgentRequest['kind'], result: AgentResult): void };
  readonly clock: Clock;
  readonly log: Log;
}

/** Many agents may share one address (NAT), so the cap for each is far above what one needs. */
const SENDER_RATE = { burst: 1_000, perSecond: 300 };
/** Requests that cost a signature check and failed it. */
const FAILURE_RATE = { burst: 30, perSecond: 1 };
const NODE_RATE = { burst: 20, perSecond: 10 };
const MAX_SENDERS = 10_000;
/** Each nonce lives for up to twice the window; an agent usually reports every few seconds. */
const NONCES_PER_NODE = 256;
const REFUSALS_LOGGED_MS = 60_000;
const NODE = /^[A-Za-z0-9._-]{1,64}$/;
const TIME = /^\d{12,14}$/;
const NONCE = /^[0-9a-f]{16,64}$/i;
const SIGNATURE = /^[\w-]{64,128}$/;

/**
 * Who may join as a node and whose reports count. Everything is checked from cheap to dear: form, clock, rates, then one
 * signature over the raw bytes; only what was signed is parsed. A name belongs to the first key that joined with it.
 */
export class AgentIntake {
  readonly #options: AgentIntakeOptions;
  readonly #senders = new RateLimits(SENDER_RATE, MAX_SENDERS);
  readonly #failures = new RateLimits(FAILURE_RATE, MAX_SENDERS);
  readonly #nodes: RateLimits;
  readonly #nonces: UsedOnce;
  readonly #loggedAt = new Map<AgentResult, number>();

  constructor(options: AgentIntakeOptions) {
    this.#options = options;
    this.#nodes = new RateLimits(NODE_RATE, options.maxNodes() + MAX_SENDERS);
    this.#nonces = new UsedOnce(Math.max(64, options.maxNodes()) * NONCES_PER_NODE);
  }

  /** What this remembers of others, to show that it is bounded. */
  get memory(): { readonly senders: number; readonly nodes: number; readonly nonces: number } {
    return {
      senders: this.#senders.size + this.#failures.size,
      nodes: this.#nodes.size,
      nonces: this.#nonces.size,
    };
  }

  /** Asked before the body of a request is read: undefined where it may be sent. */
  admit(kind: AgentRequest['kind'], sender: string): AgentReply | undefined {
    const now = this.#options.clock.now();
    const party = partyOf(sender);
    if (this.#senders.take(party, now) && this.#failures.has(party, now)) return undefined;
    return this.#refused(kind, new Refusal('too_many', 'too many requests from this address; try later'));
  }

  /** A body that was not taken in. */
  tooLarge(kind: AgentRequest['kind']): AgentReply {
    return this.#refused(
      kind,
      new Refusal('too_large', `the body must have ${MAX_AGENT_BODY_BYTES} bytes at most`),
    );
  }

  async handle(request: AgentRequest): Promise<AgentReply> {
    try {
      const node = await (request.kind === 'join' ? this.#join(request) : this.#report(request));
      this.#options.telemetry.agentRequest(request.kind, 'accepted');
      const { id, state, problem } = node;
      return {
        status: 200,
        result: 'accepted',
        body: { node: id, state, ...(problem === undefined ? {} : { problem }) },
      };
    } catch (error) {
      if (error instanceof Refusal) return this.#refused(request.kind, error);
      throw error;
    }
  }

  async #join(request: AgentRequest): Promise<RegisteredNode> {
    const parts = this.#checkForm(request);
    if (!isJoinSignature(this.#options.joinToken, parts, request.signature)) {
      throw this.#badSignature(request, 'the join token is not ours; give the agent the token of this fleet');
    }
    await this.#claim(request);
    const join = parseBody(joinSchema, request.body);
    if (join.node !== request.node) throw notYourNode(request.node);
    if (!isAgentPublicKey(join.publicKey))
      throw new Refusal('invalid', 'publicKey: expected an Ed25519 key in base64url');
    return await this.#enter(
      join.node,
      join.url,
      join.publicKey,
      labelsOf(join.labels ?? {}),
      request.sender,
    );
  }

  async #report(request: AgentRequest): Promise<RegisteredNode> {
    const { registry, fleet } = this.#options;
    const parts = this.#checkForm(request);
    const known = registry.get(request.node);
    const key = known?.identity;
    if (known === undefined || key === undefined || !isAgentPublicKey(key)) {
      throw new Refusal('join_required', 'no agent has joined as this node here; join first');
    }
    if (!isReportSignature(key, parts, request.signature)) {
      throw this.#badSignature(request, 'not signed with the key that this node joined with');
    }
    await this.#claim(request);
    const report = parseBody(reportSchema, request.body);
    if (report.node !== request.node) throw notYourNode(request.node);
    if (known.state === 'removed') throw removedNode(request.node);
    let node = known;
    if (known.source === 'agent' && !isSameUrl(known.spec.url, this.#url(report.url))) {
      node = await this.#enter(request.node, report.url, key, known.spec.labels, request.sender);
    }
    fleet.heard(node.id, report);
    return node;
  }

  /** Everything that needs neither secrets nor memory. */
  #checkForm({ kind, node, time, nonce, signature, body }: AgentRequest): SignedParts {
    if (!NODE.test(node) || !TIME.test(time) || !NONCE.test(nonce) || !SIGNATURE.test(signature)) {
      throw new Refusal('malformed', 'expected the headers x-warmpath-agent, -time, -nonce and -signature');
    }
    const driftMs = this.#options.clock.date().getTime() - Number(time);
    if (Math.abs(driftMs) > AGENT_TIME_WINDOW_MS) {
      const seconds = Math.round(Math.abs(driftMs) / 1000);
      const direction = driftMs > 0 ? 'behind' : 'ahead of';
      throw new Refusal('stale', `the agent's clock is ${seconds} s ${direction} ours; set it by NTP`);
    }
    return { method: 'POST', path: AGENT_PATHS[kind], node, time, nonce, body };
  }

  /** The signature holds: from here on the sender is who it says, but perhaps too busy, or a recording of itself. */
  async #claim({ kind, node, time, nonce, sender }: AgentRequest): Promise<void> {
    const { clock, store } = this.#options;
    const now = clock.now();
    if (!this.#nodes.take(`${kind} ${node}`, now)) {
      throw new Refusal('too_many', 'this node sends too many requests; once a second is plenty');
    }
    const value = `${kind}:${node}:${nonce.toLowerCase()}`;
    // It could be sent again until its time is out of the window, which may lie ahead.
    const ttlMs = Math.max(1, Number(time) + AGENT_TIME_WINDOW_MS - clock.date().getTime()) + 1_000;
    const claimed = this.#nonces.claim(value, now, ttlMs);
    if (claimed === 'full')
      throw new Refusal('too_many', 'too many requests of all agents together; try later');
    if (claimed === 'first' && (!store.isShared || (await this.#claimShared(value, ttlMs)))) return;
    this.#failures.take(partyOf(sender), now);
    throw new Refusal('replayed', 'this request was sent before; each needs a nonce of its own');
  }

  /** Without the store there is only this replica's own memory of nonces: reports go on. */
  async #claimShared(value: string, ttlMs: number): Promise<boolean> {
    try {
      return await this.#options.store.claimOnce(`agent:${value}`, ttlMs);
    } catch {
      return true;
    }
  }

  async #enter(
    name: NodeId,
    urlText: string,
    key: string,
    labels: Candidate['labels'],
    sender: string,
  ): Promise<RegisteredNode> {
    const { registry, maxNodes, address } = this.#options;
    const url = this.#url(urlText);
    const configured = registry.get(name)?.source === 'config' ? registry.get(name)?.spec.url : undefined;
    const rules = configured === undefined ? address : { ...address, allowLoopback: true };
    const problem = await agentAddressProblem(configured ?? url, sender, rules);
    if (problem !== undefined) throw new Refusal('refused_address', problem);
    const known = registry.get(name);
    if (known?.state === 'removed' && known.identity === key) throw removedNode(name);
    if (known?.identity !== undefined && known.identity !== key) throw nameTaken(name);
    if (known === undefined) {
      const agents = registry.list().filter(({ source }) => source === 'agent').length;
      if (agents >= maxNodes())
        throw new Refusal('full', `agents have registered ${agents} nodes already; raise agents.maxNodes`);
    }
    let entered: RegisteredNode;
    try {
      entered = await registry.join({ name, url, source: 'agent', identity: key, labels });
    } catch (error) {
      if (!(error instanceof NodeAdminError)) throw error;
      const isAboutName = known !== undefined && configured === undefined;
      throw refusalOf(error, isAboutName ? 'name_taken' : 'refused_address');
    }
    if (entered.identity !== key || entered.id !== name) throw nameTaken(name);
    if (entered.state === 'removed') throw removedNode(name);
    if (known === undefined) {
      this.#options.log.info({ node: name, url: formatOrigin(url) }, `the agent of ${name} joined`);
    }
    return entered;
  }

  #url(text: string): NodeUrl {
    const parsed = this.#options.parseUrl(text);
    if ('problem' in parsed) throw new Refusal('refused_address', `url: ${parsed.problem}`);
    return parsed.url;
  }

  #badSignature({ sender }: AgentRequest, message: string): Refusal {
    this.#failures.take(partyOf(sender), this.#options.clock.now());
    return new Refusal('bad_signature', message);
  }

  #refused(kind: AgentRequest['kind'], { result, message }: Refusal): AgentReply {
    const { clock, log, telemetry } = this.#options;
    telemetry.agentRequest(kind, result);
    const now = clock.now();
    const last = this.#loggedAt.get(result);
    if (last === undefined || now - last >= REFUSALS_LOGGED_MS) {
      this.#loggedAt.set(result, now);
      log.warn({ request: kind, result }, `a request of an agent was refused: ${message}`);
    }
    return { status: AGENT_STATUS[result], result, body: { error: message, code: result } };
  }
}

function isSameUrl(a: NodeUrl, b: NodeUrl): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port;
}
