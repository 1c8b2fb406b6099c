import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';

/** Connections from which nothing can come, as long as one side is configured as it is. */
export type Strangeness = 'plaintext' | 'no_h2' | 'untrusted' | 'bad_handshake' | 'not_http2';

/** What is spoken at the address; at that of health it is never anything else. */
export type Spoken = 'plaintext' | 'tls' | 'plaintext health';

const SAY_AGAIN_MS = 60_000;
const WHAT: Readonly<Record<Exclude<Strangeness, 'not_http2'>, string>> = {
  plaintext:
    'a client speaks plaintext to the gRPC address, which wants TLS; give it TLS there, or set extProc.tls to off here',
  no_h2: 'a client speaks TLS but not HTTP/2 (ALPN "h2") to the gRPC address; gRPC needs it',
  untrusted:
    'a client does not trust the certificate of the gRPC address; give it the CA, let it skip the check, or set ' +
    'extProc.tlsCert and tlsKey here',
  bad_handshake: 'a TLS handshake at the gRPC address failed',
};
const NOT_HTTP2: Readonly<Record<Spoken, string>> = {
  plaintext:
    'a client speaks something else than plaintext HTTP/2 to the gRPC address; if that is TLS, set extProc.tls here (or ' +
    '--grpc-tls self-signed), or turn it off there',
  tls: 'a client speaks something else than HTTP/2 within TLS to the gRPC address; gRPC needs it',
  'plaintext health':
    'a client speaks something else than plaintext HTTP/2 to the address of gRPC health; if that is TLS, turn it off there',
};

/** Says what is wrong with such connections, each kind once a minute: whoever connects may do so as often as he likes. */
export class Strangers {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #address: string;
  readonly #spoken: Spoken;
  readonly #seen = new Map<Strangeness, { at: number; unsaid: number }>();

  constructor(address: string, spoken: Spoken, clock: Clock, log: Log) {
    this.#address = address;
    this.#spoken = spoken;
    this.#clock = clock;
    this.#log = log;
  }

  met(kind: Strangeness, peer: string | undefined): void {
    const now = this.#clock.now();
    const seen = this.#seen.get(kind) ?? { at: Number.NEGATIVE_INFINITY, unsaid: 0 };
    this.#seen.set(kind, seen);
    seen.unsaid += 1;
    if (now - seen.at < SAY_AGAIN_MS) return;
    const fields = { address: this.#address, peer, connections: seen.unsaid };
    seen.at = now;
    seen.unsaid = 0;
    this.#log.warn(fields, kind === 'not_http2' ? NOT_HTTP2[this.#spoken] : WHAT[kind]);
  }

  /** What a failed TLS handshake means; nothing where the peer only hung up, as probes do. */
  handshakeFailed(error: unknown, peer: string | undefined): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ECONNRESET' || code === 'EPIPE') return;
    if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE/.test(code))
      this.met('plaintext', peer);
    else if (/NO_APPLICATION_PROTOCOL/.test(code)) this.met('no_h2', peer);
    else if (/UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|CERTIFICATE_EXPIRED/.test(code))
      this.met('untrusted', peer);
    else this.met('bad_handshake', peer);
  }

  /** What a broken session means: nothing, unless it was none from its first byte. */
  sessionFailed(error: unknown, peer: string | undefined): void {
    if (error instanceof Error && /bad client magic/i.test(error.message)) this.met('not_http2', peer);
  }
}
