import { RouterError } from '../../request/errors.ts';
import { hostOf } from '../../routing/host-of.ts';
import type { HeaderValueOption } from '../gen/envoy/config/core/v3/base.ts';
import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { HEADER } from '../names.ts';
import { attributesOf } from './answer-attributes.ts';
import { endpointAddress } from './endpoint-address.ts';
import { setHeader } from './replies.ts';
import type { RequestHead } from './request-head.ts';
import { servedEndpoint } from './served-endpoint.ts';

const MAX_CHARS = 65_536;
const MAX_ENTRIES = 1_000;

/** Addresses of all nodes, `ip:port`, whatever their state: nodes of a conformance test need not speak Ollama's API. */
export type NodeAddresses = () => readonly string[];

/**
 * Where a conformance test wants a request to go (`test-epp-endpoint-selection: ip[:port][,…]`), in its order: `ip` stands for every
 * node at this address. Undefined: the request is none of a test's. Throws RouterError `no_node` where it names no node of ours.
 *
 * To be asked with the head of every request, before anything else is looked at (method, path, body, model), and only where the
 * configuration says `extProc.testSelection`: the addresses are the answer then, in place of the router's. No lease is taken.
 */
export function testSelection(
  { testSelection: wanted }: RequestHead,
  nodes: NodeAddresses,
): readonly string[] | undefined {
  if (wanted === undefined) return undefined;
  const known = nodes();
  const chosen = new Set<string>();
  for (const entry of wanted.slice(0, MAX_CHARS).split(',', MAX_ENTRIES)) {
    const address = endpointAddress(entry);
    if (address === undefined) continue;
    for (const node of known) if (node === address || hostOf(node) === address) chosen.add(node);
  }
  if (chosen.size === 0) throw new RouterError('no_node', 'the test selects no endpoint that is known here');
  return [...chosen];
}

/** For the answer's headers to such a request: the endpoint that served. Undefined where the proxy does not tell it, and for other steps. */
export function testServedHeader(message: ProcessingRequest): HeaderValueOption | undefined {
  if (!message.response_headers) return undefined;
  const served = servedEndpoint(message, attributesOf(message));
  return served === undefined ? undefined : setHeader(HEADER.testServed, served.address);
}
