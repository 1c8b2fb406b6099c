/** What lists a gateway takes. */
export interface ListOptions {
  /** Exactly one address: the gateway cannot read a list. */
  readonly isSingle: boolean;
  /** Shortest list, addresses. */
  readonly minEndpoints: number;
}

/** A header's worth of addresses, whatever is configured. */
const MAX_ADDRESSES = 64;

/**
 * A decision's addresses as gateways read them: in order, with commas. Envoy takes the next one for each retry and, past the end, any
 * node at all; so a list that is shorter than its retries begins again.
 */
export function destinationList(
  addresses: readonly string[],
  { isSingle, minEndpoints }: ListOptions,
): string {
  if (isSingle) return addresses[0] ?? '';
  let list = addresses;
  const length = Math.min(minEndpoints, MAX_ADDRESSES);
  while (list.length > 0 && list.length < length)
    list = [...list, ...addresses.slice(0, length - list.length)];
  return list.join(',');
}
