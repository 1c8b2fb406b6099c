import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structString } from '../grpc/well-known.ts';
import { METADATA } from '../names.ts';
import { type Attributes, attributeText } from './answer-attributes.ts';
import { endpointAddress } from './endpoint-address.ts';

/** Who answered, and who says so: the policy that chose by our list, or the proxy's record of its connection. */
export interface ServedEndpoint {
  /** `ip:port`. */
  readonly address: string;
  readonly toldBy: 'policy' | 'attribute';
}

/** Where the proxy says which endpoint answered, or was tried last; undefined where it does not. */
export function servedEndpoint(
  message: ProcessingRequest,
  attributes: Attributes,
): ServedEndpoint | undefined {
  const lb = message.metadata_context?.filter_metadata?.[METADATA.lb];
  const chosen = withPort(structString(lb, METADATA.served));
  if (chosen !== undefined) return { address: chosen, toldBy: 'policy' };
  const connected = withPort(attributeText(attributes, 'upstream.address'));
  return connected === undefined ? undefined : { address: connected, toldBy: 'attribute' };
}

const MAX_CHARS = 1_024;

/** A proxy that tells of all attempts tells of the last one last. */
function withPort(told: string | undefined): string | undefined {
  if (told === undefined || told.length > MAX_CHARS) return undefined;
  const address = endpointAddress(told.slice(told.lastIndexOf(',') + 1));
  return address !== undefined && /[\d\]]:\d+$/.test(address) ? address : undefined;
}
