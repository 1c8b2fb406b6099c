import type { DiscoveryRequest } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { ASSIGNMENT_TYPE, RESOURCE } from './assignment.ts';

/** What a message of a subscribed Envoy means. */
export type News =
  /** Envoy asks for the nodes; `version` is the last that it accepted, 0 where it has none or not one of ours. */
  | { readonly kind: 'subscribed'; readonly version: number }
  | { readonly kind: 'accepted'; readonly version: number }
  | { readonly kind: 'rejected'; readonly version: number; readonly message: string }
  /** Answers a push that another one has overtaken. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'violation'; readonly detail: string };

/** Names in one message; we serve one resource. */
const MAX_NAMES = 16;
const MAX_MESSAGE_CHARS = 1_000;

/** One stream's side of the xDS handshake. Remembers the last push alone, so its size is bounded. */
export class Subscription {
  #isSubscribed = false;
  #hasNodes = false;
  #sentVersion = 0;
  #pushes = 0;

  /** Envoy has accepted a set of nodes, on this stream or, as it says, before. */
  get hasNodes(): boolean {
    return this.#hasNodes;
  }

  receive(request: DiscoveryRequest): News {
    const names = request.resource_names ?? [];
    const type = request.type_url ?? '';
    if (type !== '' && type !== ASSIGNMENT_TYPE) return violation(`unknown type ${type.slice(0, 100)}`);
    if (names.length > MAX_NAMES) return violation('too many resource names');
    if (names.some((name) => name !== RESOURCE)) return violation(`the only resource here is "${RESOURCE}"`);
    if (names.length === 0) {
      this.#isSubscribed = false;
      return { kind: 'stale' };
    }
    if (!this.#isSubscribed) {
      this.#isSubscribed = true;
      const version = versionNumber(request.version_info);
      this.#hasNodes ||= version > 0;
      return { kind: 'subscribed', version };
    }
    if (request.response_nonce !== this.#nonce()) return { kind: 'stale' };
    if (request.error_detail !== undefined && request.error_detail !== null) {
      const message = (request.error_detail.message ?? '').slice(0, MAX_MESSAGE_CHARS);
      return { kind: 'rejected', version: this.#sentVersion, message };
    }
    this.#hasNodes = true;
    return { kind: 'accepted', version: this.#sentVersion };
  }

  /** A version is pushed once: one that Envoy refused would be refused again. */
  wantsPush(version: number): boolean {
    return this.#isSubscribed && version !== this.#sentVersion;
  }

  /** Notes a push and answers its nonce. */
  sent(version: number): string {
    this.#sentVersion = version;
    this.#pushes += 1;
    return this.#nonce();
  }

  #nonce(): string {
    return String(this.#pushes);
  }
}

function versionNumber(text: string | undefined): number {
  return text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : 0;
}

function violation(detail: string): News {
  return { kind: 'violation', detail };
}
