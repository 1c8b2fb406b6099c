import type { ConnectionProblem } from '../../app/ext-proc-profile.ts';
import { remedyFor } from '../../app/ext-proc-remedies.ts';
import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';

export interface StrangersOptions {
  /** Where they connect. */
  readonly address: string;
  /** Said of every connection; undefined: what is to be changed for ext_proc. */
  readonly remedy?: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each, however many they are. */
  readonly onMet?: OnStranger | undefined;
}

/** `peer`: its IP address, undefined on a Unix socket. */
export type OnStranger = (problem: ConnectionProblem, peer: string | undefined) => void;

const SAY_AGAIN_MS = 60_000;

/** Connections from which nothing can come, as long as one side is configured as it is. The log has each kind once a minute. */
export class Strangers {
  readonly #options: StrangersOptions;
  readonly #seen = new Map<ConnectionProblem, { at: number; unsaid: number }>();

  constructor(options: StrangersOptions) {
    this.#options = options;
  }

  /** `reason`: what the TLS library says. */
  met(problem: ConnectionProblem, peer: string | undefined, reason?: string): void {
    const { address, remedy, clock, log, onMet } = this.#options;
    onMet?.(problem, peer);
    const now = clock.now();
    const seen = this.#seen.get(problem) ?? { at: Number.NEGATIVE_INFINITY, unsaid: 0 };
    this.#seen.set(problem, seen);
    seen.unsaid += 1;
    if (now - seen.at < SAY_AGAIN_MS) return;
    const why = reason === undefined ? {} : { reason };
    const fields = { problem, address, peer, connections: seen.unsaid, ...why };
    seen.at = now;
    seen.unsaid = 0;
    log.warn(fields, remedy ?? remedyFor(problem));
  }

  /** What a failed TLS handshake means; nothing where the peer only hung up or kept silent, as probes do. */
  handshakeFailed(error: unknown, peer: string | undefined): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return;
    this.met(handshakeProblem(code), peer, code);
  }

  /** What a broken session means: nothing, unless it was none from its first byte. */
  sessionFailed(error: unknown, { remoteAddress, beganAsTls }: Caller): void {
    if (!(error instanceof Error && /bad client magic/i.test(error.message))) return;
    this.met(beganAsTls ? 'connection_tls' : 'connection_not_http2', remoteAddress);
  }
}

/** Who is at the other end of a connection. */
export interface Caller {
  /** Undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
  /** Whether it was a TLS handshake that came where HTTP/2 was awaited; false too where the first bytes were not read by us. */
  readonly beganAsTls: boolean;
}

function handshakeProblem(code: string): ConnectionProblem {
  if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE/.test(code))
    return 'connection_plaintext';
  if (/NO_APPLICATION_PROTOCOL/.test(code)) return 'connection_without_alpn';
  if (/UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|CERTIFICATE_EXPIRED/.test(code))
    return 'connection_certificate_refused';
  return 'connection_handshake_failed';
}
