/** What lists a gateway takes. */
export interface ListOptions {
  /** Exactly one address: the gateway cannot read a list. */
  readonly isSingle: boolean;
  /** Shortest list, addresses. */
  readonly minEndpoints: number;
}

/** A decision's addresses as gateways read them: in order, with commas. */
export function destinationList(addresses: readonly string[], { isSingle }: ListOptions): string {
  if (isSingle) return addresses[0] ?? '';
  return addresses.join(',');
}
