import type { ExtProcProblem } from '../../app/ext-proc-profile.ts';
import type { Log } from '../../app/log.ts';

/** What it means for requests, and what to change in the proxy's filter. */
const REMEDIES: Readonly<Record<ExtProcProblem, string>> = {
  request_body_not_sent:
    'the proxy sends no request bodies, so requests pass unrouted: set request_body_mode to BUFFERED or FULL_DUPLEX_STREAMED, or allow_mode_override to true',
  request_body_streamed:
    'the proxy sends request bodies in pieces that it does not hold back (STREAMED), so requests pass unrouted: set request_body_mode to BUFFERED or FULL_DUPLEX_STREAMED',
  request_body_partial:
    'the proxy sends only the beginning of large request bodies (BUFFERED_PARTIAL), so these pass unrouted: set request_body_mode to BUFFERED and raise its buffer limit',
  response_headers_not_sent:
    'the proxy does not tell what became of requests: set response_header_mode to SEND, or allow_mode_override to true',
  response_trailers_not_sent:
    'the proxy does not tell when answers end, so requests seem to be over early: set response_trailer_mode to SEND, or allow_mode_override to true',
  served_endpoint_not_told:
    'the proxy does not tell which endpoint answered, so the first of each list is assumed: forward the metadata namespace envoy.lb, or send the attribute upstream.address',
  observed_only:
    'the proxy heeds no answer of ours (observability_mode), so requests pass unrouted: switch it off to have them routed',
  protocol_violation:
    'a proxy sent messages that ext_proc does not allow there; the stream was ended. Is this address used by anything but a proxy?',
};

/** A misconfigured proxy has the same problem with every request: so often it is logged, ms. */
const REPEAT_MS = 10 * 60_000;

/** Reports each problem to `onProblem` every time, and to the log with its remedy now and then. */
export function problemReporter(
  log: Log,
  now: () => number,
  onProblem: (problem: ExtProcProblem, detail?: string) => void = () => undefined,
): (problem: ExtProcProblem, detail?: string) => void {
  const logged = new Map<ExtProcProblem, number>();
  return (problem, detail) => {
    onProblem(problem, detail);
    const last = logged.get(problem);
    if (last !== undefined && now() - last < REPEAT_MS) return;
    logged.set(problem, now());
    log.warn(detail === undefined ? { problem } : { problem, detail }, REMEDIES[problem]);
  };
}
