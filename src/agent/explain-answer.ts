import { AGENT_TIME_WINDOW_MS } from '../app/agents/agent-protocol.ts';
import type { Answer } from './control-plane-client.ts';

/** From here on a difference is worth a word: half of what the control plane bears. */
export const NOTABLE_CLOCK_DIFFERENCE_MS = AGENT_TIME_WINDOW_MS / 2;

export interface Refusal {
  /** One line for people: what is wrong and what to do. */
  readonly text: string;
  /** Joining again may help: the control plane does not know this agent. */
  readonly mayJoin: boolean;
}

export interface RefusedRequest {
  readonly what: 'join' | 'report';
  readonly node: string;
  readonly to: string;
  readonly hasToken: boolean;
}

/** What a control plane's refusal means and what remedies it. */
export function explainRefusal(answer: Answer, request: RefusedRequest): Refusal {
  const { what, node, to } = request;
  const said = answer.message === undefined ? '' : `: ${answer.message}`;
  // Its word for the reason where it has one, else its status; a proxy between may answer as well.
  switch (answer.code ?? answer.status) {
    case 'join_required':
      return { text: unknownNode(request), mayJoin: true };
    case 'stale':
      return {
        text: explainClock(answer.clockAheadMs) ?? `${to} refuses the time of this ${what}${said}`,
        mayJoin: false,
      };
    case 'bad_signature':
    case 401:
      if (what === 'join')
        return { text: `${to} refuses the join token: give the one of its agents.joinToken`, mayJoin: false };
      return {
        text: `${to} knows node "${node}" by another key: restore the key in the state directory, or choose another --node, or free the name there: warmpath nodes remove ${node}`,
        mayJoin: true,
      };
    case 'name_taken':
    case 409:
      return {
        text: `the name "${node}" belongs to another agent's key at ${to}: choose another --node, or free the name there: warmpath nodes remove ${node}`,
        mayJoin: false,
      };
    case 'removed':
      return {
        text: `an operator removed node "${node}" from ${to}: warmpath nodes approve ${node} lets it return`,
        mayJoin: false,
      };
    case 'refused_address':
      return { text: `${to} refuses the address of this Ollama (--url)${said}`, mayJoin: false };
    case 'full':
      return {
        text: `${to} takes no more nodes: remove some there, or raise its agents.maxNodes`,
        mayJoin: false,
      };
    case 403:
      return { text: `${to} refuses node "${node}"${said}`, mayJoin: what === 'report' };
    case 404:
      return {
        text: `${to} takes no reports of agents: name the address of its agents.listen`,
        mayJoin: false,
      };
    case 'too_large':
    case 'invalid':
    case 'malformed':
    case 400:
    case 413:
    case 422:
      return {
        text: `${to} does not take this ${what}${said}; agent and control plane should be of the same version`,
        mayJoin: false,
      };
    case 'too_many':
    case 429:
      return { text: `${to} gets too many requests${said}; lengthen --interval`, mayJoin: false };
    default:
      return { text: otherStatus(answer.status, to, said), mayJoin: false };
  }
}

function unknownNode({ node, to, hasToken }: RefusedRequest): string {
  return hasToken
    ? `${to} does not know node "${node}"; joining`
    : `${to} does not know node "${node}": give the agent a join token (--join-token-file) so that it may join`;
}

function otherStatus(status: number, to: string, said: string): string {
  return status >= 500
    ? `${to} cannot take reports now (status ${status})${said}`
    : `${to} answers as no control plane does (status ${status}): is it the address of its agents.listen?`;
}

/** One sentence where the two clocks differ by more than is good. */
export function explainClock(aheadMs: number | undefined): string | undefined {
  if (aheadMs === undefined || Math.abs(aheadMs) < NOTABLE_CLOCK_DIFFERENCE_MS) return undefined;
  const side = aheadMs > 0 ? 'behind' : 'ahead of';
  return `this machine's clock is ${duration(Math.abs(aheadMs))} ${side} the control plane's: set it (NTP); reports more than ${AGENT_TIME_WINDOW_MS / 1000} s off are refused`;
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be looked up now',
  EHOSTUNREACH: 'there is no way there',
  ENETUNREACH: 'there is no way there',
  ETIMEDOUT: 'it does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer in time',
  UND_ERR_BODY_TIMEOUT: 'it does not answer in time',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted: give its CA with --ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted: give its CA with --ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted: give its CA with --ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is not trusted: give its CA with --ca',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: write http:// instead of https://',
  EPROTO: 'it does not speak TLS: write http:// instead of https://',
};

/** Why no answer came, in a few words. */
export function explainError(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : '';
    const reason = REASONS[code];
    if (reason !== undefined) return reason;
    if (cause.name === 'TimeoutError') return 'it does not answer in time';
    if (cause instanceof AggregateError && cause.errors.length > 0) return explainError(cause.errors[0]);
    if (cause.cause === undefined) return code === '' ? cause.message.slice(0, 200) : code;
  }
  return 'the request failed';
}
